// What of the catalogue is looked at: words, a state, values of fields, an order. It is kept in the address, so that a link, a
// reload and the way back lead to the same assets.

import { operands } from './commands';
import { quoted } from './words';

export type Value = string | number | boolean;
/** Values that are wanted of fields: of one field any will do, of several fields all are wanted. */
export type Wanted = { [field: string]: Value[] };
export type Search = { words: string; state: string; sort: string; wanted: Wanted };

/** Fields whose values are counted beside the list, as the filter calls them and as people do. The service counts up to eight. */
export const FACETS: readonly (readonly [field: string, title: string])[] = [
  ['probe.video.height', 'Height'], ['probe.video.codec', 'Video'], ['probe.audio.codec', 'Sound'], ['version.chain', 'Made by'],
  ['record.genre', 'Genre'], ['record.keywords', 'Keywords'], ['record.inLanguage', 'Language'], ['protected', 'Signed links only'],
];
/** Orders, as the service takes them; none is its own: the newest first, or what fits the words best. */
export const SORTS: readonly (readonly [sort: string, title: string])[] = [
  ['', 'Newest'], ['created_at', 'Oldest'], ['-updated_at', 'Last changed'], ['title', 'Title'], ['-probe.duration_ms', 'Longest'],
  ['probe.duration_ms', 'Shortest'], ['-source.size_bytes', 'Largest'],
];
export const TRASH = 'deleted';
export const NOTHING: Search = { words: '', state: '', sort: '', wanted: {} };

const STATES = ['ready', 'registered', 'failed', TRASH];
const WORDS_MAX_CHARS = 200;
/** Values of a field that a link may hold; the filter has a bound of its own. */
const VALUES_MAX = 8;

/** Reads what stands behind the `?`. What is unknown, or no value, is passed over: a link may be mistyped. */
export function read(query: string): Search {
  const said = new URLSearchParams(query);
  const wanted: Wanted = {};
  for (const [field] of FACETS) {
    const values = [...new Set(said.getAll(field).map(value).filter((one) => one !== null))].slice(0, VALUES_MAX);
    if (values.length > 0) wanted[field] = values;
  }
  const [state, sort] = [said.get('state') ?? '', said.get('sort') ?? ''];
  return {
    words: (said.get('q') ?? '').trim().slice(0, WORDS_MAX_CHARS), state: STATES.includes(state) ? state : '',
    sort: SORTS.some(([known]) => known === sort) ? sort : '', wanted,
  };
}

/** The inverse of [`read`]; nothing where nothing is searched. */
export function write({ words, state, sort, wanted }: Search): string {
  const said = new URLSearchParams({ ...(words && { q: words }), ...(state && { state }), ...(sort && { sort }) });
  for (const [field] of FACETS) for (const one of wanted[field] ?? []) said.append(field, literal(one));
  return said.toString();
}

/** With a value more, or one less where it was wanted already. */
export function toggled(search: Search, field: string, one: Value): Search {
  const before = search.wanted[field] ?? [];
  const values = before.includes(one) ? before.filter((other) => other !== one) : [...before, one].slice(-VALUES_MAX);
  const { [field]: _, ...others } = search.wanted;
  return { ...search, wanted: values.length > 0 ? { ...others, [field]: values } : others };
}

/** The filter in the service's words; `but`: a field whose values do not count, so that the others of it are offered too. */
export function filter(wanted: Wanted, but?: string): string {
  return Object.entries(wanted).filter(([field, values]) => field !== but && values.length > 0)
    .map(([field, values]) => `${field} in (${values.map(literal).join(', ')})`).join(' and ');
}

/** What is asked of `/assets`; the trash is neither searched nor filtered, and has no other order. */
export function asked({ words, state, sort, wanted }: Search): Record<string, string> {
  if (state === TRASH) return { deleted: 'true' };
  const kept = filter(wanted);
  return { ...(words && { q: words }), ...(state && { state }), ...(kept && { filter: kept }), ...(sort && { sort }) };
}

/** The same as `flame` takes it: a search for words has no state of its own, and its filter says it. */
export function command({ words, state, sort, wanted }: Search): string {
  if (state === TRASH) return 'asset list --deleted';
  const kept = filter(wanted);
  const filters = words && state ? [`state = ${state}`, ...(kept ? [kept] : [])].join(' and ') : kept;
  const flags = `${filters && ` --filter ${quoted(filters)}`}${sort && ` --sort=${quoted(sort)}`}`;
  return words ? `asset search${flags} ${operands(...words.split(/\s+/))}` : `asset list${state && ` --state ${state}`}${flags}`;
}

export type Count = { value: Value; count: number };
export type Facet = { field: string; values: Count[]; more: boolean; missing: number };

/**
 * The questions of `/facets` that all counts come of: one for the fields of which nothing is wanted, and one for each of the others
 * without its own values.
 */
export function questions({ words, state, wanted }: Search): Record<string, string>[] {
  const plain = { ...(words && { q: words }), ...(state && { state }) };
  const open = FACETS.map(([field]) => field).filter((field) => !wanted[field]);
  const question = (by: string, kept: string) => ({ by, ...plain, ...(kept && { filter: kept }) });
  return [...(open.length > 0 ? [question(open.join(), filter(wanted))] : []), ...Object.keys(wanted).map((field) => question(field, filter(wanted, field)))];
}

/** What is offered, in the order of [`FACETS`]: what is wanted always, others where they would tell assets apart. */
export function offered(found: readonly Facet[], wanted: Wanted, most: number): { field: string; title: string; values: Count[]; more: boolean }[] {
  return FACETS.flatMap(([field, title]) => {
    const facet = found.find((one) => one.field === field);
    const own = wanted[field] ?? [];
    const counted = facet?.values ?? [];
    const lost = own.filter((one) => !counted.some(({ value }) => value === one)).map((one) => ({ value: one, count: 0 }));
    const first = counted.filter(({ value }, at) => at < most || own.includes(value));
    const tells = counted.length > 1 || (counted.length === 1 && (facet?.missing ?? 0) > 0);
    if (own.length === 0 && !tells) return [];
    return [{ field, title, values: [...first, ...lost], more: (facet?.more ?? false) || counted.length > first.length }];
  });
}

/** A value as people read it. */
export function shown(field: string, one: Value): string {
  if (field === 'probe.video.height') return `${one}p`;
  return typeof one === 'boolean' ? (one ? 'yes' : 'no') : String(one);
}

/** As the filter takes it: texts in quotes, so that `720` the text is not 720 the number. */
function literal(one: Value): string {
  return typeof one === 'string' ? `"${one.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"` : String(one);
}

function value(text: string): Value | null {
  if (text === 'true' || text === 'false') return text === 'true';
  if (/^-?\d{1,15}(\.\d{1,15})?$/.test(text)) return Number(text);
  const [, inside] = /^"((?:[^"\\]|\\["\\])*)"$/.exec(text) ?? [];
  return inside === undefined ? null : inside.replaceAll(/\\(["\\])/g, '$1');
}
