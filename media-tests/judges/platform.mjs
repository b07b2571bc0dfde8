// Looks at the platform in headless Chromium while things happen to it, and prints one line of JSON: what was seen.
//
//   node platform.mjs URL --path PATH --through PATH --at URL --and URL --release URL --kill PID [--pictures FOLDER]
//
// URL: a router with two neighbours. path: is asked for, and found by a search only. through: is asked for twice, through a surrogate. at, and:
// are the same of an origin near the first router, as two others have it; it answers when `release` is asked for. PID: the router of a neighbour,
// which is killed then.
// Exit status: 0 observed (also what does not work), 2 wrong usage, 3 could not be carried out.
// Nothing but loopback is spoken to.

import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const FLAGS = ['--disable-gpu', '--disable-quic', '--no-first-run'];
const PATIENCE_MS = 20000;
const { values, positionals: [url] } = parseArgs({ allowPositionals: true, options: {
  path: { type: 'string' }, through: { type: 'string' }, at: { type: 'string' }, and: { type: 'string' }, release: { type: 'string' }, kill: { type: 'string' }, pictures: { type: 'string' },
} });
if (!url || !values.path || !values.through || !values.at || !values.and || !values.release || !values.kill) {
  console.error('usage: platform.mjs URL --path PATH --through PATH --at URL --and URL --release URL --kill PID [--pictures FOLDER]');
  process.exit(2);
}

// A figure of `Switches and searches`, by its title.
const figure = (page, title) => page.locator('.counted div', { has: page.locator('dt', { hasText: title }) }).locator('dd').textContent({ timeout: PATIENCE_MS });

// Asks the same of two routers at once, and has it answered when both have it open; how long both bodies were, and what the page says then.
async function shared(page) {
  const open = async (of) => {
    const text = await (await fetch(new URL('/metrics', of))).text();
    return Number(/^flame_http_requests_open\S* (\S+)$/m.exec(text)?.[1] ?? 0);
  };
  // The router of the origin is to have been asked by both of them; who comes later than that gets by unicast what was sent before.
  const [routers, more] = [[values.at, values.and, url], [1, 1, 2]];
  const before = await Promise.all(routers.map(open));
  const bodies = Promise.all([values.at, values.and].map((of) => fetch(of).then((answer) => answer.arrayBuffer()).then(({ byteLength }) => byteLength)));
  const deadline = Date.now() + PATIENCE_MS;
  const waits = async () => (await Promise.all(routers.map(open))).every((count, at) => count >= before[at] + more[at]);
  while (!await waits() && Date.now() < deadline);
  await fetch(values.release);
  const found = { bodies: await bodies };
  await page.waitForFunction(() => Array.from(document.querySelectorAll('.counted div')).some((one) => one.textContent.startsWith('Answers by multicast1')), null, { timeout: PATIENCE_MS }).catch(() => {});
  const counts = await (await fetch(new URL('/metrics', url))).text();
  const counted = Number(/^flame_multicast_saved_bytes_total\S* (\S+)$/m.exec(counts)?.[1]);
  return { ...found, answers: await figure(page, 'Answers by multicast'), saved: await figure(page, 'Saved by multicast'), counted };
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
  await becomes('.map .place', 3);
  await becomes('.map .link text', 2);
  await becomes('.map .edge-ring', 1);
  const places = (await texts('.map .place ~ text')).sort();
  const seen = { places, routers: await page.locator('.map .router').count(), links: (await texts('.map .link text')).sort(), surrogates: await page.locator('.map .edge-ring').count() };
  const found_before = await figure(page, 'Searched and found');
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
  // While somebody asks it is seen who answers.
  let asks = true;
  const asking = (async () => { while (asks) await fetch(`${url}${values.through}`).then((answer) => answer.arrayBuffer()); })();
  const is = (what) => page.waitForFunction(what, null, { timeout: PATIENCE_MS }).then(() => true, () => false);
  const pulse = await is(() => document.querySelector('.map .pulse'));
  const rate = await is(() => Array.from(document.querySelectorAll('.endpoint .quiet')).some((one) => /, [\d.]+\/s/.test(one.textContent)));
  asks = false;
  await asking;
  const multicast = await shared(page);
  if (values.pictures) await page.screenshot({ path: `${values.pictures}/three-sites.png`, fullPage: true });
  process.kill(Number(values.kill), 'SIGKILL');
  const gone = await is(() => document.querySelector('.map .router.stale, .map .router.forgotten'));
  console.log(JSON.stringify({ ...seen, found_before, status, found, hits, pulse, rate, ...multicast, gone, errors }));
} catch (error) {
  console.error(`platform.mjs: ${error.message}`);
  process.exitCode = 3;
} finally {
  await browser?.close();
}
