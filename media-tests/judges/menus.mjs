// Chooses in the portal's player what is seen, heard and read, in headless Chromium, and prints one line of JSON: what was seen.
//
//   node menus.mjs URL --asset ASSET [--pictures FOLDER]
//
// URL: the router. ASSET: has several renditions, sounds and subtitles.
// Exit status: 0 observed (also what does not work), 2 wrong usage, 3 could not be carried out.
// Nothing but loopback is spoken to.

import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const FLAGS = ['--disable-gpu', '--disable-quic', '--no-first-run', '--autoplay-policy=no-user-gesture-required'];
const PATIENCE_MS = 20000;
const { values, positionals: [url] } = parseArgs({ allowPositionals: true, options: { asset: { type: 'string' }, pictures: { type: 'string' } } });
if (!url || !values.asset) {
  console.error('usage: menus.mjs URL --asset ASSET [--pictures FOLDER]');
  process.exit(2);
}

let browser;
try {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
  const page = await browser.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  let fetched = [];
  page.on('request', (request) => { if (/\.(m4s|mp4)$/.test(new URL(request.url()).pathname)) fetched.push(new URL(request.url()).pathname.split('/').at(-2)); });
  await page.goto(`${url}/#/asset/${values.asset}`);
  await page.waitForFunction(() => document.querySelector('video')?.currentTime > 0.5, null, { timeout: PATIENCE_MS });
  const menu = (label) => page.locator('.player label', { hasText: label }).locator('select');
  const offered = {};
  for (const label of ['Quality', 'Sound', 'Subtitles']) {
    offered[label] = await menu(label).locator('option').allTextContents();
    offered[`${label} chosen`] = await menu(label).locator('option:checked').textContent();
  }
  // Each quality but the automatic one: what height is seen then, and what the page says.
  const heights = [];
  for (const option of offered.Quality.slice(1)) {
    await menu('Quality').selectOption({ label: option });
    const height = Number.parseInt(option, 10);
    await page.waitForFunction((height) => document.querySelector('video').videoHeight === height, height, { timeout: PATIENCE_MS }).catch(() => {});
    heights.push([option, await page.evaluate(() => document.querySelector('video').videoHeight)]);
    await page.evaluate(() => { document.querySelector('video').currentTime = 0.5; });
  }
  // Each sound: which track is fetched then.
  const sounds = [];
  for (const option of [...offered.Sound].reverse()) {
    fetched = [];
    await menu('Sound').selectOption({ label: option });
    await page.waitForFunction((option) => document.querySelector('.player label:has(select option:checked)') !== null && [...document.querySelectorAll('.player select')].some((one) => one.selectedOptions[0]?.textContent === option), option, { timeout: PATIENCE_MS });
    const give_up = Date.now() + PATIENCE_MS;
    const heard = () => fetched.filter((track) => /^a/.test(track));
    while (heard().length === 0 && Date.now() < give_up) await page.waitForEvent('request', { timeout: PATIENCE_MS }).catch(() => {});
    sounds.push([option, [...new Set(heard())]]);
  }
  // Each text, and none: what is read at a moment at which each says something.
  const texts = [];
  for (const option of offered.Subtitles) {
    await menu('Subtitles').selectOption({ label: option });
    // From before it on, as texts come.
    for (const to_s of [0.3, 1.8]) {
      await page.evaluate((to_s) => new Promise((done) => {
        const video = document.querySelector('video');
        video.pause();
        video.addEventListener('seeked', done, { once: true });
        video.currentTime = to_s;
      }), to_s);
    }
    const read = () => page.evaluate(() => Array.from(document.querySelector('video').textTracks).filter(({ mode }) => mode === 'showing')
      .flatMap(({ activeCues }) => Array.from(activeCues ?? [], ({ text }) => text)));
    const wanted = option === 'Off' ? 0 : 1;
    await page.waitForFunction((wanted) => Array.from(document.querySelector('video').textTracks).filter(({ mode }) => mode === 'showing')
      .reduce((sum, { activeCues }) => sum + (activeCues?.length ?? 0), 0) === wanted, wanted, { timeout: PATIENCE_MS }).catch(() => {});
    texts.push([option, await read(), await menu('Subtitles').locator('option:checked').textContent()]);
  }
  if (values.pictures) await page.screenshot({ path: `${values.pictures}/menus.png`, fullPage: true });
  console.log(JSON.stringify({ offered, heights, sounds, texts, errors }));
} catch (error) {
  console.error(`menus.mjs: ${error.stack}`);
  process.exitCode = 3;
} finally {
  await browser?.close();
}
