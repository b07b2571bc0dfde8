// Uses the portal in headless Chromium as a person would, and prints one line of JSON: what was seen.
//
//   node portal.mjs URL --linked ASSET --click TITLE --upload FILE --long ASSET [--pictures FOLDER]
//
// URL: the router. ASSET: an asset whose link is followed, and which plays on while the platform is looked at. TITLE: of the asset
// whose card is then clicked. FILE: is uploaded, waited for until it is conditioned, and played to its end with a seek. Then a
// live channel is made, an endpoint is drained and connected again, the asset of TITLE is measured and walked back to its source, and LONG is renamed, deleted and restored. From a template, mistyped at first, two surrogates are deployed;
// LONG (an asset of a minute) plays through the first, the second is connected, and the first is killed while it plays. Then every
// view is looked at by axe. --pictures: saves each view at three widths there, light and dark, and what killing looks like.
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
/** As much as the player fetches ahead. */
const BUFFER_S = 30;
const WIDTHS = [390, 900, 1600];
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

const { values, positionals: [url] } = parseArgs({ allowPositionals: true, options: {
  linked: { type: 'string' }, click: { type: 'string' }, upload: { type: 'string' }, long: { type: 'string' }, pictures: { type: 'string' },
} });
if (!url || !values.linked || !values.click || !values.upload || !values.long) {
  console.error('usage: portal.mjs URL --linked ASSET --click TITLE --upload FILE --long ASSET [--pictures FOLDER]');
  process.exit(2);
}

// The title of what plays, once a second of it has been shown, and what the page says of trouble.
async function played(page, title) {
  await page.waitForFunction((title) => {
    const video = document.querySelector('video');
    const titled = title === null || document.getElementById('playing')?.textContent === title;
    return titled && (video?.currentTime > 1 || document.querySelector('.player .notice'));
  }, title, { timeout: PATIENCE_MS }).catch(() => {});
  return page.evaluate(() => ({
    title: document.getElementById('playing')?.textContent ?? null, at_s: document.querySelector('video')?.currentTime ?? 0,
    trouble: document.querySelector('.player .notice')?.textContent ?? '',
  }));
}

// Looks at the platform while a video plays: what plays on, and from where to where.
async function docked(page) {
  const video = () => page.evaluate(() => document.querySelector('video').currentTime);
  const from_s = await video();
  await page.getByRole('link', { name: 'Platform' }).click();
  await page.waitForFunction((from_s) => document.querySelector('.dock video')?.currentTime > from_s + 1, from_s, { timeout: PATIENCE_MS })
    .catch(() => {});
  const seen = { from_s, to_s: await video(), title: await page.locator('.dock h2').textContent() };
  await page.getByRole('link', { name: 'Library' }).click();
  return seen;
}

// Uploads, waits until a rendition of it plays, seeks to its middle, back, and near its end, and lets it come to that.
async function uploaded(page, file) {
  const name = basename(file);
  await page.locator('input[type=file]').setInputFiles(file);
  await page.getByText('Uploaded', { exact: true }).waitFor({ timeout: PATIENCE_MS });
  await page.locator('#assets a', { hasText: name }).click({ timeout: PATIENCE_MS });
  await page.getByText('Renditions, made by ladder').waitFor({ timeout: CONDITIONING_MS });
  await page.waitForFunction(() => document.querySelector('video').currentTime > 0.5, null, { timeout: PATIENCE_MS });
  await page.waitForFunction(() => document.querySelector('.insight .wide dd')?.textContent.includes('vcdn-'), null, { timeout: PATIENCE_MS }).catch(() => {});
  const statistics = { ...await statisticsOf(page), shown: await page.evaluate(() => document.querySelector('video').videoHeight) };
  const seeks = [];
  for (const share of [0.5, 0.2, 0.85]) {
    const to_s = await page.evaluate((share) => { const video = document.querySelector('video'); return video.currentTime = video.duration * share; }, share);
    seeks.push(await page.waitForFunction((to_s) => {
      const { seeking, currentTime } = document.querySelector('video');
      return !seeking && currentTime > to_s + 0.3 && currentTime < to_s + 3;
    }, to_s, { timeout: PATIENCE_MS }).then(() => true, () => false));
  }
  const ended = await page.waitForFunction(() => document.querySelector('video').ended, null, { timeout: PATIENCE_MS })
    .then(() => true, () => false);
  const preview = await previewed(page);
  return page.evaluate(({ name, ended, preview, statistics, seeks }) => ({
    name, ended, preview, statistics, seeks, height: document.querySelector('video').videoHeight,
    frames: document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames,
  }), { name, ended, preview, statistics, seeks });
}

async function channel(page, url) {
  await page.goto(`${url}/#/live`);
  await page.getByLabel('Title', { exact: true }).fill('A <b>channel</b>');
  await page.getByRole('button', { name: 'Make a channel' }).click();
  await page.locator('.addresses').waitFor({ timeout: PATIENCE_MS });
  return page.evaluate(() => ({
    title: document.querySelector('.panel h3').firstChild.textContent.trim(),
    addresses: Array.from(document.querySelectorAll('.addresses code'), ({ textContent }) => textContent),
  }));
}

// Drains the instance behind `name` and connects it again; the states that the page showed on the way.
async function steered(page, url, name) {
  await page.goto(`${url}/#/platform`);
  const box = page.locator('.name', { has: page.locator('h4', { hasText: new RegExp(`^${name}$`) }) });
  const states = [];
  const shows = async (state) => {
    await box.locator(`.dot.${state}`).waitFor({ timeout: PATIENCE_MS });
    states.push(state);
  };
  await shows('serving');
  await box.getByRole('button', { name: 'Drain' }).click();
  await shows('draining');
  await box.getByRole('button', { name: 'Connect' }).click();
  await shows('serving');
  await page.locator('.u-legend').first().waitFor({ timeout: PATIENCE_MS });
  return { states, command: await page.locator('section[aria-labelledby=sites-title] .equivalent pre').first().textContent() };
}

// What playback says of itself, by its titles.
const statisticsOf = (page) => page.evaluate(() => Object.fromEntries(Array.from(document.querySelectorAll('.insight > div'), (one) => [
  one.querySelector('dt').textContent, one.querySelector('dd').textContent])));

// Points at a card near its left and near its right: the places on their sheet of the pictures that are seen then, and whether the sheet is one.
async function hovered(page, title) {
  const picture = page.locator('#assets a', { hasText: title }).locator('.picture');
  await picture.scrollIntoViewIfNeeded({ timeout: PATIENCE_MS });
  const { width, height } = await picture.boundingBox();
  const places = [];
  for (const share of [0.1, 0.9]) {
    await picture.hover({ position: { x: width * share, y: height / 2 } });
    await page.waitForFunction((seen) => {
      const place = document.querySelector('#assets .sprite')?.style.backgroundPosition;
      return place && place !== seen;
    }, places.at(-1) ?? null, { timeout: PATIENCE_MS });
    places.push(await picture.locator('.sprite').evaluate(({ style }) => style.backgroundPosition));
  }
  const sheet = await sheetOf(picture.locator('.sprite'));
  await page.mouse.move(0, 0);
  return { places, sheet };
}

// Points at two moments of the time bar: the places on their sheet of the pictures that are seen then, and how wide that is.
async function previewed(page) {
  const bar = page.locator('.scrubber');
  await bar.scrollIntoViewIfNeeded({ timeout: PATIENCE_MS });
  const { width, height } = await bar.boundingBox();
  const places = [];
  for (const share of [0.1, 0.9]) {
    await bar.hover({ position: { x: width * share, y: height / 2 } });
    await page.waitForFunction((seen) => {
      const place = document.querySelector('.preview .sprite')?.style.backgroundPosition;
      return place && place !== seen;
    }, places.at(-1) ?? null, { timeout: PATIENCE_MS });
    places.push(await page.locator('.preview .sprite').evaluate(({ style }) => style.backgroundPosition));
  }
  const sheet = await sheetOf(page.locator('.preview .sprite'));
  await page.mouse.move(0, 0);
  return { places, sheet };
}

// How wide the sheet of a small picture is; nothing where it is none.
const sheetOf = (sprite) => sprite.evaluate(async ({ style }) => {
  const image = new Image();
  image.src = /url\("(.*)"\)/.exec(style.backgroundImage)[1];
  await image.decode().catch(() => {});
  return image.naturalWidth;
});

// Walks from an asset back to its source: what is drawn, what was measured, and where the worst of its frames lead.
async function walked(page, url, asset) {
  await page.goto(`${url}/#/asset/${asset}`);
  await page.getByText('Where it comes from').click({ timeout: PATIENCE_MS });
  const stages = page.locator('.origin .graph text:not(.soft)');
  await stages.first().waitFor({ timeout: PATIENCE_MS });
  const drawn = await stages.allTextContents();
  // What was measured a moment ago is told to the catalogue by the way.
  await page.getByText('How good it is').click();
  await page.locator('.scores tbody tr').first().waitFor({ timeout: PATIENCE_MS });
  const measured = await page.locator('.scores tbody tr').allTextContents();
  const frames = page.locator('.scores .worst a');
  await frames.first().waitFor({ timeout: PATIENCE_MS });
  const pictures = await page.locator('.scores .worst img').evaluateAll((all) => Promise.all(all.map(async (one) => {
    one.loading = 'eager';
    await one.decode().catch(() => {});
    return one.naturalWidth;
  })));
  const facts = await page.locator('.columns .facts div').evaluateAll((all) => Object.fromEntries(all.map((one) => [one.querySelector('dt').textContent, one.querySelector('dd').textContent])));
  await frames.first().click();
  await page.locator('#linked-title').waitFor({ timeout: PATIENCE_MS });
  const plot = page.locator('section[aria-labelledby=linked-title] figure.plot').first();
  await plot.locator('.u-legend').waitFor({ timeout: PATIENCE_MS });
  return { stages: drawn, measured, pictures, facts, leads: new URL(page.url()).hash, linked: await page.locator('section[aria-labelledby=linked-title] .worst img').count() };
}

// Renames an asset, takes that back, deletes it and takes it out of the trash; its titles on the way.
async function restored(page, url, asset) {
  const titles = [];
  const heading = page.locator('#playing');
  const becomes = async (title) => {
    await page.waitForFunction((title) => document.getElementById('playing')?.textContent === title, title, { timeout: PATIENCE_MS });
    titles.push(await heading.textContent());
  };
  await page.goto(`${url}/#/asset/${asset}`);
  const before = await heading.textContent({ timeout: PATIENCE_MS });
  page.once('dialog', (dialog) => dialog.accept('Renamed'));
  await page.getByRole('button', { name: 'Rename' }).click();
  await becomes('Renamed');
  await page.getByText('What became of it').click();
  await page.getByRole('button', { name: /^As it was before/ }).first().click();
  await becomes(before);
  page.once('dialog', (dialog) => dialog.accept());
  await page.getByRole('button', { name: 'Delete', exact: true }).click();
  await page.waitForURL(/#\/library$/, { timeout: PATIENCE_MS });
  await page.getByRole('button', { name: 'Trash', exact: true }).click();
  await page.getByRole('button', { name: `Restore ${before}` }).click({ timeout: PATIENCE_MS });
  await page.getByText('The trash is empty.').waitFor({ timeout: PATIENCE_MS });
  await page.getByRole('button', { name: 'All', exact: true }).click();
  await page.locator('#assets a', { hasText: before }).waitFor({ timeout: PATIENCE_MS });
  return { before, titles };
}

// Compares an asset as it plays with what was uploaded, and looks through it without a reference.
async function measured(page, url, asset) {
  await page.goto(`${url}/#/quality/${asset}`);
  await page.getByLabel('Gates, one a line').fill('vmaf.p5 >= 1\npsnr.mean >= 90');
  await page.getByRole('button', { name: 'Compare', exact: true }).click();
  const entry = (title) => page.locator('li.panel', { hasText: title });
  await entry('Comparison').locator('.tag', { hasText: 'succeeded' }).waitFor({ timeout: CONDITIONING_MS });
  const gates = await entry('Comparison').locator('td').allTextContents();
  await entry('Comparison').locator('summary', { hasText: 'Figures' }).click();
  await entry('Comparison').locator('.u-legend').first().waitFor({ timeout: PATIENCE_MS });
  const plots = await entry('Comparison').locator('figure').count();
  const worst = await pointed(page, entry('Comparison'));
  await page.getByLabel('Gates, one a line').fill('');
  await page.getByRole('button', { name: 'Inspect without a reference' }).click();
  await entry('Inspection').locator('.tag', { hasText: 'succeeded' }).waitFor({ timeout: CONDITIONING_MS });
  await entry('Inspection').locator('summary', { hasText: 'Figures' }).click();
  await entry('Inspection').locator('dl').waitFor({ timeout: PATIENCE_MS });
  return { gates, plots, worst, facts: await entry('Inspection').locator('dd').allTextContents() };
}

// Clicks into a plot near its end and near its beginning: how many pictures there are, whether they are seen, and which are chosen then.
async function pointed(page, entry) {
  const pictures = entry.locator('.worst img');
  await pictures.first().scrollIntoViewIfNeeded({ timeout: PATIENCE_MS });
  const seen = await pictures.evaluateAll((all) => Promise.all(all.map(async (one) => {
    one.loading = 'eager';
    await one.decode().catch(() => {});
    return one.naturalWidth > one.naturalHeight && one.naturalHeight > 0;
  })));
  const chosen = [];
  for (const share of [0.98, 0.02]) {
    const over = entry.locator('.u-over').first();
    await over.scrollIntoViewIfNeeded();
    const { width, height } = await over.boundingBox();
    await over.click({ position: { x: width * share, y: height / 2 } });
    await entry.locator('.worst [aria-current="true"]').waitFor({ timeout: PATIENCE_MS });
    chosen.push(await entry.locator('.worst li').evaluateAll((all) => all.findIndex((one) => one.getAttribute('aria-current') === 'true')));
  }
  return { seen, chosen };
}

// Mistypes a template, and sees where; deploys it, and waits until it stands.
async function deployed(page, url) {
  await page.goto(`${url}/#/templates`);
  await page.getByRole('button', { name: 'edge-standby', exact: true }).click();
  const editor = page.getByRole('textbox', { name: 'Template', exact: true });
  const right = await editor.inputValue();
  await editor.fill(right.replace('image: flame-vcdn', 'imag: flame-vcdn'));
  const finding = page.locator('.findings li').first();
  await finding.waitFor({ timeout: PATIENCE_MS });
  const found = await finding.textContent();
  const marked = await page.locator('.editor .marked').first().textContent();
  await finding.getByRole('button').click();
  // The cursor was at the end, and goes where the finding is after the page was drawn anew.
  await page.waitForFunction(() => {
    const area = document.querySelector('.editor textarea');
    return area.selectionStart < area.value.length;
  }, null, { timeout: PATIENCE_MS });
  const line = await editor.evaluate((area) => area.value.slice(0, area.selectionStart).split('\n').length);
  const refused = await page.getByRole('button', { name: 'Deploy', exact: true }).isDisabled();
  await editor.fill(right);
  await page.getByText('Where it would go').waitFor({ timeout: PATIENCE_MS });
  await page.getByRole('button', { name: 'Deploy', exact: true }).click();
  await page.locator('.deployment .tag', { hasText: 'settled' }).waitFor({ timeout: PATIENCE_MS });
  await page.locator('.deployment summary', { hasText: 'What was decided' }).click();
  await page.locator('.reasons li').first().waitFor({ timeout: PATIENCE_MS });
  const endpoints = await page.locator('.deployment .endpoint').allTextContents();
  // The one that stands by is added, and stands by again.
  const second = page.locator('.deployment .endpoint', { hasText: 'second' });
  const moved = [];
  for (const [button, state] of [['Add second', 'connected'], ['Let second stand by', 'booted']]) {
    await second.getByRole('button', { name: button }).click();
    await second.locator(`.dot.${state}`).waitFor({ timeout: PATIENCE_MS });
    moved.push(state);
  }
  return { moved, found, marked, line, refused, endpoints, reasons: await page.locator('.reasons li').count() };
}

// Plays through one surrogate, connects the other, kills the first, and plays beyond all that was fetched before that: what playback
// says before and after, what of the media was asked for in vain, and whether each request says how playback is (CMCD, version 2).
async function killed(page, url, asset, pictures) {
  const vain = [];
  const versions = new Set();
  const isMedia = (request) => /\.(m4s|mp4)$/.test(new URL(request.url()).pathname);
  // Playback gives up on what it wants no more.
  page.on('requestfailed', (request) => { if (isMedia(request) && request.failure()?.errorText !== 'net::ERR_ABORTED') vain.push(`${request.url()}: ${request.failure()?.errorText}`); });
  page.on('response', (answer) => { if (isMedia(answer.request()) && answer.status() >= 400) vain.push(`${answer.url()}: ${answer.status()}`); });
  page.on('request', (request) => { if (isMedia(request)) versions.add(/(^|,)v=(\d+)/.exec(new URL(request.url()).searchParams.get('CMCD') ?? '')?.[2] ?? 'none'); });
  await page.goto(`${url}/#/asset/${asset}`);
  const statistics = () => statisticsOf(page);
  // The surrogate that the last segment came from, once it is another one than `left`.
  const another = async (left) => (await page.waitForFunction((left) => {
    const [name] = document.querySelector('.insight .wide dd')?.textContent.split(' ') ?? [];
    return document.querySelector('video')?.currentTime > 1 && name?.startsWith('vcdn-') && name !== left && name;
  }, left, { timeout: PATIENCE_MS })).jsonValue();
  const own = await another(null);
  // Another way to it goes on where this one was.
  const sought_s = 5;
  await page.evaluate((to_s) => { document.querySelector('video').currentTime = to_s; }, sought_s);
  await page.waitForFunction((to_s) => { const { seeking, currentTime } = document.querySelector('video'); return !seeking && currentTime > to_s + 0.5; }, sought_s, { timeout: PATIENCE_MS });
  await page.getByLabel('Through').selectOption('edge.city', { timeout: PATIENCE_MS });
  const left = await another(own);
  const on_s = await page.evaluate(() => document.querySelector('video').currentTime);
  const before = await statistics();
  await page.getByRole('link', { name: 'Platform' }).click();
  const box = page.locator('.name', { has: page.locator('h4', { hasText: /^edge\.city$/ }) });
  const endpoint = (state) => box.locator('.endpoint', { has: page.locator(`.dot.${state}`) });
  const first = await endpoint('serving').locator('b').getAttribute('title');
  await box.getByRole('button', { name: /^Connect/ }).click();
  await page.waitForFunction(() => document.querySelectorAll('.name .dot.serving').length > 1, null, { timeout: PATIENCE_MS });
  await box.getByRole('button', { name: `Kill ${first}` }).click();
  const at_s = await page.evaluate(() => document.querySelector('video').currentTime);
  await box.locator('.dot.killed').waitFor({ timeout: PATIENCE_MS });
  const gone = await box.locator('.endpoint', { hasText: /gone: it was killed/ }).textContent({ timeout: PATIENCE_MS });
  const taken = await another(left);
  if (pictures) {
    await page.setViewportSize({ width: 1280, height: 960 });
    await page.evaluate(() => scrollTo(0, 0));
    await page.waitForFunction(() => document.querySelectorAll('.map .spot.killed').length === 1, null, { timeout: PATIENCE_MS });
    await page.screenshot({ path: `${pictures}/killed.png` });
  }
  await page.waitForFunction((to_s) => document.querySelector('video').currentTime > to_s, at_s + BUFFER_S + 3, { timeout: (BUFFER_S + 3) * 1000 + PATIENCE_MS }).catch(() => {});
  const to_s = await page.evaluate(() => document.querySelector('video').currentTime);
  return { surrogates: [own, left, taken], gone, sought_s, on_s, before, after: await statistics(), at_s, to_s, vain, versions: [...versions] };
}

// Findings of axe that keep people out, in both colour schemes.
async function barriers(page, view) {
  const found = [];
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
    for (const { id, impact, nodes } of violations) {
      if (['serious', 'critical'].includes(impact)) found.push(`${view} (${colorScheme}): ${id}: ${nodes[0].html}`);
    }
  }
  return found;
}

// Runs in the page: which element reaches furthest beyond the window; nothing where it fits.
function widest() {
  if (document.documentElement.scrollWidth <= innerWidth) return '';
  const reach = (element) => element.getBoundingClientRect().right;
  const furthest = [...document.body.querySelectorAll('*')].reduce((one, other) => reach(other) > reach(one) ? other : one, document.body);
  return `${document.documentElement.scrollWidth} px of ${innerWidth}, ${reach(furthest)} px by ${furthest.outerHTML.slice(0, 300)}`;
}

let browser;
try {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
  const page = await browser.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (message) => { if (message.text().includes('Content Security Policy')) errors.push(message.text()); });
  const elsewhere = new Set();
  page.on('request', (request) => {
    if (!/^(blob|data):/.test(request.url()) && !request.url().startsWith(`${url}/`)) elsewhere.add(request.url());
  });

  await page.goto(`${url}/#${values.linked}`);
  const linked = await played(page, null);
  const beside = await docked(page);
  const cards = await page.locator('#assets a').evaluateAll((cards) => cards.map((card) => ({
    title: card.querySelector('.title').textContent, standing: card.querySelector('.standing').textContent,
  })));
  const hover = await hovered(page, values.click);
  await page.locator('#assets a', { hasText: values.click }).click({ timeout: PATIENCE_MS });
  const clicked = await played(page, values.click);
  const address = page.url();
  const upload = await uploaded(page, values.upload);
  const live = await channel(page, url);
  const endpoint = await steered(page, url, 'transcode');
  const quality = await measured(page, url, address.split('/').at(-1));
  const origin = await walked(page, url, address.split('/').at(-1));
  const trash = await restored(page, url, values.long);
  const template = await deployed(page, url);
  const kill = await killed(page, url, values.long, values.pictures);
  const found = [];
  for (const view of [`asset/${values.linked}`, 'library?state=ready', 'library', 'live', 'chains', `chains/${values.linked}`, 'quality', 'platform', 'templates']) {
    await page.goto(`${url}/#/${view}`);
    await page.waitForLoadState('networkidle', { timeout: 2000 }).catch(() => {});
    await page.evaluate(() => { for (const one of document.querySelectorAll('details')) one.open = true; });
    found.push(...await barriers(page, view));
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: 800 });
      for (const colorScheme of values.pictures ? ['light', 'dark'] : []) {
        await page.emulateMedia({ colorScheme });
        await page.screenshot({ path: `${values.pictures}/${view.replace(/[^a-z]+/g, ' ').trim().replaceAll(' ', '-')}-${width}-${colorScheme}.png`, fullPage: true });
      }
      const wide = await page.evaluate(widest);
      if (wide) found.push(`${view}: wider than ${width} px: ${wide}`);
    }
  }
  console.log(JSON.stringify({
    linked, beside, cards, hover, clicked, address, upload, live, endpoint, quality, origin, trash, template, kill, barriers: found, elsewhere: [...elsewhere], errors,
  }));
} catch (error) {
  console.error(`portal.mjs: ${error.message}`);
  process.exitCode = 3;
} finally {
  await browser?.close();
}
