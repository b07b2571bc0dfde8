// Uses views of the portal in headless Chromium as a person would, and prints one line of JSON: what was seen.
//
//   node views.mjs URL --asset ASSET --other ASSET --long ASSET --recording ASSET [--pictures FOLDER]
//
// URL: the router. ASSET: is conditioned and has chapters; other's: has the same pictures, damaged; recording's: has marks. Both are played, and chapters are gone to. On the first one another
// chain is run and compared with the first; on the long one a job is cancelled; the first is measured, and its plots are saved and linked to. Runs of
// suites are looked at. Then all commands that the views show are gathered. --pictures: saves views at three widths, dark and light.
// Exit status: 0 observed (also what does not work), 2 wrong usage, 3 could not be carried out.
// Nothing but loopback is spoken to.

import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const FLAGS = ['--disable-gpu', '--disable-quic', '--no-first-run', '--autoplay-policy=no-user-gesture-required'];
const PATIENCE_MS = 20000;
const CONDITIONING_MS = 60000;
const WIDTHS = [390, 900, 1600];
const { values, positionals: [url] } = parseArgs({ allowPositionals: true, options: {
  asset: { type: 'string' }, other: { type: 'string' }, long: { type: 'string' }, recording: { type: 'string' }, pictures: { type: 'string' },
} });
if (!url || !values.asset || !values.other || !values.long || !values.recording) {
  console.error('usage: views.mjs URL --asset ASSET --other ASSET --long ASSET --recording ASSET [--pictures FOLDER]');
  process.exit(2);
}

// The chapters of an asset; where the last one leads, and what the time bar says in the middle of it.
async function chapters(page, asset) {
  await page.goto(`${url}/#/asset/${asset}`);
  const all = page.locator('.chapters button');
  await all.first().waitFor({ timeout: PATIENCE_MS });
  await page.waitForFunction(() => document.querySelector('video')?.currentTime > 0.2, null, { timeout: PATIENCE_MS });
  const texts = (await all.allTextContents()).map((text) => text.trim());
  await page.evaluate(() => document.querySelector('video').pause());
  await all.last().click();
  await page.waitForFunction(() => document.querySelector('.chapters li:last-child [aria-current]'), null, { timeout: PATIENCE_MS }).catch(() => {});
  const at_s = await page.evaluate(() => document.querySelector('video').currentTime);
  const bar = page.locator('.scrubber');
  const box = await bar.boundingBox();
  await bar.hover({ position: { x: box.width - 4, y: box.height / 2 } });
  const named = await page.locator('.preview .named').textContent({ timeout: PATIENCE_MS });
  const said = await page.locator('.scrubber input').getAttribute('aria-valuetext');
  return { texts, at_s, named, said, ticks: await page.locator('.scrubber .tick').count() };
}

// Runs another chain on the asset, compares both jobs, begins two on a longer one and cancels the second.
async function compared(page, asset, long) {
  await page.goto(`${url}/#/asset/${asset}`);
  await page.getByRole('link', { name: 'Compare chains' }).click({ timeout: PATIENCE_MS });
  const start = async (chain) => {
    await page.locator('section[aria-labelledby=compare-title] form select').selectOption(chain, { timeout: PATIENCE_MS });
    await page.getByRole('button', { name: 'Start' }).click();
  };
  // The job that was begun last stands right, once there are two.
  const right = (chain, state) => page.locator('.pair > :nth-child(2)', { has: page.locator('b', { hasText: new RegExp(`^${chain}$`) }) })
    .locator('.tag', { hasText: state }).waitFor({ timeout: CONDITIONING_MS })
    .catch(async (error) => { throw new Error(`${error.message}\nThe page shows:\n${await page.locator('main').innerText()}`); });
  await page.getByText('run another chain to compare').waitFor({ timeout: PATIENCE_MS });
  await start('proxy');
  await right('proxy', 'succeeded');
  const table = await page.evaluate(() => Object.fromEntries(Array.from(document.querySelectorAll('.compared tbody'), (body) => [
    body.querySelector('[scope=rowgroup]').textContent,
    Array.from(body.querySelectorAll('tr:not(:first-child)'), (row) => Array.from(row.children, ({ textContent }) => textContent)),
  ])));
  const heads = await page.locator('.compared thead th').allTextContents();
  const address = page.url();
  if (values.pictures) await page.screenshot({ path: `${values.pictures}/compared.png`, fullPage: true });
  // Of a longer one, two: what waits behind the other cannot be over before it is cancelled.
  await page.goto(`${url}/#/chains/${long}`);
  await start('proxy');
  await start('ladder');
  await page.locator('.pair > :nth-child(2)', { has: page.locator('b', { hasText: /^ladder$/ }) })
    .getByRole('button', { name: 'Cancel' }).click({ timeout: PATIENCE_MS });
  await right('ladder', 'cancelled');
  const lost = page.getByText('not among the last');
  const missed = await lost.count();
  await page.goto(`${url}/#/chains/${asset}/00000000-0000-4000-8000-000000000000`);
  const said = await lost.waitFor({ timeout: PATIENCE_MS }).then(() => true, () => false);
  return { table, heads, address, lost: [missed > 0, said] };
}

// What a plot gives away: the first line of its table, whether its picture is one, and where its link leads.
async function exported(page, plot) {
  const download = async (name) => {
    const [file] = await Promise.all([page.waitForEvent('download', { timeout: PATIENCE_MS }), plot.getByRole('button', { name }).click()]);
    return readFile(await file.path());
  };
  const csv = (await download(/as CSV$/)).toString();
  const png = await download(/as PNG$/);
  return {
    csv: csv.split('\r\n')[0], rows: csv.trim().split('\r\n').length, png: png.subarray(1, 4).toString(), png_bytes: png.length,
    link: await plot.getByRole('link', { name: /^Link to/ }).getAttribute('href'),
  };
}

// Drags over the second quarter of a plot.
async function dragged(page, over) {
  await over.scrollIntoViewIfNeeded();
  const box = await over.boundingBox();
  await page.mouse.move(box.x + box.width / 4, box.y + 20);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width / 2, box.y + 20, { steps: 5 });
  await page.mouse.up();
}

// The part of a plot that is seen after each key, as its link says.
async function pressed(page, plot, keys) {
  const link = plot.getByRole('link', { name: /^Link to/ });
  const seen = [await link.getAttribute('href')];
  await plot.locator('.drawn').focus();
  for (const key of keys) {
    await page.keyboard.press(key);
    await page.waitForFunction((before) => document.querySelector('figure.plot a').getAttribute('href') !== before, seen.at(-1), { timeout: PATIENCE_MS }).catch(() => {});
    seen.push(await link.getAttribute('href'));
  }
  return seen;
}

// Measures an asset, zooms into a plot by keys and by a drag, and follows its link.
async function measured(page, asset) {
  await page.goto(`${url}/#/quality/${asset}`);
  for (const metric of ['ssim', 'vmaf']) await page.getByRole('button', { name: metric, exact: true }).click({ timeout: PATIENCE_MS });
  await page.getByRole('button', { name: 'Compare', exact: true }).click();
  const entry = page.locator('li.panel', { hasText: 'Comparison' });
  await entry.locator('.tag', { hasText: 'succeeded' }).waitFor({ timeout: CONDITIONING_MS });
  await entry.locator('summary', { hasText: 'Figures' }).click();
  const plot = page.locator('figure.plot').first();
  const over = plot.locator('.u-over');
  await over.waitFor({ timeout: PATIENCE_MS });
  const whole = await plot.getByRole('link', { name: /^Link to/ }).getAttribute('href');
  const keys = await pressed(page, plot, ['+', '+', 'ArrowRight', '0']);
  await dragged(page, over);
  await page.waitForFunction((whole) => document.querySelector('figure.plot a').getAttribute('href') !== whole, whole, { timeout: PATIENCE_MS }).catch(() => {});
  // The view asks for news each second meanwhile, and takes nothing of it away.
  for (let round = 0; round < 2; round += 1) await page.waitForResponse((answer) => answer.url().includes('/~quality/comparisons?'), { timeout: PATIENCE_MS });
  const found = await exported(page, plot);
  await page.goto(`${url}/${found.link}`);
  await page.locator('#linked-title').waitFor({ timeout: PATIENCE_MS });
  const held = page.locator('section[aria-labelledby=linked-title] figure.plot').first();
  await held.locator('.u-legend').waitFor({ timeout: PATIENCE_MS });
  await page.waitForFunction((link) => document.querySelector('figure.plot a')?.getAttribute('href') === link, found.link, { timeout: PATIENCE_MS }).catch(() => {});
  return { whole, keys, ...found, held: await held.getByRole('link', { name: /^Link to/ }).getAttribute('href') };
}

// Compares an asset with another one, and a rendition with what it was made from, as they are offered where one types: the mean PSNR of each, dB.
async function chosen(page, asset, other) {
  const found = [];
  for (const [start, kind] of [[`${other}/source`, 'source'], [`${asset}/v`, 'rendition']]) {
    await page.goto(`${url}/#/live`);
    await page.goto(`${url}/#/quality`);
    const offered = page.locator(`#media option[value^="${start}"]`).first();
    await offered.waitFor({ state: 'attached', timeout: PATIENCE_MS });
    const media = await offered.getAttribute('value');
    for (const metric of ['ssim', 'vmaf']) await page.getByRole('button', { name: metric, exact: true }).click({ timeout: PATIENCE_MS });
    await page.getByLabel('What is looked at').fill(media);
    await page.getByLabel('Compared with').fill(`${asset}/source`);
    await page.getByRole('button', { name: 'Compare', exact: true }).click();
    const entry = page.locator('li.panel', { has: page.locator(`span[title="${media}"]`) });
    await entry.locator('.tag', { hasText: 'succeeded' }).waitFor({ timeout: CONDITIONING_MS });
    await entry.locator('summary', { hasText: 'Figures' }).click();
    const psnr = entry.locator('[aria-label=Scores] tbody tr', { has: page.locator('th', { hasText: /^psnr$/ }) }).locator('td').first();
    found.push({ kind, media, psnr_db: Number(await psnr.textContent({ timeout: PATIENCE_MS })), said: await entry.locator('p.quiet').first().textContent() });
  }
  return found;
}

// Both plots of the platform, what a drag over the first one shows and goes on to show, and the time that the link of the first one holds.
async function platform(page) {
  await page.goto(`${url}/#/platform`);
  const plots = page.locator('figure.plot');
  const found = [];
  for (const at of [0, 1]) {
    await plots.nth(at).locator('.u-legend').waitFor({ timeout: 3 * PATIENCE_MS });
    found.push(await exported(page, plots.nth(at)));
  }
  // What is dragged over stays, though measurements come in.
  const before = await plots.first().getByRole('link', { name: /^Link to/ }).getAttribute('href');
  await dragged(page, plots.first().locator('.u-over'));
  await page.waitForFunction((before) => document.querySelector('figure.plot a').getAttribute('href') !== before, before, { timeout: PATIENCE_MS }).catch(() => {});
  const link = () => plots.first().getByRole('link', { name: /^Link to/ }).getAttribute('href');
  const zoomed = await link();
  await page.waitForResponse((answer) => answer.url().includes('response_time'), { timeout: PATIENCE_MS });
  await page.waitForResponse((answer) => answer.url().includes('response_time'), { timeout: PATIENCE_MS });
  Object.assign(found[0], { zoomed, stays: await link() });
  await page.goto(`${url}/${found[0].link}`);
  await page.getByText('the address of this page is a link to it').waitFor({ timeout: PATIENCE_MS });
  // Both show the time that the link holds, and no other.
  for (const at of [0, 1]) {
    const held = () => plots.nth(at).getByRole('link', { name: /^Link to/ }).getAttribute('href', { timeout: PATIENCE_MS });
    const deadline = Date.now() + PATIENCE_MS;
    while (await held() !== found[0].link && Date.now() < deadline) await page.evaluate(() => new Promise(requestAnimationFrame));
    found[at].held = await held();
  }
  return found;
}

async function suites(page) {
  await page.goto(`${url}/#/quality`);
  const entry = page.locator('section[aria-labelledby=suites-title] li');
  await entry.locator('summary', { hasText: 'Gates from run to run' }).click({ timeout: PATIENCE_MS });
  await entry.locator('.suite tbody tr').first().waitFor({ timeout: PATIENCE_MS });
  const table = {
    standing: await entry.locator('h3').textContent(), trends: await entry.locator('.trend').count(),
    rows: await entry.locator('.suite tbody tr').evaluateAll((rows) => rows.map((row) => Array.from(row.children, ({ textContent }) => textContent))),
    // Of controls the case, the gate, and how each run of it is shown.
    controls: await entry.locator('.suite tbody tr', { hasText: 'must fail' })
      .evaluateAll((rows) => rows.map((row) => [row.children[0].textContent, row.children[1].textContent, ...Array.from(row.children).slice(4).map(({ className }) => className)])),
  };
  // A trend is a plot, which gives away what it shows, and whose link leads back to it.
  await entry.getByRole('button', { name: /^Plot / }).first().click();
  const plot = page.locator('section[aria-labelledby=suites-title] figure.plot');
  await plot.locator('.u-legend').waitFor({ timeout: PATIENCE_MS });
  const trend = await exported(page, plot);
  await page.goto(`${url}/#/live`);
  await page.goto(`${url}/${trend.link}`);
  await plot.locator('.u-legend').waitFor({ timeout: PATIENCE_MS });
  await page.waitForFunction((link) => document.querySelector('figure.plot a')?.getAttribute('href') === link, trend.link, { timeout: PATIENCE_MS }).catch(() => {});
  return { ...table, trend: { ...trend, held: await plot.getByRole('link', { name: /^Link to/ }).getAttribute('href'), title: await plot.locator('figcaption span').first().textContent() } };
}

// Commands that a view shows once all its parts are open.
async function commands(page, view) {
  await page.goto(`${url}/#/${view}`);
  await page.waitForLoadState('networkidle', { timeout: 2000 }).catch(() => {});
  // What is opened asks for something, and may hold more that can be opened.
  for (let round = 0; round < 3; round += 1) {
    await page.evaluate(() => { for (const one of document.querySelectorAll('details:not([open])')) one.open = true; });
    await page.waitForLoadState('networkidle', { timeout: 2000 }).catch(() => {});
    await page.evaluate(() => new Promise(requestAnimationFrame));
  }
  return page.locator('.equivalent pre').evaluateAll((all) => all.filter((one) => one.checkVisibility()).map(({ textContent }) => textContent));
}

let browser;
try {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
  const page = await browser.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  const named = await chapters(page, values.asset);
  const marked = await chapters(page, values.recording);
  const compare = await compared(page, values.asset, values.long);
  const quality = await measured(page, values.asset);
  const pairs = await chosen(page, values.asset, values.other);
  const suite = await suites(page);
  const plots = await platform(page);
  const shown = {};
  for (const view of [`asset/${values.asset}`, 'library', 'library?state=deleted', 'live', 'chains', `chains/${values.asset}`, 'quality', `quality/${values.asset}`, 'platform', 'templates']) {
    shown[view.replace(values.asset, 'ASSET')] = await commands(page, view);
    for (const width of values.pictures ? WIDTHS : []) {
      for (const colorScheme of ['light', 'dark']) {
        await page.emulateMedia({ colorScheme });
        await page.setViewportSize({ width, height: 900 });
        await page.screenshot({ path: `${values.pictures}/${view.replace(values.asset, '').replace(/\W+/g, '-')}-${width}-${colorScheme}.png`, fullPage: true });
      }
    }
  }
  console.log(JSON.stringify({ named, marked, compare, quality, pairs, suite, plots, shown, errors }));
} catch (error) {
  console.error(`views.mjs: ${error.message}`);
  process.exitCode = 3;
} finally {
  await browser?.close();
}
