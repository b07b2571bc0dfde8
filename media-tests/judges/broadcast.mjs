// Makes a channel at the portal in headless Chromium, publishes to it as the page says, watches it, goes back in it and to now again, ends it and plays the
// recording. Then two more channels are published to as the page says, by SRT and by WHIP. Prints one line of JSON: what was seen.
//
//   node broadcast.mjs URL --clip FILE [--pictures FOLDER]
//
// URL: the router. FILE: H.264 and AAC, a minute or longer; ffmpeg sends it in real time by RTMP.
// Exit status: 0 observed (also what does not work), 2 wrong usage, 3 could not be carried out.
// Nothing but loopback is spoken to.

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const FLAGS = ['--disable-gpu', '--disable-quic', '--no-first-run', '--autoplay-policy=no-user-gesture-required'];
const PATIENCE_MS = 20000;
/** Until something that is begun for it, such as another browser, is live. */
const DOOR_MS = 60000;
const { values, positionals: [url] } = parseArgs({ allowPositionals: true, options: { clip: { type: 'string' }, pictures: { type: 'string' } } });
if (!url || !values.clip) {
  console.error('usage: broadcast.mjs URL --clip FILE [--pictures FOLDER]');
  process.exit(2);
}

const statistics = (page) => page.evaluate(() => Object.fromEntries(Array.from(document.querySelectorAll('.insight > div'), (one) => [
  one.querySelector('dt').textContent, one.querySelector('dd').textContent])));
const at = (page) => page.evaluate(() => document.querySelector('video')?.currentTime ?? 0);
const plays = (page, span_s) => at(page).then((from_s) => page.waitForFunction(
  ([from_s, span_s]) => document.querySelector('video')?.currentTime > from_s + span_s, [from_s, span_s], { timeout: PATIENCE_MS },
).then(() => true, () => false));

// Points at the bar under a live picture and sees that moment, goes there, plays on, and comes back to now.
async function gone(page, pictures) {
  const bar = page.getByLabel('Seek in what was sent');
  const live = page.getByRole('button', { name: 'Live', exact: true });
  const pressed = (is) => page.waitForFunction((is) => document.querySelector('.edge')?.getAttribute('aria-pressed') === is, is, { timeout: PATIENCE_MS })
    .then(() => true, () => false);
  const atEdge = await pressed('true');
  const { width, height } = await bar.boundingBox();
  await bar.hover({ position: { x: width / 2, y: height / 2 } });
  const still = await page.waitForFunction(() => document.querySelector('.still')?.readyState >= 2 && document.querySelector('.still').videoWidth, null, { timeout: PATIENCE_MS })
    .then(() => page.evaluate(() => ({ at_s: document.querySelector('.still').currentTime, of_s: document.querySelector('video').currentTime })), () => null);
  if (pictures) await page.screenshot({ path: `${pictures}/broadcast-preview.png` });
  const before_s = await at(page);
  await bar.click({ position: { x: width / 2, y: height / 2 } });
  const behind = await pressed('false');
  const back = { before_s, to_s: await at(page), plays: await plays(page, 1), at_s: await at(page) };
  await live.click();
  return { atEdge, still, behind, ...back, live: await pressed('true'), goes_on: await plays(page, 1), now_s: await at(page) };
}

// Makes a channel, publishes to the address that stands beside `door`, watches it, and ends it.
async function published(browser, door, publish) {
  const page = await browser.newPage();
  page.on('dialog', (dialog) => dialog.accept());
  await page.goto(`${url}/#/live`);
  await page.getByLabel('Title', { exact: true }).fill(`By ${door}`);
  await page.getByRole('button', { name: 'Make a channel' }).click();
  const box = page.locator('li.panel', { has: page.locator('h3', { hasText: `By ${door}` }) });
  const address = await box.locator('.addresses div', { has: page.locator('dt', { hasText: door }) }).locator('code').textContent({ timeout: PATIENCE_MS });
  const process = publish(address);
  try {
    await box.locator('.tag.live').waitFor({ timeout: DOOR_MS });
    await box.getByRole('button', { name: 'Watch' }).click();
    // It begins at the first moment and goes to the newest at once.
    const watched = await plays(page, 1) && await plays(page, 2);
    const height = await page.evaluate(() => document.querySelector('video').videoHeight);
    await box.getByRole('button', { name: 'End' }).click();
    await page.getByRole('link', { name: 'its recording' }).waitFor({ timeout: PATIENCE_MS });
    return { scheme: address.split(':')[0], watched, height };
  } finally {
    process.kill();
    await page.close();
  }
}

const bySrt = (address) => spawn('ffmpeg', ['-nostdin', '-v', 'error', '-re', '-i', values.clip, '-c', 'copy', '-f', 'mpegts', address], { stdio: 'ignore' });
// Another browser, with a camera.
const byWhip = (address) => spawn(process.execPath, [fileURLToPath(new URL('whip.mjs', import.meta.url)), `${url}/`, address, '60'], { stdio: 'ignore' });

let browser, publisher;
try {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
  const page = await browser.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('dialog', (dialog) => dialog.accept());
  const blocking = [];
  page.on('request', (request) => { if (request.url().includes('_HLS_part=')) blocking.push(new URL(request.url()).pathname.split('/')[1]); });
  await page.goto(`${url}/#/live`);
  await page.getByLabel('Title', { exact: true }).fill('Tonight');
  await page.getByRole('button', { name: 'Make a channel' }).click();
  await page.locator('.addresses').waitFor({ timeout: PATIENCE_MS });
  const [door] = await page.locator('.addresses code').allTextContents().then((all) => all.filter((one) => one.startsWith('rtmp:')));
  const box = page.locator('li.panel', { has: page.locator('h3', { hasText: 'Tonight' }) });
  // Who looks at something else meanwhile is still told the key, and another one when it is asked for.
  await page.getByRole('link', { name: 'Library' }).click();
  await page.getByRole('link', { name: 'Live', exact: true }).click();
  const keyed = async () => (await page.locator('.addresses div', { has: page.locator('dt', { hasText: 'OBS: stream key' }) }).locator('code').textContent({ timeout: PATIENCE_MS }));
  const keys = [await keyed()];
  const states = [await box.locator('.tag').textContent({ timeout: PATIENCE_MS })];
  const said = [];
  publisher = spawn('ffmpeg', ['-nostdin', '-v', 'error', '-re', '-i', values.clip, '-c', 'copy', '-f', 'flv', door], { stdio: ['ignore', 'ignore', 'pipe'] });
  publisher.stderr.on('data', (text) => said.push(String(text)));
  await box.locator('.tag.live').waitFor({ timeout: PATIENCE_MS });
  states.push('live');
  await box.getByRole('button', { name: 'Watch' }).click();
  // It begins at the first moment and goes to the newest at once.
  const watched = await plays(page, 1) && await plays(page, 8);
  const live = await statistics(page);
  if (values.pictures) await page.screenshot({ path: `${values.pictures}/broadcast.png`, fullPage: true });
  const back = await gone(page, values.pictures);
  const failed = said.join('');
  await box.getByRole('button', { name: 'New key' }).click();
  await page.waitForFunction((key) => ![...document.querySelectorAll('.addresses code')].some(({ textContent }) => textContent === key), keys[0], { timeout: PATIENCE_MS });
  keys.push(await keyed());
  // Whoever publishes to a channel that ends is cut off, and says so.
  await box.getByRole('button', { name: 'End' }).click();
  const recording = page.getByRole('link', { name: 'its recording' });
  await recording.waitFor({ timeout: PATIENCE_MS });
  await recording.click();
  await page.locator('#playing', { hasText: 'Tonight' }).waitFor({ timeout: PATIENCE_MS });
  const replayed = await plays(page, 1);
  await page.evaluate(() => { const video = document.querySelector('video'); video.currentTime = video.duration - 1; });
  const ended = await page.waitForFunction(() => document.querySelector('video').ended, null, { timeout: PATIENCE_MS }).then(() => true, () => false);
  const duration_s = await page.evaluate(() => document.querySelector('video').duration);
  await page.close();
  const doors = { srt: await published(browser, 'SRT', bySrt), whip: await published(browser, 'WHIP', byWhip) };
  console.log(JSON.stringify({ door, doors, keys, blocking: [...new Set(blocking)], states, watched, live, back, recording: { replayed, ended, duration_s }, failed, errors }));
} catch (error) {
  console.error(`broadcast.mjs: ${error.message}`);
  process.exitCode = 3;
} finally {
  publisher?.kill();
  await browser?.close();
}
