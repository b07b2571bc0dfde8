// What the judges of the portal's commands share: a shell that runs them as they stand there, a browser that is signed in by one, and waiting.

import { spawnSync } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';

/** Time for a page to show something. */
export const PATIENCE_MS = 30000;
/** Time for a command: most of it is what services make meanwhile. */
const COMMAND_MS = 120000;
/** Between two looks. */
const LOOK_MS = 100;

/** A shell in `folder` that knows `flame`, its data folder and a token: `run` gives what a command printed, and fails where that fails; `answered` a request's status. */
export function shell({ flame, folder, data, token }) {
  const surroundings = { cwd: folder, env: { ...process.env, FLAME: flame, FLAME_DATA: data, FLAME_TOKEN: token }, encoding: 'utf8', timeout: COMMAND_MS };
  return {
    run(command) {
      const text = `flame() { "$FLAME" "$@"; }; curl() { command curl -sS --fail-with-body --max-time 60 "$@"; }; ${command}`;
      const { status, stdout, stderr } = spawnSync('sh', ['-c', text], surroundings);
      if (status !== 0) throw new Error(`${command}: ${status}: ${stdout}${stderr}`);
      return stdout;
    },
    answered(...request) {
      return Number(spawnSync('curl', ['-sS', '-o', '/dev/null', '-w', '%{http_code}', '--max-time', '60', ...request], surroundings).stdout);
    },
  };
}

/** The command that stands under `what` in a part of the page, by `flame` or by `curl`; the first one where nothing stands over it. */
export async function shown(page, part, what, tool, has = '') {
  const place = page.locator(`${part} > div`);
  const one = what === null ? place.first() : place.filter({ has: page.locator('span', { hasText: new RegExp(`^${what}$`) }) });
  return one.locator('pre').filter({ hasText: new RegExp(`^${tool} `) }).filter({ hasText: has }).first().textContent({ timeout: PATIENCE_MS });
}

/** The link that the page at `url` says how to make. */
export async function link(browser, url, run) {
  const entry = await browser.newPage();
  await entry.goto(url);
  const made = run(await shown(entry, 'form.notice > details.equivalent', null, 'flame')).trim();
  await entry.close();
  return made;
}

/** A page that a link has signed in. */
export async function enter(browser, made) {
  const page = await (await browser.newContext()).newPage();
  await page.goto(made);
  await page.locator('.who').waitFor({ timeout: PATIENCE_MS });
  return page;
}

/** What `look` finds, once it `is` what is waited for. */
export async function until(look, is, patience_ms = PATIENCE_MS) {
  const deadline = Date.now() + patience_ms;
  for (;;) {
    const found = await look();
    if (is(found)) return found;
    if (Date.now() > deadline) throw new Error(`still ${JSON.stringify(found)} after ${patience_ms} ms`);
    await pause(LOOK_MS);
  }
}
