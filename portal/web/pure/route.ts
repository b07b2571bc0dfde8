// What the address shows. The part behind the hash is never sent to a server or a proxy.

export type View = 'library' | 'live' | 'chains' | 'platform';
export type Route = { view: View; asset: string | null };

const VIEWS: readonly View[] = ['library', 'live', 'chains', 'platform'];

/** Reads `#/live`, `#/asset/ID`, and `#ID`, as `flame ingest` prints it. What is unknown shows the library. */
export function read(hash: string): Route {
  const text = hash.replace(/^#/, '');
  if (text !== '' && !text.startsWith('/')) return { view: 'library', asset: decoded(text) };
  const [first = '', second = ''] = text.slice(1).split('/');
  if (first === 'asset' && second !== '') return { view: 'library', asset: decoded(second) };
  return { view: VIEWS.find((view) => view === first) ?? 'library', asset: null };
}

/** The inverse of [`read`]. */
export function write(route: Route): string {
  return route.asset === null ? `#/${route.view}` : `#/asset/${encodeURIComponent(route.asset)}`;
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
