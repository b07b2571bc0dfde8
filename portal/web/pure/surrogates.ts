// Which names surrogates answer under, and what they have saved.

import type { Deployment } from '../api/types';
import { short } from './words';

/** Names under which surrogates front something and want no link with a token: the bundle's own, and those that templates have started. */
export function fronts(own: readonly string[], deployed: readonly Deployment[]): string[] {
  const started = deployed.flatMap(({ endpoints }) => endpoints).filter(({ image, state }) => image === 'flame-vcdn' && state === 'connected');
  const names = [...own, ...started.flatMap(({ names }) => names)].map(short);
  return [...new Set(names)].filter((name) => !/\.signed(\.|$)/.test(name)).sort();
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
