// Which names surrogates answer under, and what they have saved.

import type { Deployment, Endpoint } from '../api/types';
import { short } from './words';

/** Names under which surrogates front something and want no link with a token: the bundle's own, and those that templates have started. */
export function fronts(own: readonly string[], deployed: readonly Deployment[]): string[] {
  const started = deployed.flatMap(({ endpoints }) => endpoints).filter(({ image, state }) => image === 'flame-vcdn' && state === 'connected');
  const names = [...own, ...started.flatMap(({ names }) => names)].map(short);
  return [...new Set(names)].filter((name) => !/\.signed(\.|$)/.test(name)).sort();
}

/** So many surrogates are asked what they have done. */
const APIS_MAX = 12;

/** The names of the surrogates' own APIs: the bundle's (`vcdn`), and those of templates (`vcdn-first.city`). */
export function apis(endpoints: readonly Endpoint[]): string[] {
  const names = endpoints.filter(({ state }) => state !== 'killed').map(({ name }) => short(name));
  return [...new Set(names)].filter(isApi).sort().slice(0, APIS_MAX);
}

/** The endpoints that are surrogates, by their identifiers: whoever answers for a surrogate's API answers for what it fronts, too. */
export function surrogates(endpoints: readonly { name: string; endpoint: string }[]): ReadonlySet<string> {
  return new Set(endpoints.filter(({ name }) => isApi(short(name))).map(({ endpoint }) => endpoint));
}

function isApi(name: string): boolean {
  return /^vcdn(-[^.]+\.|$)/.test(name);
}

/** The share of what was sent that was fetched from nobody, 0 to 1; nothing sent yet is nothing saved. */
export function saved({ sent_bytes, fetched_bytes }: { sent_bytes: number; fetched_bytes: number }): number {
  return sent_bytes > 0 ? Math.max(0, 1 - fetched_bytes / sent_bytes) : 0;
}

/** A step of a search: the place that was asked (`site/endpoint`, or a site's router), what came of it, and after how long. */
export type Step = { place: string; status: number | null; ms: number | null };

/** The way of a search as a router tells it in `Flame-Trace`: a list with a member for each step. */
export function steps(trace: string): Step[] {
  return parted(trace, ',').map((step) => parted(step, ';').map((part) => part.trim())).filter(([place]) => place).map(([place, ...facts]) => {
    const fact = (name: string) => facts.map((one) => one.split('=')).find(([found]) => found === name)?.[1];
    const number = (name: string) => (fact(name) === undefined || Number.isNaN(Number(fact(name))) ? null : Number(fact(name)));
    return { place: named(place!), status: number('status'), ms: number('ms') };
  });
}

/** What a string says (RFC 8941, section 3.3.3); anything else stands for itself. */
function named(text: string): string {
  return /^".*"$/.test(text) ? text.slice(1, -1).replaceAll(/\\(.)/g, '$1') : text;
}

/** Cut at each `mark` that stands in no string (RFC 8941, section 3.3.3). */
function parted(text: string, mark: ',' | ';'): string[] {
  const parts = text.match(mark === ',' ? /(?:"(?:\\.|[^"\\])*"|[^,"])+/g : /(?:"(?:\\.|[^"\\])*"|[^;"])+/g);
  return parts ?? [];
}

/** Who answered, as `Cache-Status` has it (RFC 9211): each hop's name and how it had the answer, the one nearest to the origin first. */
export function hops(status: string): { name: string; how: string }[] {
  return parted(status, ',').map((hop) => parted(hop, ';').map((part) => part.trim())).filter(([name]) => name).map(([name, ...how]) => ({
    name: named(name!),
    how: how.includes('hit') ? 'hit' : how.find((part) => part.startsWith('fwd=')) ?? '',
  }));
}
