// Plays a URL with a player in headless Chromium and prints one line of JSON: what a viewer would have seen. Several pairs of them play at the
// same time in one browser, a page each, and have a line each.
//
//   node play.mjs PLAYER URL [PLAYER URL ...] [--page own|media] [--deadline-s 60] [--for-s 0] [--seek-s N[,N...]] [--switch] [--stay-s 0]
//     [--text TAG] [--audio LANG:HZ[,LANG:HZ...]] [--thumbnails N[,N...]] [--clear-key ID:KEY] [--patient]
//
// PLAYER: hls.js, dash.js, shaka-player (both DASH and HLS), native (Chromium's own HLS).
// --page own (default): the page has an origin of its own, so every request for media is a cross-origin one (CORS).
// --page media: the page appears under the media's own origin. --for-s N: what does not end is watched for N seconds
// from its first picture on. --seek-s: jumps to these times one after the other. --switch: then takes each level by hand;
// --stay-s N: with N seconds on each, upwards and down again. Of what is live, longer than a segment lasts: hls.js that comes back to a level in
// the segment in which it left it goes on behind the parts that it had of it, and those are no longer in its buffer.
// --text TAG: shows the subtitles of this language.
// --audio: then chooses the sound of each language by hand, and listens until the tone of so many Hz is heard.
// --patient: an error that is not fatal is told and does not end the watching; hls.js asks again for longer than it does by itself, and
// goes on. The others end at each error all the same.
// --clear-key: the page knows this key, 32 hexadecimal digits as its identifier is, and tells the player.
// --thumbnails: asks the player for its small pictures of these times, and looks at them.
// Exit status: 0 observed (also a failed playback), 2 wrong usage, 3 could not be carried out.
// Nothing but loopback is spoken to.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const FLAGS = [
  '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
  '--disable-sync', '--autoplay-policy=no-user-gesture-required',
];
const PLAYERS = {
  'hls.js': { adapter: 'players/hls.js', library: 'node_modules/hls.js/dist/hls.min.js' },
  'dash.js': { adapter: 'players/dash.js', library: 'node_modules/dashjs/dist/modern/umd/dash.all.min.js' },
  'shaka-player': { adapter: 'players/shaka-player.js', library: 'node_modules/shaka-player/dist/shaka-player.compiled.js' },
  native: { adapter: 'players/native.js' },
};
// What a broken presentation is asked for again and again need not be told that often.
const FAILED_REQUESTS_MAX = 50;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { page: { type: 'string', default: 'own' }, 'deadline-s': { type: 'string', default: '60' },
    'for-s': { type: 'string', default: '0' }, 'seek-s': { type: 'string', default: '' },
    switch: { type: 'boolean', default: false }, 'stay-s': { type: 'string', default: '0' }, text: { type: 'string', default: '' },
    audio: { type: 'string', default: '' }, thumbnails: { type: 'string', default: '' },
    'clear-key': { type: 'string', default: '' }, patient: { type: 'boolean', default: false } },
});
const pairs = positionals.flatMap((name, at) => (at % 2 === 0 ? [{ player: PLAYERS[name], url: positionals[at + 1] }] : []));
const thumbnails = values.thumbnails.split(',').filter((time) => time !== '').map(Number);
const seeks = values['seek-s'].split(',').filter((time) => time !== '').map(Number);
const sounds = values.audio.split(',').filter((sound) => sound !== '').map((sound) => sound.split(':'))
  .map(([language, hz]) => ({ language, hz: Number(hz) }));
const [deadline, watched] = [values['deadline-s'], values['for-s']].map((seconds) => Number(seconds) * 1000);
const stay = Number(values['stay-s']);
if (pairs.length === 0 || !pairs.every(({ player, url }) => player && url) || !['own', 'media'].includes(values.page)
    || ![...seeks, ...thumbnails, deadline, watched, stay, ...sounds.map(({ hz }) => hz)].every((number) => number >= 0)) {
  console.error(`usage: play.mjs ${Object.keys(PLAYERS).join('|')} URL [PLAYER URL ...] [--page own|media] [--deadline-s N] [--for-s N] `
    + '[--seek-s N[,N...]] [--switch] [--stay-s N] [--text TAG] [--audio LANG:HZ[,LANG:HZ...]] [--thumbnails N[,N...]] [--clear-key ID:KEY] '
    + '[--patient]');
  process.exit(2);
}

const file = (name) => readFileSync(new URL(name, import.meta.url));
// Each pair has its folder: the page is the same, and the player is not.
const FILES = new Map(pairs.flatMap(({ player }, at) => Object.entries({
  'page.html': ['text/html', file('page.html')],
  'page.js': ['text/javascript', file('page.js')],
  'player.js': ['text/javascript', file(player.adapter)],
  'library.js': ['text/javascript', player.library ? file(player.library) : ''],
}).map(([name, content]) => [`${at}/${name}`, content])));
const server = createServer((request, response) => {
  const found = FILES.get(new URL(request.url, 'http://page').pathname.slice(1));
  if (!found) return response.writeHead(404).end();
  return response.writeHead(200, { 'content-type': found[0] }).end(found[1]);
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));

// Writes down which requests for media were refused or broke off, whatever the player makes of it.
function failedRequests(page, media) {
  const failed = [];
  const note = (request, why) => {
    if (request.url().startsWith(`${media.origin}/`) && failed.length < FAILED_REQUESTS_MAX) {
      failed.push({ url: request.url(), why });
    }
  };
  page.on('response', (response) => response.status() >= 400 && note(response.request(), String(response.status())));
  page.on('requestfailed', (request) => {
    const why = request.failure()?.errorText ?? 'unknown';
    // Players break off requests of their own will when they seek and switch.
    if (why !== 'net::ERR_ABORTED') note(request, why);
  });
  return failed;
}

async function watch(browser, url, at) {
  const media = new URL(url);
  const page = await browser.newPage();
  const failed = failedRequests(page, media);
  let origin = `http://127.0.0.1:${server.address().port}/${at}`;
  if (values.page === 'media') {
    origin = `${media.origin}/judge-page`;
    await page.route(`${origin}/**`, (route) => {
      const [contentType, body] = FILES.get(`${at}/${new URL(route.request().url()).pathname.split('/').pop()}`);
      return route.fulfill({ contentType, body });
    });
  }
  const query = new URLSearchParams({
    url: media.href, seeks: JSON.stringify(seeks), switch: values.switch, stay, text: values.text, sounds: JSON.stringify(sounds),
    thumbnails: JSON.stringify(thumbnails), key: values['clear-key'], patient: values.patient,
  });
  await page.goto(`${origin}/page.html?${query}`);
  // Either all is over; or, of what is watched for a time, the first picture is there, or what was asked for is done.
  const reached = (what) => page.waitForFunction((what) => window.judge?.seen.done || window.judge?.[what]?.(), what,
    { timeout: deadline }).then(() => true, () => false);
  let inTime = await reached(watched > 0 ? 'begun' : 'over');
  if (inTime && watched > 0) {
    await page.waitForTimeout(watched);
    inTime = await reached('idle');
  }
  const { seen, standing } = await page.evaluate(() => {
    window.judge.finish();
    return { seen: window.judge.seen, standing: window.judge.standing() };
  });
  if (!inTime) {
    seen.errors.push({ type: 'deadline', details: `not over after ${values['deadline-s']} s (${standing})`, fatal: true });
  }
  seen.failed_requests = failed;
  delete seen.done;
  return seen;
}

let browser;
try {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
  const all = await Promise.all(pairs.map(({ url }, at) => watch(browser, url, at)));
  all.forEach((seen) => console.log(JSON.stringify(seen)));
} catch (error) {
  console.error(`play.mjs: ${error.message}`);
  process.exitCode = 3;
} finally {
  await browser?.close();
  server.close();
}
