// Opens the portal in a headless Chromium of its own that has kept nothing, as a newcomer does, then looks at the platform for a while, and
// prints one line of JSON: how long that took.
//
//   node pace.mjs URL --endpoints COUNT [--for-s SECONDS]
//
// URL: the router, whose catalogue holds an asset. COUNT: endpoints that the map is to show. SECONDS: how long it is looked at (5).
// Exit status: 0 observed, 2 wrong usage, 3 could not be carried out.
// Nothing but loopback is spoken to.

import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const FLAGS = ['--disable-gpu', '--disable-quic', '--no-first-run'];
const PATIENCE_MS = 20000;
const { values, positionals: [url] } = parseArgs({ allowPositionals: true, options: {
  endpoints: { type: 'string' }, 'for-s': { type: 'string', default: '5' },
} });
if (!url || !values.endpoints) {
  console.error('usage: pace.mjs URL --endpoints COUNT [--for-s SECONDS]');
  process.exit(2);
}

// Runs in the page before anything else: when the first asset can be clicked, and what keeps the page busy for long.
function watched() {
  window.pace = { interactive_ms: null, busy: [] };
  new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) window.pace.busy.push({ from_ms: startTime, ms: duration });
  }).observe({ type: 'longtask', buffered: true });
  const seen = new MutationObserver(() => {
    if (!document.querySelector('#assets a')) return;
    seen.disconnect();
    // Drawn, and whatever was to be done before the next event is done.
    requestAnimationFrame(() => setTimeout(() => { window.pace.interactive_ms = performance.now(); }));
  });
  seen.observe(document, { childList: true, subtree: true });
}

let browser;
try {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
  const page = await browser.newPage();
  await page.addInitScript(watched);
  await page.goto(url);
  await page.waitForFunction(() => window.pace.interactive_ms !== null, null, { timeout: PATIENCE_MS });
  const first = await page.evaluate(() => {
    const { interactive_ms } = window.pace;
    const came = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
    const files = came.filter(({ name, responseEnd }) => responseEnd > 0 && responseEnd <= interactive_ms && !name.includes('/~') && !name.includes('/api/'));
    return { interactive_ms, bytes: files.reduce((sum, { transferSize }) => sum + transferSize, 0) };
  });
  await page.waitForLoadState('networkidle', { timeout: PATIENCE_MS });
  const count = Number(values.endpoints);
  const map_ms = await page.evaluate((count) => new Promise((done, failed) => {
    const began = performance.now();
    window.pace.busy = [];
    const given_up = setTimeout(() => failed(new Error(`${document.querySelectorAll('.spot').length} endpoints on the map`)), 20000);
    const look = () => {
      if (document.querySelectorAll('.spot').length < count) return;
      seen.disconnect();
      clearTimeout(given_up);
      requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)));
    };
    const seen = new MutationObserver(look);
    seen.observe(document, { childList: true, subtree: true });
    location.hash = '#/platform';
  }), count);
  // It is asked anew all the time: how evenly do pictures come meanwhile?
  const gaps = await page.evaluate((for_ms) => new Promise((done) => {
    const gaps = [];
    let last = performance.now();
    const end = last + for_ms;
    const next = (now) => {
      gaps.push(now - last);
      last = now;
      if (now > end) done(gaps.slice(1).sort((a, b) => a - b));
      else requestAnimationFrame(next);
    };
    requestAnimationFrame(next);
  }), Number(values['for-s']) * 1000);
  const busy = await page.evaluate(() => window.pace.busy);
  console.log(JSON.stringify({
    ...first, map_ms, shown: await page.locator('.spot').count(), gap_p95_ms: gaps[Math.floor(gaps.length * 0.95)],
    longest_ms: Math.max(0, ...busy.map(({ ms }) => ms)),
  }));
} catch (error) {
  console.error(`pace.mjs: ${error.message}`);
  process.exitCode = 3;
} finally {
  await browser?.close();
}
