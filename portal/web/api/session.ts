// Who looks at the page, and what they may do. A token that is shown once becomes a cookie that no script can read; the router
// turns it into `Authorization` for the services of the bundle.

import { signal } from '@preact/signals';
import { refusal, token as given } from '../pure/route';
import { notSignedIn } from '../pure/words';
import { Refusal, admitted, asked, send } from './http';
import type { Session, SignInDoors } from './types';

/** Where one signs in and out. */
export const SESSION = '/api/router/session';
/** How often, and how far apart, it is asked who looks. */
const TURNS = 5;
const TURN_MS = 1000;

/** Nothing before it is known, and where a token is wanted that nobody has given. */
export const session = signal<Session | null>(null);

/** Why the issuer has sent back whoever wanted to sign in there. */
export const refused = signal('');

/** Whether who looks may do what needs this scope. */
export function may(scope: string): boolean {
  return session.value?.scopes.includes(scope) ?? false;
}

/** Takes a token out of the address, and so out of the bar and the history, signs in with it, and finds out who that is. */
export async function admit(): Promise<void> {
  const found = given(location.hash);
  const word = refusal(location.hash);
  if (word !== null) refused.value = notSignedIn(word);
  if (found !== null || word !== null) history.replaceState(null, '', location.pathname);
  await look();
  const now = session.value;
  if (found === null || (now !== null && isOpen(now))) return;
  // Any page may hold such a link: nobody works on as somebody else without having been asked.
  if (now !== null && !confirm(`You are ${called(now)}. Let this link sign you in as somebody else?`)) return;
  await enter(found).catch((error: Error) => alert(`This link signs nobody in: ${error.message}`));
}

/** Signs in with a token or a link's. */
export async function enter(token: string): Promise<void> {
  session.value = await (await send('POST', SESSION, undefined, { authorization: `Bearer ${token.trim()}` })).json() as Session;
  refused.value = '';
  admitted();
}

/** How one can sign in, besides with a token or a link. */
export async function doors(): Promise<SignInDoors> {
  return (await send('GET', `${SESSION}/doors`)).json() as Promise<SignInDoors>;
}

export async function leave(): Promise<void> {
  await send('DELETE', SESSION);
  session.value = null;
  asked.value = true;
}

export function called({ subject, tenant }: Session): string {
  return `${subject} of ${tenant}`;
}

/** Whether everybody on this machine may everything. */
export function isOpen({ subject }: Session): boolean {
  return subject === 'loopback';
}

async function look(): Promise<void> {
  for (let turn = 0; turn < TURNS; turn += 1) {
    try {
      session.value = await (await send('GET', SESSION)).json() as Session;
      return;
    } catch (error) {
      // Nobody is somebody once that is said; a router that cannot say it now is asked again.
      if (error instanceof Refusal && error.status < 500) break;
      await new Promise((resolve) => setTimeout(resolve, TURN_MS));
    }
  }
  session.value = null;
}
