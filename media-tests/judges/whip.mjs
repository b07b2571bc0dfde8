// Publishes from headless Chromium by WHIP, as a page with a camera does it (RFC 9725): Chromium's own test picture and tone, H.264
// and Opus. Prints one line of JSON: how the session went, and what the browser says that it sent.
//
//   node whip.mjs PAGE SESSIONS SECONDS
//
// PAGE: any page of the host, whose origin publishes. SESSIONS: the URL to post to, with the key.
// Exit status: 0 observed (also what is refused), 2 wrong usage, 3 could not be carried out.
// Nothing but loopback is spoken to.

import { chromium } from 'playwright-core';

const FLAGS = [
  '--disable-gpu', '--disable-quic', '--no-first-run', '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream',
  // Candidates of loopback, and addresses instead of names that only multicast DNS knows.
  '--allow-loopback-in-peer-connection', '--disable-features=WebRtcHideLocalIpsWithMdns',
];

const [page_url, sessions, seconds] = process.argv.slice(2);
if (seconds === undefined) {
  console.error('usage: whip.mjs PAGE SESSIONS SECONDS');
  process.exit(2);
}

async function publish({ sessions, seconds }) {
  const wanted = { video: { width: 640, height: 360, frameRate: 30 }, audio: true };
  const stream = await navigator.mediaDevices.getUserMedia(wanted);
  const peer = new RTCPeerConnection();
  const senders = stream.getTracks().map((track) => {
    const transceiver = peer.addTransceiver(track, { direction: 'sendonly', streams: [stream] });
    if (track.kind === 'video') {
      // A browser without processor time would make its pictures smaller, which begins an init segment of its own: players take that, and
      // FFmpeg, which judges here, does not. So it leaves pictures out.
      track.contentHint = 'detail';
      const codecs = RTCRtpSender.getCapabilities('video').codecs;
      transceiver.setCodecPreferences(codecs.filter((codec) => ['video/H264', 'video/rtx'].includes(codec.mimeType)));
    }
    return transceiver.sender;
  });
  await peer.setLocalDescription();
  const answer = await fetch(sessions, {
    method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: peer.localDescription.sdp,
  });
  const seen = { status: answer.status, location: answer.headers.get('location') };
  if (answer.status !== 201) return { ...seen, problem: await answer.text() };
  await peer.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  seen.state = peer.connectionState;
  for (const sender of senders) {
    for (const report of (await sender.getStats()).values()) {
      if (report.type !== 'outbound-rtp') continue;
      seen[sender.track.kind] = {
        packets: report.packetsSent, frames: report.framesSent, key_frames: report.keyFramesEncoded, asked: report.pliCount,
      };
    }
  }
  const ended = await fetch(new URL(seen.location, sessions), { method: 'DELETE' });
  seen.ended = ended.status;
  peer.close();
  return seen;
}

let browser;
try {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
  const page = await browser.newPage();
  await page.goto(page_url);
  console.log(JSON.stringify(await page.evaluate(publish, { sessions, seconds: Number(seconds) })));
} catch (error) {
  console.error(`whip.mjs: ${error.message}`);
  process.exitCode = 3;
} finally {
  await browser?.close();
}
