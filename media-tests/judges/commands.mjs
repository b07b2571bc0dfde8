// Does at the portal in headless Chromium, where tokens are needed, what buttons do there, by the commands that the page shows: each is run in a
// shell as it stands there. Prints one line of JSON: what came of them.
//
//   node commands.mjs URL --flame PROGRAM --folder FOLDER --data DATA --token TOKEN --asset ASSET [--pictures FOLDER]
//
// URL: the router. PROGRAM: `flame`; DATA: its data folder. TOKEN: reads and writes. FOLDER: where the commands run; it holds a video that is called
// `FILE`, as they call it. ASSET: the only one that is there, which is played and asked for its way. One signs in by a link and with a cookie, brings the video in, stops
// an upload that does not go on, takes channels and assets through their lives by `flame` and by requests, and signs out.
// Exit status: 0 observed (also what does not work), 2 wrong usage, 3 could not be carried out, as by a command that fails.
// Nothing but loopback is spoken to.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';
import { PATIENCE_MS, enter, link as made, shell, shown } from './shell.mjs';

const FLAGS = ['--disable-gpu', '--disable-quic', '--no-first-run', '--autoplay-policy=no-user-gesture-required'];
/** Time for what was brought in to be in the catalogue. */
const INTAKE_MS = 60000;
const { values, positionals: [url] } = parseArgs({ allowPositionals: true, options: {
  flame: { type: 'string' }, folder: { type: 'string' }, data: { type: 'string' }, token: { type: 'string' }, asset: { type: 'string' }, pictures: { type: 'string' },
} });
if (!url || !values.flame || !values.folder || !values.data || !values.token || !values.asset) {
  console.error('usage: commands.mjs URL --flame PROGRAM --folder FOLDER --data DATA --token TOKEN --asset ASSET [--pictures FOLDER]');
  process.exit(2);
}
const { run, answered } = shell(values);

const BEARER = ['-H', `authorization: Bearer ${values.token}`];

// A link signs a browser in, and a cookie a shell.
async function signedIn(browser) {
  const link = await made(browser, url, run);
  const { origin } = new URL(link);
  const stranger = await (await browser.newContext()).newPage();
  await stranger.goto(origin);
  const before = answered('-b', 'flame.cookies', `${origin}/~metadata/assets`);
  const session = JSON.parse(run(await shown(stranger, 'form.notice > details.equivalent', 'Sign in, and keep the cookie', 'curl')));
  const after = answered('-b', 'flame.cookies', `${origin}/~metadata/assets`);
  await stranger.context().close();
  const page = await enter(browser, link);
  const who = await page.evaluate(() => document.querySelector('.who').firstChild.textContent);
  return { page, origin, seen: { who, subject: session.subject, before, after } };
}

// The way that the last segment came, by both.
async function traced(page, origin) {
  await page.goto(`${origin}/#/asset/${values.asset}`);
  await page.waitForFunction(() => document.querySelector('video')?.currentTime > 0.2, null, { timeout: PATIENCE_MS });
  await page.getByRole('button', { name: 'Trace' }).click({ timeout: PATIENCE_MS });
  await page.locator('.trace li').first().waitFor({ timeout: PATIENCE_MS });
  const part = 'dd:has(> .trace) > details.equivalent';
  if (values.pictures) await page.screenshot({ path: `${values.pictures}/traced.png`, fullPage: true });
  return { explained: run(await shown(page, part, null, 'flame')), told: run(await shown(page, part, null, 'curl')) };
}

// Brings `FILE` in by both, not conditioned: the identifiers of what came of it.
async function uploaded(page, origin) {
  await page.goto(`${origin}/#/library`);
  await page.locator('.drop select').selectOption('none', { timeout: PATIENCE_MS });
  for (const tool of ['flame', 'curl']) run(await shown(page, '.drop > details.equivalent', null, tool));
  const deadline = Date.now() + INTAKE_MS;
  let found = [];
  while (found.length < 2 && Date.now() < deadline) {
    const answer = await fetch(`${origin}/~metadata/assets`, { headers: { authorization: `Bearer ${values.token}` } });
    found = (await answer.json()).items.map(({ id }) => id).filter((id) => id !== values.asset);
    await page.evaluate(() => new Promise(requestAnimationFrame));
  }
  return found;
}

// Stops an upload whose bytes nobody takes: what the service says of it before and after.
async function stopped(page, origin) {
  await page.goto(`${origin}/#/library`);
  await page.route('**/~ingest/uploads/**', (route) => (route.request().method() === 'PATCH' ? undefined : route.continue()));
  await page.getByLabel('Files').setInputFiles([{ name: 'held.mp4', mimeType: 'video/mp4', buffer: Buffer.alloc(1000, 'h') }]);
  const command = await shown(page, '.drop > details.equivalent', 'Stop', 'curl');
  const [upload] = /https?:\S+\/~ingest\/uploads\/[0-9a-f-]+/.exec(command);
  const ask = () => answered('-I', '-H', 'tus-resumable: 1.0.0', ...BEARER, upload);
  const before = ask();
  run(command);
  const after = ask();
  await page.unrouteAll({ behavior: 'ignoreErrors' });
  return { before, after };
}

// Makes a channel, gives it another key and ends it: the key, and how many channels are open before the end and after it.
async function channel(page, origin, tool) {
  const part = 'section[aria-labelledby=live-title] > details.equivalent';
  const open = async () => (await (await fetch(`${origin}/~streaming/channels`, { headers: { authorization: `Bearer ${values.token}` } })).json()).items.filter(({ state }) => state !== 'ended');
  await page.goto(`${origin}/#/live`);
  run(await shown(page, part, null, tool));
  const [{ id }] = await open();
  const said = run(await shown(page, part, 'New key', tool, id));
  const before = (await open()).length;
  run(await shown(page, part, 'End', tool, id));
  return { said, before, after: (await open()).length };
}

// Deletes an asset, has it back, deletes it again and then for good: what the catalogue and its trash say of it after each.
async function life(page, origin, id, tool) {
  const ask = () => [answered(...BEARER, `${origin}/~metadata/assets/${id}`), run(`curl -H "authorization: Bearer $FLAME_TOKEN" '${origin}/~metadata/assets?deleted=true'`).includes(id)];
  const remove = async () => {
    await page.goto(`${origin}/#/asset/${id}`);
    run(await shown(page, 'section[aria-labelledby=playing] > details.equivalent', 'Delete', tool, id));
    return ask();
  };
  const inTrash = async (what) => {
    await page.goto(`${origin}/#/library?state=deleted`);
    run(await shown(page, '#assets ~ details.equivalent', what, tool, id));
    return ask();
  };
  return [await remove(), await inTrash('Restore'), await remove(), await inTrash('Delete for good')];
}

let browser;
try {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
  const { page, origin, seen: signed } = await signedIn(browser);
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  const trace = await traced(page, origin);
  const found = await uploaded(page, origin);
  const channels = { flame: await channel(page, origin, 'flame'), curl: await channel(page, origin, 'curl') };
  const lives = { flame: await life(page, origin, found[0], 'flame'), curl: await life(page, origin, found[1], 'curl') };
  const stop = await stopped(page, origin);
  // Who signs out by a shell is signed out there, and nowhere else.
  run(await shown(page, 'footer > details.equivalent', 'Sign out, with the cookie of signing in', 'curl'));
  const jar = join(values.folder, 'flame.cookies');
  const out = { after: answered('-b', 'flame.cookies', `${origin}/~metadata/assets`), kept: existsSync(jar) && readFileSync(jar, 'utf8').includes('flame-session'), here: await page.locator('.who').count() };
  console.log(JSON.stringify({ signed, trace, uploads: found.length, channels, lives, stop, out, errors }));
} catch (error) {
  console.error(`commands.mjs: ${error.stack}`);
  process.exitCode = 3;
} finally {
  await browser?.close();
}
