// Signs in at the portal in headless Chromium at an issuer of OpenID Connect that nobody here wrote (npm oidc-provider), and prints one
// line of JSON: what was seen.
//
//   node oidc.mjs URL --port PORT --secret SECRET [--pictures FOLDER]
//
// URL: the portal, where tokens are needed, and which knows the issuer http://localhost:PORT, at which it is the client `flame` with
// SECRET. The issuer is served until all is seen. It knows `writer`, whose claim `roles` holds read and write, and `nobody`, who has none.
// Exit status: 0 observed (also what does not work), 2 wrong usage, 3 could not be carried out.
// Nothing but loopback is spoken to.

import { parseArgs } from 'node:util';
import { Provider } from 'oidc-provider';
import { chromium } from 'playwright-core';

const FLAGS = ['--disable-gpu', '--disable-quic', '--no-first-run'];
const PATIENCE_MS = 20000;
const { values, positionals: [url] } = parseArgs({ allowPositionals: true, options: {
  port: { type: 'string' }, secret: { type: 'string' }, pictures: { type: 'string' },
} });
if (!url || !values.port || !values.secret) {
  console.error('usage: oidc.mjs URL --port PORT --secret SECRET [--pictures FOLDER]');
  process.exit(2);
}

const ROLES = { writer: ['read', 'write', 'staff'], nobody: ['staff'] };
const portal = new URL(url).origin;
// What it warns of, that it runs for a test, belongs to no answer.
console.info = console.warn = () => {};
const issuer = new Provider(`http://localhost:${values.port}`, {
  clients: [{
    client_id: 'flame', client_secret: values.secret, redirect_uris: [`${portal}/api/router/session/oidc/return`],
    response_types: ['code'], grant_types: ['authorization_code'],
  }],
  pkce: { required: () => true },
  features: { devInteractions: { enabled: true } },
  scopes: ['openid', 'roles'],
  claims: { openid: ['sub'], roles: ['roles'] },
  conformIdTokenClaims: false,
  cookies: { keys: ['of this test'] },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, roles: ROLES[id] ?? [] }) }),
});

// From the portal to the issuer and through its pages, as `who`; what the portal shows then.
async function signed(browser, who, picture) {
  const context = await browser.newContext();
  // The issuer's pages would like to have a font from elsewhere.
  await context.route((to) => !['127.0.0.1', 'localhost'].includes(to.hostname), (route) => route.abort());
  const page = await context.newPage();
  await page.goto(url);
  const door = page.getByRole('link', { name: /^Sign in at/ });
  await door.waitFor({ timeout: PATIENCE_MS });
  const called = await door.textContent();
  if (values.pictures) await page.screenshot({ path: `${values.pictures}/${picture}-door.png` });
  await door.click();
  await page.locator('input[name=login]').fill(who, { timeout: PATIENCE_MS });
  await page.locator('input[name=password]').fill('any');
  await page.getByRole('button', { name: 'Sign-in' }).click();
  await page.getByRole('button', { name: 'Continue' }).click({ timeout: PATIENCE_MS });
  await page.locator('.who, [role=alert]').first().waitFor({ timeout: PATIENCE_MS });
  if (values.pictures) await page.screenshot({ path: `${values.pictures}/${picture}.png` });
  const seen = await page.evaluate(() => ({
    who: document.querySelector('.who')?.firstChild.textContent ?? '', alert: document.querySelector('[role=alert]')?.textContent ?? '',
    upload: document.querySelector('.drop') !== null, address: location.href, cookie: document.cookie, kept: sessionStorage.length,
  }));
  const cookies = (await context.cookies()).filter(({ name }) => name.startsWith('flame'));
  return { page, context, seen: { ...seen, called, cookies: cookies.map(({ name, httpOnly, sameSite }) => ({ name, httpOnly, sameSite })) } };
}

let browser, server;
try {
  server = await new Promise((listening, failed) => {
    const server = issuer.listen(Number(values.port), '127.0.0.1', () => listening(server));
    server.on('error', failed);
  });
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
  const writer = await signed(browser, 'writer', 'writer');
  const nobody = await signed(browser, 'nobody', 'nobody');
  // Who says no at the issuer is back at the portal.
  const context = await browser.newContext();
  await context.route((to) => !['127.0.0.1', 'localhost'].includes(to.hostname), (route) => route.abort());
  const page = await context.newPage();
  await page.goto(url);
  await page.getByRole('link', { name: /^Sign in at/ }).click({ timeout: PATIENCE_MS });
  await page.getByRole('link', { name: 'Cancel' }).click({ timeout: PATIENCE_MS });
  await page.getByRole('alert').waitFor({ timeout: PATIENCE_MS });
  const cancelled = await page.getByRole('alert').textContent();
  console.log(JSON.stringify({ writer: writer.seen, nobody: nobody.seen, cancelled }));
} catch (error) {
  console.error(`oidc.mjs: ${error.message}`);
  process.exitCode = 3;
} finally {
  await browser?.close();
  server?.closeAllConnections();
  server?.close();
}
