// Requests to the services, as the viewer who opened the page. Who is asked for a token finds it in `asked`.

import { signal } from '@preact/signals';
import { token as given } from '../pure/route';

const KEY = 'token';

/** Whether a service wanted a token that nobody has given. */
export const asked = signal(false);

/** A refusal, in the words of whoever refused. */
export class Refusal extends Error {
  constructor(readonly status: number, detail: string) {
    super(detail);
  }
}

/** Takes the token out of the address, and so out of the bar and the history. */
export function admit(): void {
  const found = given(location.hash);
  if (found === null) return;
  use(found);
  history.replaceState(null, '', location.pathname);
}

export function use(token: string): void {
  sessionStorage.setItem(KEY, token.trim());
  asked.value = false;
}

export function authorization(): Record<string, string> {
  const token = sessionStorage.getItem(KEY);
  return token ? { authorization: `Bearer ${token}` } : {};
}

export async function send(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Response> {
  const json: Record<string, string> = body === undefined ? {} : { 'content-type': 'application/json' };
  const answer = await fetch(path, {
    method, cache: 'no-store', headers: { ...authorization(), ...json, ...headers }, body: body === undefined ? null : JSON.stringify(body),
  });
  if (answer.ok) return answer;
  if (answer.status === 401) asked.value = true;
  const problem = (await answer.json().catch(() => ({}))) as { detail?: string };
  throw new Refusal(answer.status, problem.detail ?? `${path}: ${answer.status}`);
}

export async function ask<T>(path: string): Promise<T> {
  return (await send('GET', path)).json() as Promise<T>;
}
