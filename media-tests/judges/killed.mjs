// Plays through a surrogate at the portal in headless Chromium and kills the surrogate's process meanwhile. Prints one line of JSON: what was seen.
//
//   node killed.mjs URL --asset ASSET --name NAME --sfc SFC --sfci SFCI [--pictures FOLDER]
//
// URL: the router. ASSET: a minute or longer. NAME: what the deployment SFC/SFCI serves with its function `first`, whose process this machine
// has; `second` stands by, and is connected before.
// Exit status: 0 observed (also what does not work), 2 wrong usage, 3 could not be carried out.
// Nothing but loopback is spoken to.

import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const FLAGS = ['--disable-gpu', '--disable-quic', '--no-first-run', '--autoplay-policy=no-user-gesture-required'];
const PATIENCE_MS = 30000;
/** As much as the player fetches ahead. */
const BUFFER_S = 30;
const { values, positionals: [url] } = parseArgs({ allowPositionals: true, options: {
  asset: { type: 'string' }, name: { type: 'string' }, sfc: { type: 'string' }, sfci: { type: 'string' }, pictures: { type: 'string' },
} });
if (!url || !values.asset || !values.name || !values.sfc || !values.sfci) {
  console.error('usage: killed.mjs URL --asset ASSET --name NAME --sfc SFC --sfci SFCI [--pictures FOLDER]');
  process.exit(2);
}

const endpointOf = async (name) => {
  const { items } = await (await fetch(`${url}/~orchestrator/deployments`)).json();
  const found = items.find(({ sfc, sfci }) => sfc === values.sfc && sfci === values.sfci);
  return found.endpoints.find((one) => one.function === name);
};

let browser;
try {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
  const page = await browser.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  const vain = [];
  const isMedia = (request) => /\.(m4s|mp4)$/.test(new URL(request.url()).pathname);
  // Playback gives up on what it wants no more.
  page.on('requestfailed', (request) => { if (isMedia(request) && request.failure()?.errorText !== 'net::ERR_ABORTED') vain.push(`${request.url()}: ${request.failure()?.errorText}`); });
  page.on('response', (answer) => { if (isMedia(answer.request()) && answer.status() >= 400) vain.push(`${answer.url()}: ${answer.status()}`); });
  const statistics = () => page.evaluate(() => Object.fromEntries(Array.from(document.querySelectorAll('.insight > div'), (one) => [
    one.querySelector('dt').textContent, one.querySelector('dd').textContent])));
  const from = () => page.evaluate(() => document.querySelector('.insight .wide dd')?.textContent.split(' ')[0] ?? '');
  // The surrogate that the last segment came from, once it is another one than `left`.
  const another = (left) => page.waitForFunction((left) => {
    const [name] = document.querySelector('.insight .wide dd')?.textContent.split(' ') ?? [];
    return document.querySelector('video')?.currentTime > 1 && name?.startsWith('vcdn-') && name !== left && name;
  }, left, { timeout: 2 * PATIENCE_MS }).then((handle) => handle.jsonValue());

  await page.goto(`${url}/#/asset/${values.asset}`);
  const own = await another(null);
  await page.getByLabel('Through').selectOption(values.name, { timeout: PATIENCE_MS });
  const first = await another(own);
  await page.evaluate(() => {
    window.seen = [];
    for (const event of ['emptied', 'waiting', 'error']) document.querySelector('video').addEventListener(event, () => window.seen.push(`${event} at ${document.querySelector('video').currentTime}`));
  });

  await page.getByRole('link', { name: 'Templates' }).click();
  const second = page.locator('.deployment .endpoint', { hasText: 'second' });
  await second.getByRole('button', { name: 'Add second' }).click({ timeout: PATIENCE_MS });
  await second.locator('.dot.connected').waitFor({ timeout: PATIENCE_MS });
  await page.getByRole('link', { name: 'Platform' }).click();
  const serving = page.locator('.name', { has: page.locator('h4', { hasText: new RegExp(`^${values.name.replaceAll('.', '\\.')}$`) }) }).locator('.dot.serving');
  await serving.nth(1).waitFor({ timeout: PATIENCE_MS });
  const { pid } = await endpointOf('first');
  process.kill(pid, 'SIGKILL');
  const at_s = await page.evaluate(() => document.querySelector('video').currentTime);
  // The orchestrator starts another one in its place; that it is another process says that this one has gone.
  const deadline = Date.now() + 2 * PATIENCE_MS;
  let successor = await endpointOf('first');
  while ((!successor.pid || successor.pid === pid || successor.state !== 'connected') && Date.now() < deadline) {
    await page.evaluate(() => new Promise(requestAnimationFrame));
    successor = await endpointOf('first');
  }
  await page.waitForFunction((to_s) => document.querySelector('video').currentTime > to_s, at_s + BUFFER_S + 3, { timeout: (BUFFER_S + 3) * 1000 + 2 * PATIENCE_MS }).catch(() => {});
  if (values.pictures) await page.screenshot({ path: `${values.pictures}/killed-process.png`, fullPage: true });
  const to_s = await page.evaluate(() => document.querySelector('video').currentTime);
  await page.getByRole('link', { name: 'Library' }).click();
  const { Stalls: stalls } = await statistics();
  console.log(JSON.stringify({
    own, first, pid, successor: { pid: successor.pid, state: successor.state }, at_s, to_s, last: await from(), stalls, seen: await page.evaluate(() => window.seen), vain, errors,
  }));
} catch (error) {
  console.error(`killed.mjs: ${error.stack}`);
  process.exitCode = 3;
} finally {
  await browser?.close();
}
