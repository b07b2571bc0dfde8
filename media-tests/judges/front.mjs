// Opens the router's own page in headless Chromium, as a person who follows a link to an asset and then chooses another,
// and prints one line of JSON: what stood on the page, and how far each of the two played.
//
//   node front.mjs URL TITLE
//
// URL: the page, with `#ASSET` behind it. TITLE: of the asset whose card is then clicked.
// Exit status: 0 observed (also what does not play), 2 wrong usage, 3 could not be carried out.
// Nothing but loopback is spoken to.

import { chromium } from 'playwright-core';

const FLAGS = ['--disable-gpu', '--disable-quic', '--no-first-run', '--autoplay-policy=no-user-gesture-required'];
const PATIENCE_MS = 20000;

const [url, title] = process.argv.slice(2);
if (title === undefined) {
  console.error('usage: front.mjs URL TITLE');
  process.exit(2);
}

// What plays once a second of it has been shown, or why nothing does.
async function played(page, wanted) {
  await page.waitForFunction((wanted) => {
    const [video, trouble] = ['video', 'trouble'].map((id) => document.getElementById(id));
    const titled = wanted === null || document.getElementById('playing').textContent === wanted;
    return titled && (video.currentTime > 1 || !trouble.hidden);
  }, wanted, { timeout: PATIENCE_MS }).catch(() => {});
  return page.evaluate(() => {
    const at = (id) => document.getElementById(id);
    return { title: at('playing').textContent, at_s: at('video').currentTime, trouble: at('trouble').textContent };
  });
}

let browser;
try {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
  const page = await browser.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  await page.goto(url);
  const linked = await played(page, null);
  const cards = await page.locator('#assets button').evaluateAll((buttons) => buttons.map((button) => ({
    title: button.querySelector('.title').textContent, standing: button.querySelector('.standing')?.textContent ?? null,
  })));
  await page.locator('#assets button', { hasText: title }).click({ timeout: PATIENCE_MS });
  const chosen = await played(page, title);
  console.log(JSON.stringify({ linked, cards, chosen, address: page.url(), errors }));
} catch (error) {
  console.error(`front.mjs: ${error.message}`);
  process.exitCode = 3;
} finally {
  await browser?.close();
}
