// Signs in at the portal in headless Chromium, as different people, and prints one line of JSON: what was seen.
//
//   node signin.mjs URL --link LINK --reader LINK --other LINK --click TITLE --protected ASSET [--pictures FOLDER]
//
// URL: the portal, where tokens are needed. LINK: signs somebody in who may write; reader's: one who may only read; other's: one of
// another tenant, who signs in where the first one signed out while something played and was uploaded. TITLE: of an
// asset, whose card is looked at and which is then played in a second tab. ASSET: only viewers with a link play it; the reader does.
// The first link is then tried again by a stranger.
// Exit status: 0 observed (also what does not work), 2 wrong usage, 3 could not be carried out.
// Nothing but loopback is spoken to.

import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const FLAGS = ['--disable-gpu', '--disable-quic', '--no-first-run', '--autoplay-policy=no-user-gesture-required'];
const PATIENCE_MS = 20000;
const { values, positionals: [url] } = parseArgs({ allowPositionals: true, options: {
  link: { type: 'string' }, reader: { type: 'string' }, other: { type: 'string' }, click: { type: 'string' }, protected: { type: 'string' }, pictures: { type: 'string' },
} });
if (!url || !values.link || !values.reader || !values.other || !values.click || !values.protected) {
  console.error('usage: signin.mjs URL --link LINK --reader LINK --other LINK --click TITLE --protected ASSET [--pictures FOLDER]');
  process.exit(2);
}

const card = (page) => page.locator('#assets a', { hasText: values.click });

// Who the page says that one is, what of it can be changed, and whether the asset has a picture.
async function looked(page) {
  await card(page).waitFor({ timeout: PATIENCE_MS });
  const poster = await page.waitForFunction(() => document.querySelector('#assets img')?.naturalWidth > 0, null, { timeout: PATIENCE_MS })
    .then(() => true, () => false);
  return page.evaluate((poster) => ({
    who: document.querySelector('.who').firstChild.textContent, tag: document.querySelector('.who .tag')?.textContent ?? '',
    upload: document.querySelector('.drop') !== null, poster, address: location.href, cookie: document.cookie, kept: sessionStorage.length,
  }), poster);
}

// Asks for a link to what is protected as whoever the page is; the status.
const asked = (page) => page.evaluate((asset) => fetch(`/~streaming/assets/${asset}/viewer-links`, { method: 'POST' }).then(({ status }) => status), values.protected);

// Plays what is protected as whoever may read it: what was asked for of it, without and with a token, and what is said of it.
async function unlocked(page) {
  const media = { open: [], signed: 0, refused: [] };
  page.on('response', (answer) => {
    const { pathname } = new URL(answer.url());
    if (!/\.(m3u8|m4s|mp4|jpg|vtt)$/.test(pathname) || !pathname.includes(values.protected)) return;
    if (!pathname.includes(';URISigningPackage=')) media.open.push(pathname);
    else if (answer.status() < 400) media.signed += 1;
    else media.refused.push(`${pathname.split('/').slice(-3).join('/')}: ${answer.status()}`);
  });
  await page.goto(`${new URL(values.reader).origin}/#/library`);
  const locked = await page.locator('#assets a', { has: page.locator('.locked') }).count();
  await page.locator('#assets a', { has: page.locator('.locked') }).click({ timeout: PATIENCE_MS });
  const plays = await page.waitForFunction(() => document.querySelector('video')?.currentTime > 1, null, { timeout: PATIENCE_MS }).then(() => true, () => false);
  const from = await page.waitForFunction(() => document.querySelector('.insight .wide dd')?.textContent, null, { timeout: PATIENCE_MS }).then((handle) => handle.jsonValue(), () => '');
  const poster = await page.evaluate(async () => {
    const image = new Image();
    image.src = document.querySelector('video').poster;
    await image.decode().catch(() => {});
    return image.naturalWidth > 0;
  });
  if (values.pictures) await page.screenshot({ path: `${values.pictures}/protected.png`, fullPage: true });
  const played = structuredClone(media);
  // The address as it is for everybody opens nothing, also for who is signed in.
  const plain = await page.evaluate((asset) => fetch(`/~streaming/${asset}/index.m3u8`).then(({ status }) => status), values.protected);
  return { locked, plays, from, poster, plain, ...played };
}

let browser;
try {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
  const writer = await browser.newContext();
  const page = await writer.newPage();
  await page.goto(url);
  await page.getByLabel('who you are').waitFor({ timeout: PATIENCE_MS });
  if (values.pictures) await page.screenshot({ path: `${values.pictures}/stranger.png` });
  await page.evaluate(readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8'));
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  const barriers = violations.filter(({ impact }) => ['serious', 'critical'].includes(impact)).map(({ id, nodes }) => `${id}: ${nodes[0].html}`);
  // How to sign in without this page is told, too.
  const commands = await page.locator('.equivalent pre').allTextContents();
  // Another document, as a link in a mail would open it.
  const tab = await writer.newPage();
  await tab.goto(values.link);
  const signed = await looked(tab);
  const cookies = (await writer.cookies()).map(({ name, httpOnly, sameSite }) => ({ name, httpOnly, sameSite }));

  // Every tab is signed in.
  const second = await writer.newPage();
  await second.goto(new URL(values.link).origin);
  await card(second).click({ timeout: PATIENCE_MS });
  const played = await second.waitForFunction(() => document.querySelector('video')?.currentTime > 1, null, { timeout: PATIENCE_MS })
    .then(() => true, () => false);
  // Four files on their way, of which three are sent at once: nothing is answered to their bytes.
  const sent = { begun: 0, broken: 0 };
  second.on('requestfailed', (request) => { if (request.method() === 'PATCH') sent.broken += 1; });
  await second.route('**/~ingest/uploads/**', (route) => {
    if (route.request().method() !== 'PATCH') return route.continue();
    sent.begun += 1;
  });
  const files = ['a', 'b', 'c', 'd'].map((name) => ({ name: `${name}.mp4`, mimeType: 'video/mp4', buffer: Buffer.alloc(1000, name) }));
  await second.getByLabel('Files').setInputFiles(files);
  const goes_on = Date.now() + PATIENCE_MS;
  while (sent.begun < 3 && Date.now() < goes_on) await second.waitForTimeout(50);
  await second.getByRole('link', { name: 'Live', exact: true }).click();
  await second.locator('.dock video').waitFor({ timeout: PATIENCE_MS });
  await second.getByRole('button', { name: 'Sign out' }).click();
  await second.getByLabel('who you are').waitFor({ timeout: PATIENCE_MS });
  const left = (await writer.cookies()).length;
  // The tab that one signed out in, and the one that learns of it, show nothing of what was there.
  await tab.getByLabel('who you are').waitFor({ timeout: PATIENCE_MS });
  const seen = async () => await second.getByText(values.click).count() + await tab.getByText(values.click).count();
  // What was on its way when one signed out may be drawn, and goes.
  const given_up = Date.now() + 3000;
  while (await seen() > 0 && Date.now() < given_up) await tab.waitForTimeout(50);
  const remains = await seen();
  const uploads = { ...sent };
  await second.unrouteAll({ behavior: 'ignoreErrors' });

  // Nothing plays on of another one, and the address says nothing of what was looked at.
  await second.goto(values.other);
  await second.locator('.who').waitFor({ timeout: PATIENCE_MS });
  await second.getByText('Nothing yet').waitFor({ timeout: PATIENCE_MS }).catch(() => {});
  await second.getByRole('link', { name: 'Live', exact: true }).click();
  await second.getByRole('heading', { name: 'Live channels' }).waitFor({ timeout: PATIENCE_MS });
  const next = {
    who: await second.evaluate(() => document.querySelector('.who').firstChild.textContent), playing: await second.locator('video, #playing').count(),
    library: await second.getByRole('link', { name: 'Library' }).getAttribute('href'),
  };

  const foreign = await asked(second);
  const reader = await (await browser.newContext()).newPage();
  await reader.goto(values.reader);
  const reading = await looked(reader);
  await card(reader).click({ timeout: PATIENCE_MS });
  await reader.getByRole('heading', { name: values.click }).waitFor({ timeout: PATIENCE_MS });
  if (values.pictures) await reader.screenshot({ path: `${values.pictures}/reader.png` });
  const changes = await reader.getByRole('button', { name: /^(Rename|Delete)$/ }).count();

  const troubled = [];
  for (const [view, heading] of [['live', 'Live channels'], ['chains', 'Jobs'], ['quality', 'Measurements'], ['platform', 'Sites and endpoints'], ['templates', 'Deployments']]) {
    await reader.goto(`${new URL(values.reader).origin}/#/${view}`);
    await reader.getByRole('heading', { name: heading }).waitFor({ timeout: PATIENCE_MS });
    // What is asked every second is answered by then.
    await reader.waitForLoadState('networkidle', { timeout: 2000 }).catch(() => {});
    const notices = await reader.locator('.notice').allTextContents();
    const buttons = await reader.getByRole('button', { name: /^(Make a channel|New key|End|Cancel|Compare|Inspect|Drain|Connect|Kill|Add|Let|Deploy|Undeploy)/ }).allTextContents();
    troubled.push(...[...notices, ...buttons].map((what) => `${view}: ${what}`));
  }

  const opened = await unlocked(reader);
  const stranger = await (await browser.newContext()).newPage();
  const said = stranger.waitForEvent('dialog', { timeout: PATIENCE_MS }).then(async (dialog) => {
    await dialog.dismiss();
    return dialog.message();
  });
  await stranger.goto(values.link);
  const again = await said;
  const protection = { ...opened, foreign, nobody: await asked(stranger) };
  console.log(JSON.stringify({ barriers, commands, next, protection, uploads, signed, cookies, played, left, remains, reading, changes, troubled, again }));
} catch (error) {
  console.error(`signin.mjs: ${error.message}`);
  process.exitCode = 3;
} finally {
  await browser?.close();
}
