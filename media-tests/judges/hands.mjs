// Uses the portal in headless Chromium with what a person has: files that are dropped, a chain's document, and nothing but a keyboard.
// Prints one line of JSON: what was seen.
//
//   node hands.mjs URL --asset ASSET --drop FILE [--pictures FOLDER]
//
// URL: the router. FILE: is dropped, broken off in the middle, and dropped again. ASSET: a chain with gates is run on it, mistyped at
// first; one of its gates does not hold. A card is opened, a video sought in and an endpoint drained by keys alone. All jobs are paged through,
// what was dropped is deleted for good, and what only stands there at such moments is looked at by axe.
// Exit status: 0 observed (also what does not work), 2 wrong usage, 3 could not be carried out.
// Nothing but loopback is spoken to.

import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const FLAGS = ['--disable-gpu', '--disable-quic', '--no-first-run', '--autoplay-policy=no-user-gesture-required'];
const PATIENCE_MS = 20000;
const CONDITIONING_MS = 60000;
/** As much of a file arrives before it is broken off. */
const PART_BYTES = 100_000;
const CHAIN = `chain: gated
about: A small picture with a gate that holds and one that does not
stages:
  source: { type: decode }
  upright: { type: rotate, input: source }
  small: { type: scale, input: upright, sizes: 144 }
  video: { type: encode-video, input: small, preset: ultrafast, gates: ["track.keyframes_off_grid <= 0", "psnr.mean >= 99"] }
  version: { type: package, input: video }
`;
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const { values, positionals: [url] } = parseArgs({ allowPositionals: true, options: {
  asset: { type: 'string' }, drop: { type: 'string' }, pictures: { type: 'string' },
} });
if (!url || !values.asset || !values.drop) {
  console.error('usage: hands.mjs URL --asset ASSET --drop FILE [--pictures FOLDER]');
  process.exit(2);
}

// Drops the file where files are dropped. It is the same file each time: its name, size and time say so.
async function drop(page) {
  const file = { name: basename(values.drop), data: readFileSync(values.drop).toString('base64') };
  await page.locator('.drop').waitFor({ timeout: PATIENCE_MS });
  await page.evaluate(({ name, data }) => {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([bytes], name, { type: 'video/mp4', lastModified: 1 }));
    document.querySelector('.drop').dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }));
  }, file);
}

// Drops it, of which a part arrives, leaves, comes back and drops it again: how far it was, and where it went on.
async function broken(context) {
  const page = await context.newPage();
  await page.goto(url);
  // The first request brings a part; all that follow break off.
  const part = readFileSync(values.drop).subarray(0, PART_BYTES);
  let sent = 0;
  await page.route('**/~ingest/uploads/**', (route) => {
    if (route.request().method() !== 'PATCH') return route.continue();
    sent += 1;
    return sent === 1 ? route.continue({ postData: part }) : route.abort();
  });
  await drop(page);
  const progress = await page.waitForFunction(() => {
    const { value = 0, max = 1 } = document.querySelector('.sending progress') ?? {};
    return value > 0 && value < max && value / max;
  }, null, { timeout: PATIENCE_MS }).then((handle) => handle.jsonValue());
  const give_up = Date.now() + PATIENCE_MS;
  while (sent < 2 && Date.now() < give_up) await page.evaluate(() => new Promise(requestAnimationFrame));
  await page.close();
  const again = await context.newPage();
  const asked = [];
  again.on('request', (request) => {
    if (request.url().includes('/~ingest/uploads')) asked.push({ method: request.method(), offset: Number(request.headers()['upload-offset'] ?? 0) });
  });
  await again.goto(url);
  await drop(again);
  await again.getByText('Uploaded', { exact: true }).waitFor({ timeout: PATIENCE_MS });
  const card = again.locator('#assets a', { hasText: basename(values.drop) });
  await card.first().waitFor({ timeout: PATIENCE_MS }).catch(() => {});
  const found = await card.count();
  await again.close();
  return { progress, asked, found };
}

// Runs a document of one's own, mistyped at first: what is said of it, and what its graph shows when it has ended.
async function gated(page) {
  await page.goto(`${url}/#/chains`);
  const form = page.locator('section[aria-labelledby=begin-title]');
  await page.locator(`#assets-there option[value="${values.asset}"]`).waitFor({ state: 'attached', timeout: PATIENCE_MS });
  await form.getByLabel('Asset').fill(values.asset);
  await form.getByLabel('Chain').selectOption('a document of my own');
  const document = form.getByRole('textbox', { name: 'Document', exact: true });
  await document.fill(CHAIN.replace('type: scale', 'type: scael'));
  await form.getByRole('button', { name: 'Begin', exact: true }).click();
  const finding = await form.locator('.findings li').first().textContent({ timeout: PATIENCE_MS });
  const marked = await form.locator('.editor .marked').first().textContent();
  const barriers = await looked(page, 'a mistyped chain');
  await document.fill(CHAIN);
  await form.getByRole('button', { name: 'Begin', exact: true }).click();
  await page.waitForURL(/#\/chains\/.+/, { timeout: PATIENCE_MS });
  await page.getByRole('link', { name: 'All jobs' }).click();
  const job = page.locator('li.panel', { has: page.locator('h3', { hasText: /^gated/ }) });
  await job.locator('h3 .tag', { hasText: 'failed' }).waitFor({ timeout: CONDITIONING_MS });
  const graph = await job.locator('svg.graph').evaluate((svg) => ({
    stages: Array.from(svg.querySelectorAll('g > text:not(.soft)'), ({ textContent }) => textContent),
    said: svg.getAttribute('aria-label'), passed: svg.querySelectorAll('.gate.passed').length, missed: svg.querySelectorAll('.gate.missed').length,
    whole: Array.from(svg.querySelectorAll('g')).filter((one) => Number(one.querySelector('.done')?.getAttribute('width')) > 100).length,
  }));
  const rows = await job.locator('tbody td:last-child').allTextContents();
  if (values.pictures) await page.screenshot({ path: `${values.pictures}/gated.png`, fullPage: true });
  return { finding, marked, graph, rows: rows.sort(), barriers };
}

// Presses Tab until what `wanted` says has the focus.
async function reached(page, wanted) {
  for (let presses = 1; presses <= 80; presses += 1) {
    await page.keyboard.press('Tab');
    if (await page.evaluate(wanted)) return presses;
  }
  throw new Error(`it cannot be reached by Tab: ${wanted}`);
}

// Opens a card, seeks, goes to the platform, drains an endpoint and connects it again, by keys alone.
async function typed(page) {
  await page.goto(`${url}/#/library`);
  await page.locator('#assets a').first().waitFor({ timeout: PATIENCE_MS });
  const title = await page.locator('#assets a .title').first().textContent();
  await reached(page, () => document.activeElement?.matches('#assets a'));
  await page.keyboard.press('Enter');
  await page.locator('#playing').waitFor({ timeout: PATIENCE_MS });
  const opened = await page.waitForFunction((title) => document.activeElement?.id === 'playing' && document.activeElement.textContent === title, title, { timeout: PATIENCE_MS })
    .then(() => true, () => false);
  await page.waitForFunction(() => document.querySelector('video')?.currentTime > 0.2 && document.querySelector('.scrubber input'), null, { timeout: PATIENCE_MS });
  await page.evaluate(() => document.querySelector('video').pause());
  await reached(page, () => document.activeElement?.matches('.scrubber input'));
  const before_s = await page.evaluate(() => document.querySelector('video').currentTime);
  await page.keyboard.press('End');
  const sought = await page.waitForFunction((before_s) => document.querySelector('video').currentTime > before_s + 1, before_s, { timeout: PATIENCE_MS }).then(() => true, () => false);
  await page.goto(`${url}/#/platform`);
  const name = 'quality';
  const box = page.locator('.name', { has: page.locator('h4', { hasText: new RegExp(`^${name}$`) }) });
  await box.locator('.dot.serving').waitFor({ timeout: PATIENCE_MS });
  const states = [];
  for (const [button, state] of [['Drain', 'draining'], ['Connect', 'serving']]) {
    await box.getByRole('button', { name: button }).focus();
    await page.keyboard.press('Enter');
    await box.locator(`.dot.${state}`).waitFor({ timeout: PATIENCE_MS });
    states.push(state);
  }
  return { opened, sought, states };
}

// Findings of axe that keep people out.
async function looked(page, where) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  return violations.filter(({ impact }) => ['serious', 'critical'].includes(impact)).map(({ id, nodes }) => `${where}: ${id}: ${nodes[0].html}`);
}

// What the views do not show by themselves: the trash, what plays in the corner, a channel with its addresses.
async function moments(page) {
  const found = [];
  await page.goto(`${url}/#/asset/${values.asset}`);
  await page.waitForFunction(() => document.querySelector('video')?.currentTime > 0.2, null, { timeout: PATIENCE_MS });
  // The way that the last segment came.
  await page.getByRole('button', { name: 'Trace' }).click();
  await page.locator('.trace li').first().waitFor();
  const trace = await page.locator('.trace li').allTextContents();
  found.push(...await looked(page, 'what plays, traced'));
  await page.getByRole('link', { name: 'Live', exact: true }).click();
  await page.getByLabel('Title', { exact: true }).fill('For the eyes of axe');
  await page.getByRole('button', { name: 'Make a channel' }).click();
  await page.locator('.addresses').waitFor({ timeout: PATIENCE_MS });
  await page.locator('.dock video').waitFor({ timeout: PATIENCE_MS });
  found.push(...await looked(page, 'a channel beside what plays in the corner'));
  await page.goto(`${url}/#/library`);
  await page.getByRole('button', { name: 'Trash', exact: true }).click();
  await page.getByText('The trash is empty.').waitFor({ timeout: PATIENCE_MS });
  found.push(...await looked(page, 'the trash'));
  return { trace, found };
}

// Goes through the list of jobs to its end, a job a page; how many there are, and how many different ones.
async function paged(page) {
  const pages = /\/~transcode\/jobs\?limit=\d+$/;
  await page.route(pages, (route) => route.continue({ url: route.request().url().replace(/\d+$/, (limit) => String(Number(limit) / 20)) }));
  await page.goto(`${url}/#/live`);
  await page.goto(`${url}/#/chains`);
  const compare = page.getByRole('link', { name: /^Compare this/ });
  await compare.first().waitFor({ timeout: PATIENCE_MS });
  const older = page.getByRole('button', { name: 'Show older jobs' });
  const first = await compare.count();
  while (await older.count() > 0) {
    const before = await compare.count();
    await older.click();
    await page.waitForFunction((before) => document.querySelectorAll('section[aria-labelledby=jobs-title] li.panel').length > before || !document.body.innerText.includes('Show older jobs'), before, { timeout: PATIENCE_MS });
  }
  const jobs = await compare.evaluateAll((all) => all.map((one) => one.getAttribute('href')));
  await page.unroute(pages);
  const { items } = await (await fetch(`${url}/~transcode/jobs?limit=100`)).json();
  return { first, count: jobs.length, different: new Set(jobs).size, all: items.length };
}

// Puts what was dropped into the trash, and takes it out of that for good.
async function erased(page) {
  const title = basename(values.drop);
  page.on('dialog', (dialog) => dialog.accept());
  await page.goto(`${url}/#/library`);
  await page.locator('#assets a', { hasText: title }).click({ timeout: PATIENCE_MS });
  await page.locator('section[aria-labelledby=playing]').getByRole('button', { name: 'Delete', exact: true }).click({ timeout: PATIENCE_MS });
  await page.waitForURL(/#\/library/, { timeout: PATIENCE_MS });
  await page.getByRole('button', { name: 'Trash', exact: true }).click();
  await page.getByRole('button', { name: `Delete ${title} for good` }).click({ timeout: PATIENCE_MS });
  return page.getByText('The trash is empty.').waitFor({ timeout: PATIENCE_MS }).then(() => true, () => false);
}

let browser;
try {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
  const context = await browser.newContext();
  const upload = await broken(context);
  const page = await context.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  const chain = await gated(page);
  const keys = await typed(page);
  const { trace, found } = await moments(page);
  const jobs = await paged(page);
  const gone = await erased(page);
  console.log(JSON.stringify({ upload, chain, keys, trace, jobs, gone, barriers: [...chain.barriers, ...found], errors }));
} catch (error) {
  console.error(`hands.mjs: ${error.stack}`);
  process.exitCode = 3;
} finally {
  await browser?.close();
}
