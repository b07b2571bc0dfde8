// Glass to glass: plays a live channel in headless Chromium, reads the clock that is burnt into each picture, and prints one
// line of JSON: how old each picture was when it was shown, and what a viewer would have complained about.
//
//   node glass.mjs URL EPOCH_MS [--portal] [--for-s 20] [--warm-s 5] [--deadline-s 60]
//
// URL is a multivariant playlist, played with hls.js as it comes; with --portal it is the portal's page of live channels, of which
// the first is watched in the portal's own player.
//
// The clock: the top of the picture is BITS fields side by side, white for 1; the field at the left is the lowest bit of the
// milliseconds that had gone by since EPOCH_MS (Unix time) when the picture was made, on this machine's clock. The age is
// taken at the time at which the browser says that it shows the picture (requestVideoFrameCallback's expectedDisplayTime).
// Exit status: 0 observed, 2 wrong usage, 3 could not be carried out. Nothing but loopback is spoken to.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const FLAGS = ['--disable-gpu', '--disable-quic', '--no-first-run', '--autoplay-policy=no-user-gesture-required'];
const BITS = 32;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { portal: { type: 'boolean', default: false }, 'for-s': { type: 'string', default: '20' }, 'warm-s': { type: 'string', default: '5' },
    'deadline-s': { type: 'string', default: '60' } },
});
const [watched_ms, warm_ms, deadline_ms] = ['for-s', 'warm-s', 'deadline-s'].map((name) => Number(values[name]) * 1000);
const [url, epoch_ms] = [positionals[0], Number(positionals[1])];
if (positionals.length !== 2 || ![watched_ms, warm_ms, deadline_ms, epoch_ms].every((number) => number >= 0)) {
  console.error('usage: glass.mjs URL EPOCH_MS [--portal] [--for-s N] [--warm-s N] [--deadline-s N]');
  process.exit(2);
}

// Runs in the page. Without `url` something else plays there.
function watch({ url, epoch_ms, bits }) {
  const seen = { ages_ms: [], stalls: 0, errors: [], latency_s: null, measuring: false };
  const video = document.querySelector('video');
  const canvas = new OffscreenCanvas(bits, 1).getContext('2d', { willReadFrequently: true });
  const hls = url && new Hls();
  const onFrame = (_, { expectedDisplayTime, width, height }) => {
    // The middle of each field, and of its height (a twentieth of the picture's).
    canvas.drawImage(video, 0, height / 80, width, height / 80, 0, 0, bits, 1);
    const { data } = canvas.getImageData(0, 0, bits, 1);
    let made_ms = 0;
    for (let bit = 0; bit < bits; bit += 1) made_ms += data[bit * 4] > 127 ? 2 ** bit : 0;
    if (seen.measuring) seen.ages_ms.push(performance.timeOrigin + expectedDisplayTime - epoch_ms - made_ms);
    video.requestVideoFrameCallback(onFrame);
  };
  video.requestVideoFrameCallback((...frame) => {
    seen.begun = true;
    onFrame(...frame);
  });
  video.addEventListener('waiting', () => { seen.stalls += seen.measuring ? 1 : 0; });
  if (hls) {
    hls.on(Hls.Events.ERROR, (_, { details }) => { if (seen.measuring || !seen.begun) seen.errors.push(details); });
    hls.loadSource(url);
    hls.attachMedia(video);
    video.play().catch(() => {});
  }
  window.glass = {
    begun: () => seen.begun,
    measure: () => { seen.measuring = true; },
    finish: () => ({ ...seen, latency_s: hls?.latency, target_s: hls?.targetLatency }),
  };
}

const library = readFileSync(new URL('node_modules/hls.js/dist/hls.min.js', import.meta.url));
const server = createServer((request, response) => {
  if (request.url === '/hls.js') return response.writeHead(200, { 'content-type': 'text/javascript' }).end(library);
  return response.writeHead(200, { 'content-type': 'text/html' })
    .end('<!doctype html><video id="video" muted></video><script src="hls.js"></script>');
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));

let browser;
try {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
  const page = await browser.newPage();
  if (values.portal) {
    await page.goto(url);
    await page.getByRole('button', { name: 'Watch' }).first().click({ timeout: deadline_ms });
    await page.locator('video').waitFor({ timeout: deadline_ms });
  } else {
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
  }
  await page.evaluate(watch, { url: values.portal ? null : url, epoch_ms, bits: BITS });
  await page.waitForFunction(() => window.glass.begun(), null, { timeout: deadline_ms });
  await page.waitForTimeout(warm_ms);
  await page.evaluate(() => window.glass.measure());
  await page.waitForTimeout(watched_ms);
  console.log(JSON.stringify(await page.evaluate(() => window.glass.finish())));
} catch (error) {
  console.error(`glass.mjs: ${error.message}`);
  process.exitCode = 3;
} finally {
  await browser?.close();
  server.close();
}
