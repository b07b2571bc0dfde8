// Requests to the services, as the viewer who opened the page: the browser's cookie says who that is. Who is asked for a token
// finds it in `asked`.

import { signal } from '@preact/signals';

/** Whether a service wanted a token that nobody has given. */
export const asked = signal(false);

/** Counts those who signed in: what was asked before says nothing of whether they have to. */
let viewers = 0;

/** Somebody has signed in. */
export function admitted(): void {
  viewers += 1;
  asked.value = false;
}

/** A refusal, in the words of whoever refused. */
export class Refusal extends Error {
  constructor(readonly status: number, detail: string) {
    super(detail);
  }
}

export async function send(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Response> {
  const json: Record<string, string> = body === undefined ? {} : { 'content-type': 'application/json' };
  const viewer = viewers;
  const answer = await fetch(path, {
    method, cache: 'no-store', headers: { ...json, ...headers }, body: body === undefined ? null : JSON.stringify(body),
  });
  if (answer.ok) return answer;
  if (answer.status === 401 && viewer === viewers) asked.value = true;
  const problem = (await answer.json().catch(() => ({}))) as { detail?: string };
  throw new Refusal(answer.status, problem.detail ?? `${path}: ${answer.status}`);
}

export async function ask<T>(path: string): Promise<T> {
  return (await send('GET', path)).json() as Promise<T>;
}
