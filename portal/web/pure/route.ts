// What the address shows. The part behind the hash is never sent to a server or a proxy.

import { type Search, read as searched, write as query } from './search';

export type View = 'library' | 'live' | 'chains' | 'quality' | 'platform' | 'templates';
/** How much of the past the platform shows, as it goes on. */
export const SPANS = ['5m', '15m', '1h', '6h'] as const;
export type Span = (typeof SPANS)[number];
/** A time range that a link holds fast, milliseconds since 1970. */
export type Range = { from_ms: number; to_ms: number };
/** Jobs on an asset that are compared; the newest where none are named. */
export type Pair = { asset: string; left: string | null; right: string | null };
/** A measurement, and the part of its media that a link holds fast, milliseconds. */
export type Measured = { kind: 'comparisons' | 'inspections'; id: string; range: Range | null };
/** A gate of a suite's case, from run to run, and the time that a link holds fast. */
export type Trend = { suite: string; case: string; gate: string; range: Range | null };
/** `of`: the asset whose quality is looked at. `chain`: whose measurements the platform shows, of a time `range` or of the last `span`. `search`: which assets the library shows, where not all. */
export type Route = { view: View; asset: string | null; range?: Range; span?: Span; of?: string; chain?: string; pair?: Pair; measured?: Measured; trend?: Trend; search?: Search };

const VIEWS: readonly View[] = ['library', 'live', 'chains', 'quality', 'platform', 'templates'];

/**
 * Reads `#/live`, `#/library?q=WORDS`, `#/asset/ID`, `#/platform/FROM-TO/CHAIN`, `#/platform/1h/CHAIN`, `#/quality/ID`, `#/quality/comparisons/ID/FROM-TO`,
 * `#/quality/suites/SUITE/FROM-TO/CASE/GATE`, `#/chains/ASSET/JOB/JOB`, and `#ID`, as `flame ingest` prints it. What is unknown shows the library.
 */
export function read(hash: string): Route {
  const text = hash.replace(/^#/, '');
  if (text !== '' && !text.startsWith('/')) return { view: 'library', asset: decoded(text) };
  const [path = '', ...behind] = text.slice(1).split('?');
  const [first = '', second = '', third = '', fourth = '', fifth = '', sixth = ''] = path.split('/');
  const search = searched(behind.join('?'));
  const looked = query(search) === '' ? {} : { search };
  if (first === 'asset' && second !== '') return { view: 'library', asset: decoded(second), ...looked };
  const view = VIEWS.find((view) => view === first) ?? 'library';
  const base: Route = { view, asset: null };
  if (view === 'library') return { ...base, ...looked };
  if (second === '') return base;
  if (view === 'chains') return { ...base, pair: { asset: decoded(second), left: decoded(third) || null, right: decoded(fourth) || null } };
  if (view === 'quality' && (second === 'comparisons' || second === 'inspections') && third !== '') {
    return { ...base, measured: { kind: second, id: decoded(third), range: range(fourth) } };
  }
  if (view === 'quality' && second === 'suites' && third !== '') {
    return { ...base, trend: { suite: decoded(third), case: decoded(fifth), gate: decoded(sixth), range: range(fourth) } };
  }
  if (view === 'quality') return { ...base, of: decoded(second) };
  if (view !== 'platform') return base;
  const [held, last] = [range(second), SPANS.find((span) => span === second)];
  if (held === null && last === undefined) return base;
  return { ...base, ...(held ? { range: held } : { span: last! }), ...(third !== '' && { chain: decoded(third) }) };
}

/** The inverse of [`read`]. */
export function write(route: Route): string {
  const said = route.search && route.view === 'library' ? query(route.search) : '';
  const behind = said && `?${said}`;
  if (route.asset !== null) return `#/asset/${encodeURIComponent(route.asset)}${behind}`;
  const parts = route.pair ? [route.pair.asset, route.pair.left ?? '', route.pair.right ?? '']
    : route.measured ? [route.measured.kind, route.measured.id, span(route.measured.range)]
    : route.trend ? ['suites', route.trend.suite, span(route.trend.range), route.trend.case, route.trend.gate]
    : route.of !== undefined ? [route.of] : [route.range ? span(route.range) : route.span ?? '', route.chain ?? ''];
  // What is not said at the end is left out.
  const said_parts = parts.slice(0, parts.findLastIndex((part) => part !== '') + 1);
  return `#/${[route.view, ...said_parts.map(encodeURIComponent)].join('/')}${behind}`;
}

/** A token in the address, as `flame up` prints it: `#token=...`. */
export function token(hash: string): string | null {
  return new URLSearchParams(hash.replace(/^#/, '')).get('token');
}

/** Why the issuer at which somebody wanted to sign in has sent them back, in a word: `#/?refused=nobody`. */
export function refusal(hash: string): string | null {
  const [, behind = ''] = hash.split('?');
  return new URLSearchParams(behind).get('refused');
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function range(text: string): Range | null {
  const [from_ms, to_ms] = (/^(\d{1,14})-(\d{1,14})$/.exec(text) ?? []).slice(1).map(Number);
  return from_ms !== undefined && to_ms !== undefined && from_ms < to_ms ? { from_ms, to_ms } : null;
}

function span(range: Range | null): string {
  return range === null ? '' : `${range.from_ms}-${range.to_ms}`;
}
