// How many requests each endpoint answers a second, from what a router has counted at two moments.

import type { Standing } from '../api/types';

/** What was counted at a moment, milliseconds on any clock that does not go back. */
export type Counted = { at_ms: number; answers: ReadonlyMap<string, number> };

/** A router counts up to this, and from 0 again. */
const COUNTS = 2 ** 32;

type Named = Pick<Standing, 'site' | 'name' | 'endpoint'>;

export function keyOf({ site, name, endpoint }: Named): string {
  return `${site} ${name} ${endpoint}`;
}

/** Whose count is not told to who looks is not counted. */
export function counted(standings: readonly (Named & { answers: number | null })[], at_ms: number): Counted {
  return { at_ms, answers: new Map(standings.flatMap((one) => (one.answers === null ? [] : [[keyOf(one), one.answers]]))) };
}

/** Answers a second of those that were known before; who is counted from the start again has begun anew. Only what is more than nothing. */
export function rates(before: Counted | null, now: Counted): ReadonlyMap<string, number> {
  const span_s = before ? (now.at_ms - before.at_ms) / 1000 : 0;
  if (before === null || span_s <= 0) return new Map();
  return new Map([...now.answers].flatMap(([key, count]) => {
    const more = (count - (before.answers.get(key) ?? count) + COUNTS) % COUNTS;
    // More than half of all numbers is one that counts from the start again.
    return more > 0 && more < COUNTS / 2 ? [[key, more / span_s] as const] : [];
  }));
}
