// Which names surrogates answer under, and what they have saved.

import type { Standing, SurrogateStats } from '../api/types';
import { short } from './words';

/** The names under which surrogates speak for themselves: `vcdn`, and `vcdn-FUNCTION.INSTANCE` of templates. */
export function talkers(standings: readonly Pick<Standing, 'name' | 'state'>[]): string[] {
  const names = standings.filter(({ name, state }) => /^vcdn[-.]/.test(name) && state === 'serving').map(({ name }) => short(name));
  return [...new Set(names)].sort();
}

/** The names that they serve and that want no link with a token. */
export function fronts(all: readonly Pick<SurrogateStats, 'names'>[]): string[] {
  return [...new Set(all.flatMap(({ names }) => names.map(short)))].filter((name) => !/\.signed(\.|$)/.test(name)).sort();
}

/** The share of what was sent that was fetched from nobody, 0 to 1; nothing sent yet is nothing saved. */
export function saved({ sent_bytes, fetched_bytes }: { sent_bytes: number; fetched_bytes: number }): number {
  return sent_bytes > 0 ? Math.max(0, 1 - fetched_bytes / sent_bytes) : 0;
}

/** Who answered, as `Cache-Status` has it (RFC 9211): each hop's name and how it had the answer, the one nearest to the origin first. */
export function hops(status: string): { name: string; how: string }[] {
  return status.split(',').map((hop) => hop.split(';').map((part) => part.trim())).filter(([name]) => name).map(([name, ...how]) => ({
    name: name!.replace(/^"|"$/g, ''),
    how: how.includes('hit') ? 'hit' : how.find((part) => part.startsWith('fwd=')) ?? '',
  }));
}
