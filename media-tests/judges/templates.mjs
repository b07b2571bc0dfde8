// Works on a template at the portal in headless Chromium by the commands that the page shows, each run in a shell as it stands there, and sees on
// the page what comes of them. Prints one line of JSON: what was seen.
//
//   node templates.mjs URL --flame PROGRAM --folder FOLDER [--pictures FOLDER]
//
// URL: the router. PROGRAM: `flame`. FOLDER: where the template is saved as the commands call it. It is mistyped and looked at, put right,
// planned, deployed, moved and taken away, and each of that by `flame` and by a request.
// Exit status: 0 observed (also what does not work), 2 wrong usage, 3 could not be carried out.
// Nothing but loopback is spoken to.

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const FLAGS = ['--disable-gpu', '--disable-quic', '--no-first-run', '--autoplay-policy=no-user-gesture-required'];
const PATIENCE_MS = 30000;
const { values, positionals: [url] } = parseArgs({ allowPositionals: true, options: {
  flame: { type: 'string' }, folder: { type: 'string' }, pictures: { type: 'string' },
} });
if (!url || !values.flame || !values.folder) {
  console.error('usage: templates.mjs URL --flame PROGRAM --folder FOLDER [--pictures FOLDER]');
  process.exit(2);
}

// Runs a command as it is shown; its status and all that it said.
function ran(command) {
  const text = `flame() { "$FLAME" "$@"; }; curl() { command curl -sS --fail-with-body --max-time 60 "$@"; }; ${command}`;
  const { status, stdout, stderr } = spawnSync('sh', ['-c', text], { cwd: values.folder, env: { ...process.env, FLAME: values.flame }, encoding: 'utf8', timeout: 3 * PATIENCE_MS });
  return { status, said: stdout + stderr };
}

// The command that stands under `what` in a part of the page, by `flame` or by `curl`; the first one where nothing stands over it.
async function shown(page, part, what, tool) {
  const place = page.locator(`${part} > details.equivalent > div`);
  const one = what === null ? place.first() : place.filter({ has: page.locator('span', { hasText: new RegExp(`^${what}$`) }) }).first();
  return one.locator('pre').filter({ hasText: new RegExp(`^${tool} `) }).textContent({ timeout: PATIENCE_MS });
}

// Saves what stands in the editors as the commands call it.
async function saved(page) {
  writeFileSync(join(values.folder, 'template.yaml'), await page.getByRole('textbox', { name: 'Template', exact: true }).inputValue());
  writeFileSync(join(values.folder, 'alerts.yaml'), await page.getByRole('textbox', { name: 'Alerts', exact: true }).inputValue());
}

let browser;
try {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
  const page = await browser.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  const editing = (what, tool) => shown(page, 'section[aria-labelledby=template-title] .stage', what, tool);
  const deployed = (what, tool) => shown(page, 'section[aria-labelledby=deployments-title]', what, tool);
  await page.goto(`${url}/#/templates`);
  await page.getByRole('button', { name: 'edge-standby', exact: true }).click();
  const editor = page.getByRole('textbox', { name: 'Template', exact: true });
  const right = await editor.inputValue();

  // Mistyped: the page and the commands name the same line.
  await editor.fill(right.replace('image: flame-vcdn', 'imag: flame-vcdn'));
  const finding = await page.locator('.findings li').first().textContent({ timeout: PATIENCE_MS });
  const line = Number(/Line (\d+)/.exec(finding)?.[1]);
  await saved(page);
  const wrong = { finding, line, validate: ran(await editing('Look at it', 'flame')), plan: ran(await editing('Plan', 'flame')), request: ran(await editing('Plan', 'curl')) };

  // Right: looked at, and planned.
  await editor.fill(right);
  await page.getByText('Where it would go').waitFor({ timeout: PATIENCE_MS });
  await saved(page);
  const looked = { validate: ran(await editing('Look at it', 'flame')), plan: ran(await editing('Plan', 'flame')), request: ran(await editing('Plan', 'curl')) };

  const settled = page.locator('.deployment .tag', { hasText: 'settled' });
  const nothing = page.getByText('Nothing is deployed.');
  const first = page.locator('.deployment .endpoint', { has: page.locator('b', { hasText: /^first$/ }) });
  const stood = async (state) => {
    await first.locator(`.dot.${state}`).waitFor({ timeout: PATIENCE_MS });
    await settled.waitFor({ timeout: PATIENCE_MS });
    return state;
  };
  // A life, by one tool: each state is seen on the page before the next command.
  const life = async (tool) => {
    const states = [];
    const statuses = [];
    const run = async (command) => { const { status, said } = ran(command); statuses.push(status === 0 ? 0 : `${command}: ${said}`); return said; };
    await run(await editing(tool === 'flame' ? null : 'By request', tool));
    await settled.waitFor({ timeout: PATIENCE_MS });
    states.push(await stood('connected'));
    for (const [what, state] of [['Stand by', 'booted'], ['Add', 'connected']]) {
      await run(await deployed(what, tool));
      states.push(await stood(state));
    }
    await page.locator('.deployment summary', { hasText: 'What was decided' }).click();
    await page.locator('.reasons li').first().waitFor({ timeout: PATIENCE_MS });
    const reasons = await run(await page.locator('.deployment details.equivalent pre').filter({ hasText: new RegExp(`^${tool} `) }).textContent());
    const status = await run(await deployed(null, tool));
    if (values.pictures && tool === 'flame') await page.screenshot({ path: `${values.pictures}/templates-by-command.png`, fullPage: true });
    await run(await deployed('Undeploy', tool));
    const gone = await nothing.waitFor({ timeout: PATIENCE_MS }).then(() => true, () => false);
    return { states, statuses, reasons, status, gone };
  };
  const byFlame = await life('flame');
  const byRequest = await life('curl');

  // The same by the buttons, to its end.
  await page.getByRole('button', { name: 'Deploy', exact: true }).click();
  await stood('connected');
  await page.getByRole('button', { name: 'Undeploy city', exact: true }).click();
  const gone = await nothing.waitFor({ timeout: PATIENCE_MS }).then(() => true, () => false);
  console.log(JSON.stringify({ wrong, looked, byFlame, byRequest, gone, errors }));
} catch (error) {
  console.error(`templates.mjs: ${error.stack}`);
  process.exitCode = 3;
} finally {
  await browser?.close();
}
