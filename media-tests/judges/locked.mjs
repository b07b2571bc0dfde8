// Plays what is protected at the portal in headless Chromium, beyond the end of the link that it begins with, and on when nobody verifies
// viewers any more under the name that links lead to. Prints one line of JSON: what was seen.
//
//   node locked.mjs URL --asset ASSET --name NAME [--pictures FOLDER]
//
// URL: the router, whose links live for seconds. ASSET: is protected, and longer than all this takes. NAME: what links lead to; the one that
// stands behind it is killed on the platform while the asset plays. Then the page is opened anew.
// Exit status: 0 observed (also what does not work), 2 wrong usage, 3 could not be carried out.
// Nothing but loopback is spoken to.

import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const FLAGS = ['--disable-gpu', '--disable-quic', '--no-first-run', '--autoplay-policy=no-user-gesture-required'];
const PATIENCE_MS = 30000;
/** As much as the player fetches ahead. */
const BUFFER_S = 30;
const { values, positionals: [url] } = parseArgs({ allowPositionals: true, options: {
  asset: { type: 'string' }, name: { type: 'string' }, pictures: { type: 'string' },
} });
if (!url || !values.asset || !values.name) {
  console.error('usage: locked.mjs URL --asset ASSET --name NAME [--pictures FOLDER]');
  process.exit(2);
}

const at = (page) => page.evaluate(() => document.querySelector('video')?.currentTime ?? 0);
// Whether it is played beyond a time, for which it has that long and a while.
const plays = async (page, to_s) => {
  const left_ms = Math.max(0, to_s - await at(page)) * 1000;
  return page.waitForFunction((to_s) => document.querySelector('video')?.currentTime > to_s, to_s, { timeout: left_ms + PATIENCE_MS }).then(() => true, () => false);
};
const statistics = (page) => page.evaluate(() => Object.fromEntries(Array.from(document.querySelectorAll('.insight > div'), (one) => [
  one.querySelector('dt').textContent, one.querySelector('dd').textContent])));

// Notes what is asked for of the asset: by which name, with which token, when, and what was answered.
function noted(page) {
  const links = [];
  const asked = [];
  page.on('response', (answer) => {
    const { pathname } = new URL(answer.url());
    if (pathname.endsWith('/viewer-links') && answer.ok()) answer.json().then(({ expires_at }) => links.push(expires_at), () => {});
    const [, name, token] = /^\/~([^/]+)\/;URISigningPackage=([^/]+)\//.exec(pathname) ?? [];
    if (/\.(m4s|mp4)$/.test(pathname) && pathname.includes(values.asset)) asked.push({ name, token, status: answer.status(), at_ms: Date.now() });
  });
  return { links, asked };
}

let browser;
try {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
  const page = await browser.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  const { links, asked } = noted(page);
  await page.goto(`${url}/#/asset/${values.asset}`);
  await page.waitForFunction(() => document.querySelector('video')?.currentTime > 1, null, { timeout: PATIENCE_MS });
  // Another source for the element, or a wait, is what a viewer sees of a change.
  await page.evaluate(() => {
    window.seen = [];
    for (const event of ['emptied', 'waiting', 'error']) document.querySelector('video').addEventListener(event, () => window.seen.push(`${event} at ${document.querySelector('video').currentTime}`));
  });
  const seen = () => page.evaluate(() => window.seen);
  const from = (await statistics(page))['Came from'] ?? '';
  // Beyond the end of the first link, and until something was fetched with another one after that.
  const end_ms = Date.parse(links[0]);
  const deadline = Date.now() + 3 * PATIENCE_MS;
  const later = () => asked.filter(({ token, at_ms, status }) => at_ms > end_ms && token !== asked[0].token && status < 400);
  while ((Date.now() < end_ms + 1000 || later().length === 0) && Date.now() < deadline) await page.evaluate(() => new Promise(requestAnimationFrame));
  const renewed = {
    links: links.length, later: later().length, plays: await plays(page, await at(page) + 1), seen: await seen(),
    refused: asked.filter(({ status }) => status >= 400), names: [...new Set(asked.map(({ name }) => name))],
  };

  await page.getByRole('link', { name: 'Platform' }).click();
  const box = page.locator('.name', { has: page.locator('h4', { hasText: new RegExp(`^${values.name.replaceAll('.', '\\.')}$`) }) });
  await box.getByRole('button', { name: /^Kill/ }).click({ timeout: PATIENCE_MS });
  const gone = await box.locator('.endpoint', { hasText: /gone: it was killed/ }).textContent({ timeout: PATIENCE_MS });
  const killed_s = await at(page);
  const before = asked.length;
  // Beyond all that was fetched before.
  const on = await plays(page, killed_s + BUFFER_S + 3);
  if (values.pictures) await page.screenshot({ path: `${values.pictures}/protected-killed.png`, fullPage: true });
  const after = asked.slice(before);
  const killed = {
    gone, on, killed_s, to_s: await at(page), seen: await seen(),
    names: [...new Set(after.filter(({ status }) => status < 400).map(({ name }) => name))],
    refused_elsewhere: after.filter(({ status, name }) => status >= 400 && name !== values.name),
  };
  await page.getByRole('link', { name: 'Library' }).click();
  const { Stalls: stalls } = await statistics(page);

  // Whoever comes now finds nobody at the first name either.
  const again = await browser.newPage();
  again.on('pageerror', (error) => errors.push(error.message));
  await again.goto(`${url}/#/asset/${values.asset}`);
  const opened = await again.waitForFunction(() => document.querySelector('video')?.currentTime > 1, null, { timeout: PATIENCE_MS }).then(() => true, () => false);
  const trouble = await again.evaluate(() => document.querySelector('.player .notice')?.textContent ?? '');
  console.log(JSON.stringify({ from, renewed, killed, stalls, opened, trouble, errors }));
} catch (error) {
  console.error(`locked.mjs: ${error.stack}`);
  process.exitCode = 3;
} finally {
  await browser?.close();
}
