// What the address shows. The part behind the hash is never sent to a server or a proxy.

import { type Search, read as searched, write as query } from './search';

export type View = 'library' | 'live' | 'chains' | 'quality' | 'platform' | 'templates';
/** A time range that a link holds fast, milliseconds since 1970. */
export type Range = { from_ms: number; to_ms: number };
/** `of`: the asset whose quality is looked at. `search`: which assets the library shows, where not all. */
export type Route = { view: View; asset: string | null; range?: Range; of?: string; search?: Search };

const VIEWS: readonly View[] = ['library', 'live', 'chains', 'quality', 'platform', 'templates'];

/** Reads `#/live`, `#/library?q=WORDS`, `#/asset/ID`, `#/platform/FROM-TO`, `#/quality/ID`, and `#ID`, as `flame ingest` prints it. What is unknown shows the library. */
export function read(hash: string): Route {
  const text = hash.replace(/^#/, '');
  if (text !== '' && !text.startsWith('/')) return { view: 'library', asset: decoded(text) };
  const [path = '', ...behind] = text.slice(1).split('?');
  const [first = '', second = ''] = path.split('/');
  const search = searched(behind.join('?'));
  const looked = query(search) === '' ? {} : { search };
  if (first === 'asset' && second !== '') return { view: 'library', asset: decoded(second), ...looked };
  const view = VIEWS.find((view) => view === first) ?? 'library';
  const [from_ms, to_ms] = (/^(\d{1,14})-(\d{1,14})$/.exec(second) ?? []).slice(1).map(Number);
  const isRange = view === 'platform' && from_ms !== undefined && to_ms !== undefined && from_ms < to_ms;
  return { view, asset: null, ...(view === 'library' && looked), ...(isRange && { range: { from_ms, to_ms } }), ...(view === 'quality' && second !== '' && { of: decoded(second) }) };
}

/** The inverse of [`read`]. */
export function write(route: Route): string {
  const said = route.search && route.view === 'library' ? query(route.search) : '';
  const behind = said && `?${said}`;
  if (route.asset !== null) return `#/asset/${encodeURIComponent(route.asset)}${behind}`;
  if (route.of !== undefined) return `#/${route.view}/${encodeURIComponent(route.of)}`;
  return `#/${route.view}${route.range ? `/${route.range.from_ms}-${route.range.to_ms}` : ''}${behind}`;
}

/** A token in the address, as `flame up` prints it: `#token=...`. */
export function token(hash: string): string | null {
  return new URLSearchParams(hash.replace(/^#/, '')).get('token');
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
