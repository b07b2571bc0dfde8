// Looks for assets among many at the portal in headless Chromium, scrolls through all of them, deletes the last one, and prints one line of JSON: what was seen.
//
//   node library.mjs URL --count COUNT --words WORDS
//
// URL: the router, whose catalogue holds COUNT assets of several heights and codecs, among them some of 1080 lines in av1. WORDS: find one.
// Exit status: 0 observed (also what does not work), 2 wrong usage, 3 could not be carried out.
// Nothing but loopback is spoken to.

import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const FLAGS = ['--disable-gpu', '--disable-quic', '--no-first-run'];
const PATIENCE_MS = 20000;
/** How far one scrolls with each picture. */
const STEP_PX = 300;
const SCRIPTS = new Set(['FunctionCall', 'EvaluateScript', 'TimerFire', 'FireAnimationFrame', 'EventDispatch', 'RunMicrotasks', 'MinorGC', 'MajorGC']);
const { values, positionals: [url] } = parseArgs({ allowPositionals: true, options: { count: { type: 'string' }, words: { type: 'string' } } });
if (!url || !values.count || !values.words) {
  console.error('usage: library.mjs URL --count COUNT --words WORDS');
  process.exit(2);
}

const titles = (page) => page.locator('#assets .title').allTextContents();
const group = (page, title) => page.locator('fieldset', { has: page.locator('legend', { hasText: new RegExp(`^${title}$`) }) });

// What is offered, once it says `count` for a value.
async function offered(page, title, value, count) {
  await group(page, title).locator('button', { hasText: value }).locator('.count', { hasText: new RegExp(`^${count}$`) }).waitFor({ timeout: PATIENCE_MS });
  return group(page, title).locator('button').allTextContents();
}

// Wants two values of two fields, and goes away and comes back; what stays.
async function narrowed(page) {
  await page.getByText('Narrow down').click({ timeout: PATIENCE_MS });
  const heights = await offered(page, 'Height', '1080p', 20);
  await group(page, 'Height').getByRole('button', { name: /^1080p/ }).click();
  await group(page, 'Height').getByRole('button', { name: /^720p/ }).click();
  await group(page, 'Video').getByRole('button', { name: /^av1/ }).click();
  const codecs = await offered(page, 'Video', 'h264', 500);
  await page.waitForFunction(() => document.querySelectorAll('#assets li').length === 10, null, { timeout: PATIENCE_MS });
  const address = page.url();
  await page.reload();
  await page.waitForFunction(() => document.querySelectorAll('#assets li').length === 10, null, { timeout: PATIENCE_MS });
  await offered(page, 'Video', 'h264', 500);
  const pressed = await page.locator('fieldset [aria-pressed="true"]').allTextContents();
  const [command, request] = await page.locator('section[aria-labelledby="assets-title"] .equivalent pre').allTextContents();
  await page.locator('#assets a').first().click();
  await page.locator('#playing').waitFor({ timeout: PATIENCE_MS });
  await page.getByRole('link', { name: 'Library', exact: true }).click();
  const back = page.url();
  await page.getByRole('button', { name: 'Reset' }).click();
  await page.waitForURL(/#\/library$/, { timeout: PATIENCE_MS });
  await page.goBack();
  await page.waitForFunction(() => document.querySelectorAll('#assets li').length === 10, null, { timeout: PATIENCE_MS });
  await page.goForward();
  return { heights, codecs, address, pressed, command, request, back };
}

async function searched(page, words) {
  await page.getByLabel('Search').fill(words);
  await page.waitForFunction(() => document.querySelectorAll('#assets li').length === 1, null, { timeout: PATIENCE_MS });
  const found = { titles: await titles(page), address: page.url() };
  await page.getByLabel('Search').fill('');
  await page.waitForURL(/#\/library$/, { timeout: PATIENCE_MS });
  await page.getByLabel('Order').selectOption('title');
  await page.waitForURL(/sort=title$/, { timeout: PATIENCE_MS });
  await page.waitForFunction(() => document.querySelector('#assets .title')?.textContent.includes('0000'), null, { timeout: PATIENCE_MS }).catch(() => {});
  const sorted = (await titles(page)).slice(0, 3);
  // Whoever leaves while words are on their way is not brought back; they are searched for when one comes back.
  await page.getByLabel('Search').fill(words);
  await page.getByRole('link', { name: 'Live', exact: true }).click();
  // The words are looked for a moment after the last one was typed: that moment is over when the view has asked again.
  for (let round = 0; round < 2; round += 1) await page.waitForResponse((answer) => new URL(answer.url()).pathname === '/~streaming/channels', { timeout: PATIENCE_MS });
  const left = page.url();
  await page.getByRole('link', { name: 'Library', exact: true }).click();
  await page.waitForFunction(() => document.querySelectorAll('#assets li').length === 1, null, { timeout: PATIENCE_MS });
  await page.getByLabel('Search').fill('');
  await page.waitForURL(/library\?sort=title$/, { timeout: PATIENCE_MS });
  await page.waitForFunction(() => document.querySelectorAll('#assets li').length > 1, null, { timeout: PATIENCE_MS });
  return { ...found, sorted, left };
}

// Scrolls to the end until nothing more comes; then from the top to the end, a step with each picture, while what the browser does is traced.
async function scrolled(browser, page, count) {
  const deadline = Date.now() + 3 * PATIENCE_MS;
  while (await page.locator('#assets li').count() < count && Date.now() < deadline) {
    await page.evaluate(() => new Promise((drawn) => { scrollTo(0, document.body.scrollHeight); requestAnimationFrame(() => requestAnimationFrame(drawn)); }));
  }
  const shown = await page.locator('#assets li').count();
  const doubled = shown - new Set(await titles(page)).size;
  await page.evaluate(() => new Promise((drawn) => { scrollTo(0, 0); requestAnimationFrame(() => requestAnimationFrame(drawn)); }));
  await browser.startTracing(page, { categories: ['devtools.timeline', 'toplevel', 'v8', 'disabled-by-default-devtools.timeline'] });
  const gaps = await page.evaluate((step) => new Promise((done) => {
    const gaps = [];
    let last = performance.now();
    let stood = 0;
    const next = (now) => {
      gaps.push(now - last);
      last = now;
      const before = scrollY;
      scrollBy(0, step);
      // At the end more may still be on its way into sight.
      stood = scrollY === before ? stood + 1 : 0;
      if (stood > 5) done(gaps);
      else requestAnimationFrame(next);
    };
    requestAnimationFrame(next);
  }), STEP_PX);
  const { traceEvents: events } = JSON.parse(await browser.stopTracing());
  const mains = new Map(events.filter(({ name, args }) => name === 'thread_name' && args.name === 'CrRendererMain').map(({ pid, tid }) => [`${pid} ${tid}`, 0]));
  for (const { pid, tid } of events) if (mains.has(`${pid} ${tid}`)) mains.set(`${pid} ${tid}`, mains.get(`${pid} ${tid}`) + 1);
  const [main] = [...mains].sort((a, b) => b[1] - a[1])[0];
  const own = events.filter(({ pid, tid, dur }) => `${pid} ${tid}` === main && dur > 0);
  const tasks = own.filter(({ name }) => name === 'RunTask' || name === 'ThreadControllerImpl::RunTask');
  const sorted = [...gaps].sort((a, b) => a - b);
  return {
    shown, doubled, pictures: gaps.length, gap_p50_ms: sorted[sorted.length >> 1], gap_p95_ms: sorted[Math.floor(sorted.length * 0.95)],
    scripting_ms: covered(own.filter(({ name }) => SCRIPTS.has(name))), busy_ms: covered(tasks), longest_ms: Math.max(0, ...tasks.map(taken)) / 1000,
    // Of those that came into sight: what is a picture, and what came to nothing.
    ...await page.locator('#assets img').evaluateAll((all) => ({ posters: all.filter(({ naturalWidth }) => naturalWidth > 0).length, broken: all.filter(({ complete, naturalWidth }) => complete && naturalWidth === 0).length })),
    height_px: await page.evaluate(() => document.body.scrollHeight),
  };
}

// Deletes the last asset of a list that was scrolled through; what is shown then, and where.
async function deleted(page) {
  page.once('dialog', (dialog) => dialog.accept());
  const title = (await titles(page)).at(-1);
  await page.locator('#assets a').last().click();
  await page.locator('section[aria-labelledby=playing]').getByRole('button', { name: 'Delete', exact: true }).click({ timeout: PATIENCE_MS });
  await page.waitForURL(/#\/library/, { timeout: PATIENCE_MS });
  await page.waitForFunction((title) => !Array.from(document.querySelectorAll('#assets .title'), ({ textContent }) => textContent).includes(title), title, { timeout: PATIENCE_MS }).catch(() => {});
  return { title, remains: (await titles(page)).includes(title), shown: await page.locator('#assets li').count(), address: page.url() };
}

// Time of the processor that a task took, microseconds; where the trace does not say it, all the time from its begin to its end.
function taken({ tdur, dur }) {
  return tdur ?? dur;
}

// Time that events take together, milliseconds: what lies in another one counts once.
function covered(events) {
  let [sum_us, until_us] = [0, 0];
  for (const event of [...events].sort((a, b) => a.ts - b.ts || b.dur - a.dur)) {
    if (event.ts < until_us) continue;
    sum_us += taken(event);
    until_us = event.ts + event.dur;
  }
  return sum_us / 1000;
}

let browser;
try {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
  const page = await browser.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  await page.goto(url);
  const narrow = await narrowed(page);
  const search = await searched(page, values.words);
  const scroll = await scrolled(browser, page, Number(values.count));
  const trash = await deleted(page);
  console.log(JSON.stringify({ narrow, search, scroll, trash, errors }));
} catch (error) {
  console.error(`library.mjs: ${error.message}`);
  process.exitCode = 3;
} finally {
  await browser?.close();
}
