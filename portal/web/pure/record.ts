// A record of schema.org's names, as people read it.

import type { AssetRecord, Change } from '../api/types';

const VALUE_MAX_CHARS = 300;

/** What is shown elsewhere: the player lists chapters. */
const ELSEWHERE = ['hasPart'];

/** What is said, by its names; of people and places theirs, of one's own fields `custom.NAME`. What is not said is left out. */
export function facts(record: AssetRecord, custom: { [name: string]: unknown }): [string, string][] {
  const all = [...Object.entries(record).filter(([name]) => !ELSEWHERE.includes(name)), ...Object.entries(custom).map(([name, value]) => [`custom.${name}`, value] as const)];
  return all.map(([name, value]) => [name, shown(value)] as [string, string]).filter(([, value]) => value !== '');
}

/** What a change was about: the fields that it gave, or why. */
export function sentence({ change, detail }: Pick<Change, 'change' | 'detail'>): string {
  const fields = Object.entries(change ?? {}).map(([name, value]) => `${name}: ${value === null ? 'nothing' : shown(value)}`);
  return [...fields, ...(detail ? [detail] : [])].join('; ');
}

function shown(value: unknown): string {
  if (value === null || value === undefined) return '';
  if (Array.isArray(value)) return value.map(shown).filter((one) => one !== '').join(', ');
  if (typeof value === 'object') {
    const { name } = value as { name?: unknown };
    return cut(typeof name === 'string' ? name : JSON.stringify(value));
  }
  return cut(String(value));
}

function cut(text: string): string {
  return text.length > VALUE_MAX_CHARS ? `${text.slice(0, VALUE_MAX_CHARS - 1)}…` : text;
}
