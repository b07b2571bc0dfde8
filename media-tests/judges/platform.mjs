// Looks at the platform in headless Chromium while things happen to it, and prints one line of JSON: what was seen.
//
//   node platform.mjs URL --path PATH --through PATH --kill PID [--pictures FOLDER]
//
// URL: a router with one neighbour. path: is asked for, and found by a search only. through: is asked for twice, through a surrogate.
// PID: the neighbour's router, which is killed then.
// Exit status: 0 observed (also what does not work), 2 wrong usage, 3 could not be carried out.
// Nothing but loopback is spoken to.

import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const FLAGS = ['--disable-gpu', '--disable-quic', '--no-first-run'];
const PATIENCE_MS = 20000;
const { values, positionals: [url] } = parseArgs({ allowPositionals: true, options: {
  path: { type: 'string' }, through: { type: 'string' }, kill: { type: 'string' }, pictures: { type: 'string' },
} });
if (!url || !values.path || !values.through || !values.kill) {
  console.error('usage: platform.mjs URL --path PATH --through PATH --kill PID [--pictures FOLDER]');
  process.exit(2);
}

let browser;
try {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
  const page = await browser.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  await page.goto(`${url}/#/platform`);
  const texts = (selector) => page.locator(selector).allTextContents();
  const becomes = (what, least) => page.waitForFunction(([what, least]) => document.querySelectorAll(what).length >= least, [what, least], { timeout: PATIENCE_MS });
  await becomes('.map .place', 2);
  await page.waitForFunction(() => document.querySelector('.map .link text'), null, { timeout: PATIENCE_MS });
  const places = (await texts('.map .place ~ text')).sort();
  const seen = { places, routers: await page.locator('.map .router').count(), links: await texts('.map .link text') };
  const count = () => page.locator('.counted div', { has: page.locator('dt', { hasText: 'Searched and found' }) }).locator('dd').textContent({ timeout: PATIENCE_MS });
  const found_before = await count();
  const { status } = await fetch(`${url}${values.path}`);
  const event = page.locator('.happened li', { has: page.locator('.tag.found') }).first();
  await event.waitFor({ timeout: PATIENCE_MS });
  const found = await event.evaluate((one) => one.lastChild.textContent.trim());
  // Twice through the surrogate: how many of them it answered by itself.
  const row = page.locator('.surrogates tbody tr td').nth(1);
  await row.waitFor({ timeout: PATIENCE_MS });
  const hits = [];
  for (const expected of ['0', '1']) {
    await fetch(`${url}${values.through}`).then((answer) => answer.arrayBuffer());
    await page.waitForFunction((expected) => {
      const [, hits, , fetches] = document.querySelectorAll('.surrogates tbody tr td');
      return fetches?.textContent === '1' && hits.textContent === expected;
    }, expected, { timeout: PATIENCE_MS }).catch(() => {});
    hits.push(await row.textContent());
  }
  if (values.pictures) await page.screenshot({ path: `${values.pictures}/two-sites.png`, fullPage: true });
  process.kill(Number(values.kill), 'SIGKILL');
  const gone = await page.waitForFunction(() => document.querySelector('.map .router.stale, .map .router.forgotten'), null, { timeout: PATIENCE_MS }).then(() => true, () => false);
  console.log(JSON.stringify({ ...seen, found_before, status, found, hits, gone, errors }));
} catch (error) {
  console.error(`platform.mjs: ${error.message}`);
  process.exitCode = 3;
} finally {
  await browser?.close();
}
