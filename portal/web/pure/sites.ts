// What a router knows of endpoints, its own and those of its peers, by site and name.

import type { Endpoint, Peer, Standing } from '../api/types';
import { span } from './words';

export type Instance = { endpoint: string; standing: Standing | null; own: Endpoint | null };
export type Site = { name: string; peer: Peer | null; names: { name: string; instances: Instance[] }[] };

/** In which state an endpoint is. Of one that does not answer any more nothing is said of how it answers. */
export function standing({ standing, own }: Instance): string {
  const state = standing?.state ?? own?.state ?? '';
  if (state === 'hung') return 'hung: it does not answer';
  if (state === 'killed') return 'gone: it was killed';
  return `${state}${standing?.latency_us != null ? `, answers in ${span(standing.latency_us)}` : ''}`;
}

/** The router's own site comes first, then the nearest; names and endpoints by alphabet. */
export function sites(own: Endpoint[], standings: Standing[], peers: Peer[]): Site[] {
  const all = new Map<string, Map<string, Map<string, Instance>>>();
  const at = (site: string, name: string, endpoint: string): Instance => {
    const names = all.get(site) ?? new Map<string, Map<string, Instance>>();
    all.set(site, names);
    const instances = names.get(name) ?? new Map<string, Instance>();
    names.set(name, instances);
    const instance = instances.get(endpoint) ?? { endpoint, standing: null, own: null };
    instances.set(endpoint, instance);
    return instance;
  };
  for (const one of own) at(one.site, one.name, one.endpoint).own = one;
  for (const one of standings) at(one.site, one.name, one.endpoint).standing = one;
  for (const { site } of peers) if (!all.has(site)) all.set(site, new Map());
  const home = new Set(own.map(({ site }) => site));
  const far = (site: Site) => (home.has(site.name) ? -1 : site.peer?.distance_ms ?? Number.MAX_VALUE);
  return [...all]
    .map(([name, names]) => ({
      name,
      peer: peers.find(({ site }) => site === name) ?? null,
      names: [...names].sort(byFirst).map(([name, instances]) => ({ name, instances: [...instances].sort(byFirst).map(([, one]) => one) })),
    }))
    .sort((a, b) => far(a) - far(b) || (a.name < b.name ? -1 : 1));
}

function byFirst([a]: [string, unknown], [b]: [string, unknown]): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
