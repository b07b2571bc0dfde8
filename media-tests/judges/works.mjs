// Does at the portal in headless Chromium, where tokens are needed, by the commands that the page shows what makes or measures something: each is run
// in a shell as it stands there. Prints one line of JSON: what came of them.
//
//   node works.mjs URL --flame PROGRAM --folder FOLDER --data DATA --token TOKEN --asset ASSET --long LONG
//
// URL: the router. PROGRAM: `flame`; DATA: its data folder. TOKEN: reads and writes. FOLDER: where the commands run; it holds a suite that is called
// `SUITE.yaml`, as they call it. ASSET: one that is called `First`; it is edited, what it was before is had back, and its source is measured.
// LONG: one that takes a while; jobs and measurements of it are cancelled.
// Exit status: 0 observed (also what does not work), 2 wrong usage, 3 could not be carried out, as by a command that fails.
// Nothing but loopback is spoken to.

import { randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';
import { PATIENCE_MS, enter, link, shell, shown, until } from './shell.mjs';

const FLAGS = ['--disable-gpu', '--disable-quic', '--no-first-run'];
/** Time for something short to be measured, on a machine that does other things, too. */
const MEASURING_MS = 120000;
const TOOLS = ['flame', 'curl'];
const NAMES = ['flame', 'folder', 'data', 'token', 'asset', 'long'];
const { values, positionals: [url] } = parseArgs({ allowPositionals: true, options: Object.fromEntries(NAMES.map((name) => [name, { type: 'string' }])) });
if (!url || NAMES.some((name) => !values[name])) {
  console.error('usage: works.mjs URL --flame PROGRAM --folder FOLDER --data DATA --token TOKEN --asset ASSET --long LONG');
  process.exit(2);
}
const { run } = shell(values);

// What a service says, or what comes of telling it something.
async function ask(path, body) {
  const headers = { authorization: `Bearer ${values.token}`, ...(body !== undefined && { 'content-type': 'application/json' }) };
  const answer = await fetch(`${url}${path}`, { headers, ...(body !== undefined && { method: 'POST', body: JSON.stringify(body) }) });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${path}: ${answer.status}: ${text}`);
  return text === '' ? null : JSON.parse(text);
}

// A view as it is when one comes to it.
async function view(page, hash) {
  const { origin } = new URL(page.url());
  await page.goto('about:blank');
  await page.goto(`${origin}/${hash}`);
}

// Edits the asset, and has back what it was before each change: its titles.
async function restored(page) {
  const path = `/~metadata/assets/${values.asset}`;
  run(`flame --router '${url}' asset edit ${values.asset} --title=Second`);
  const titles = [(await ask(path)).title];
  for (const tool of TOOLS) {
    const before = (await ask(path)).revision - 1;
    await view(page, `#/asset/${values.asset}`);
    await page.locator('summary', { hasText: 'What became of it' }).click({ timeout: PATIENCE_MS });
    run(await shown(page, 'details:has(> ol.reasons) > details.equivalent', 'As it was before', tool, tool === 'flame' ? `--revision ${before}` : `revision=${before}`));
    titles.push((await ask(path)).title);
  }
  return titles;
}

// Compares the asset's source with itself, and inspects it: how each measurement ended, and whether its gate is kept.
async function measured(page) {
  const part = 'section[aria-labelledby=measure-title] form > details.equivalent';
  await view(page, `#/quality/${values.asset}`);
  await page.getByLabel('What is looked at').fill(`${values.asset}/source`, { timeout: PATIENCE_MS });
  for (const metric of ['ssim', 'vmaf']) await page.getByRole('button', { name: metric, exact: true }).click({ timeout: PATIENCE_MS });
  const found = {};
  for (const [what, kind, gate] of [['Compare', 'comparisons', 'psnr.mean > 20'], ['Inspect', 'inspections', 'video.height >= 100']]) {
    await page.getByLabel(/^Gates, one a line/).fill(gate, { timeout: PATIENCE_MS });
    for (const tool of TOOLS) run(await shown(page, part, what, tool, gate));
    const jobs = await until(async () => (await ask(`/~quality/${kind}?limit=20`)).items, (items) => items.every(({ state }) => !['queued', 'running'].includes(state)), MEASURING_MS);
    found[kind] = jobs.map(({ state, passed, gates }) => [state, passed, gates.map(({ gate }) => gate)]);
  }
  return found;
}

// Has measurements of the long one cancelled: how those ended. One is made at a time, so that what waits is not over before.
async function given_up(page) {
  const media = `${values.long}/source`;
  for (let count = 0; count < 4; count += 1) {
    await ask('/~quality/comparisons', { id: randomUUID(), reference: media, distorted: media, metrics: ['vmaf', 'vmaf_neg'], gates: [] });
  }
  const ended = new Map();
  for (const tool of TOOLS) {
    await view(page, '#/quality');
    const job = (command) => /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/.exec(command)[0];
    // What the page knew before it asked again may be what has ended meanwhile.
    const command = await until(() => shown(page, 'section[aria-labelledby=measurements-title] > details.equivalent', 'Cancel', tool), (text) => !ended.has(job(text)));
    run(command);
    const { state } = await until(() => ask(`/~quality/comparisons/${job(command)}`), (one) => !['queued', 'running'].includes(one.state));
    ended.set(job(command), state);
  }
  const { items } = await ask('/~quality/comparisons?limit=20');
  for (const { id } of items.filter(({ state }) => ['queued', 'running'].includes(state))) await ask(`/~quality/comparisons/${id}/cancel`, {});
  return [...ended.values()];
}

// Has jobs on the long one cancelled: how those ended. The first one keeps the others waiting.
async function stopped(page) {
  const { source, probe } = await ask(`/~metadata/assets/${values.long}`);
  const begun = [];
  for (const chain of ['ladder', 'proxy', 'proxy']) {
    const id = randomUUID();
    await ask('/~transcode/jobs', { id, chain, asset_id: values.long, source_key: source.key, probe });
    begun.push(id);
  }
  const [first, left, right] = begun;
  await view(page, `#/chains/${values.long}/${left}/${right}`);
  const ended = [];
  // The left one is offered while it waits, then the right one.
  for (const [tool, job] of [['flame', left], ['curl', right]]) {
    run(await shown(page, 'section[aria-labelledby=compare-title] > details.equivalent', 'Cancel', tool, job));
    ended.push((await until(() => ask(`/~transcode/jobs/${job}`), ({ state }) => !['queued', 'running'].includes(state))).state);
  }
  await ask(`/~transcode/jobs/${first}/cancel`, {});
  return ended;
}

// Runs the suite as is said where none has been, and as is said at its runs, and has both kept: the suite, and how often it ran.
async function tested(page) {
  const section = 'section[aria-labelledby=suites-title]';
  await view(page, '#/quality');
  run(await shown(page, `${section} > details.equivalent`, null, 'flame'));
  await view(page, '#/quality');
  await page.locator(`${section} summary`, { hasText: 'Gates from run to run' }).click({ timeout: PATIENCE_MS });
  const runs = `${section} li > details > details.equivalent`;
  run(await shown(page, runs, null, 'flame'));
  const { items } = JSON.parse(run(await shown(page, `${section} > details.equivalent`, null, 'curl')));
  return { suites: items.map(({ suite, runs: count, passed, failed }) => [suite, count, passed, failed]), runs: JSON.parse(run(await shown(page, runs, null, 'curl'))).items.length };
}

let browser;
try {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
  const page = await enter(browser, await link(browser, url, run));
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  const titles = await restored(page);
  const measurements = await measured(page);
  const cancelled = { measurements: await given_up(page), jobs: await stopped(page) };
  const suite = await tested(page);
  console.log(JSON.stringify({ titles, measurements, cancelled, suite, errors }));
} catch (error) {
  console.error(`works.mjs: ${error.stack}`);
  process.exitCode = 3;
} finally {
  await browser?.close();
}
