// Requests as commands: what a button sends, for `curl`.

import { quoted } from './words';

/** What something can be done with, from a shell; `{origin}` stands for this router in `curl`. */
export type Command = { what?: string; flame?: string; curl?: string };

/** A request as arguments of `curl`. Paths are quoted where a shell would read them. */
export function request(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): string {
  const all = { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers };
  const flags = Object.entries(all).map(([name, value]) => ` -H ${quoted(`${name}: ${value}`)}`).join('');
  const [open, close] = /^[\w./:@%+=~-]+$/.test(path) ? ['', ''] : ["'", "'"];
  return `${method === 'GET' ? '' : `-X ${method} `}${open}{origin}${path.replaceAll("'", "'\\''")}${close}${flags}${body === undefined ? '' : ` -d ${quoted(JSON.stringify(body))}`}`;
}

/** Arguments of `flame` that are no options, even where they look like some; nothing but such may follow. */
export function operands(...texts: readonly string[]): string {
  return [...(texts.some((text) => text.startsWith('-')) ? ['--'] : []), ...texts.map(quoted)].join(' ');
}

/** As it is typed: for this router, with a token where one is wanted. */
export function typed({ flame, curl }: Command, origin: string, wants_token: boolean): string[] {
  const token = wants_token ? '-H "authorization: Bearer $FLAME_TOKEN" ' : '';
  return [
    ...(flame === undefined ? [] : [`flame --router ${origin} ${flame}`]),
    ...(curl === undefined ? [] : [`curl ${token}${curl.replaceAll('{origin}', origin)}`]),
  ];
}
