// Plays an HLS URL with hls.js in headless Chromium and prints one line of JSON: what a viewer would have seen.
//
//   node hls.mjs URL [--page own|media] [--deadline-s 60] [--for-s 0]
//
// --page own (default): the page has an origin of its own, so every request for media is a cross-origin one (CORS).
// --page media: the page appears under the media's own origin. --for-s N: what does not end is watched for N seconds
// from its first picture on. Exit status: 0 observed (also a failed playback),
// 2 wrong usage, 3 could not be carried out. Nothing but loopback is spoken to.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const FLAGS = [
  '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
  '--disable-sync', '--autoplay-policy=no-user-gesture-required',
];
const file = (name) => readFileSync(new URL(name, import.meta.url));
const FILES = {
  'page.html': ['text/html', file('page.html')],
  'page.js': ['text/javascript', file('page.js')],
  'hls.js': ['text/javascript', file('node_modules/hls.js/dist/hls.min.js')],
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { page: { type: 'string', default: 'own' }, 'deadline-s': { type: 'string', default: '60' },
    'for-s': { type: 'string', default: '0' } },
});
if (positionals.length !== 1 || !['own', 'media'].includes(values.page)) {
  console.error('usage: hls.mjs URL [--page own|media] [--deadline-s N] [--for-s N]');
  process.exit(2);
}
const media = new URL(positionals[0]);

const server = createServer((request, response) => {
  const found = FILES[new URL(request.url, 'http://page').pathname.slice(1)];
  if (!found) return response.writeHead(404).end();
  return response.writeHead(200, { 'content-type': found[0] }).end(found[1]);
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));

let browser;
try {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
  const page = await browser.newPage();
  let origin = `http://127.0.0.1:${server.address().port}`;
  if (values.page === 'media') {
    origin = `${media.origin}/judge-page`;
    await page.route(`${origin}/**`, (route) => {
      const [contentType, body] = FILES[new URL(route.request().url()).pathname.split('/').pop()];
      return route.fulfill({ contentType, body });
    });
  }
  await page.goto(`${origin}/page.html?url=${encodeURIComponent(media.href)}`);
  const watched = Number(values['for-s']) * 1000;
  const inTime = await page
    .waitForFunction((watched) => window.seen?.done || (watched > 0 && window.seen?.first_frame_ms !== null), watched,
      { timeout: Number(values['deadline-s']) * 1000 })
    .then(() => true, () => false);
  if (watched > 0) await page.waitForTimeout(watched);
  const seen = await page.evaluate(() => {
    if (!window.seen.done) finish();
    return window.seen;
  });
  if (!inTime) seen.errors.push({ type: 'deadline', details: `not over after ${values['deadline-s']} s`, fatal: true });
  delete seen.done;
  console.log(JSON.stringify(seen));
} catch (error) {
  console.error(`hls.mjs: ${error.message}`);
  process.exitCode = 3;
} finally {
  await browser?.close();
  server.close();
}
