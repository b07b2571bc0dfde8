// The platform: what runs where, how it answers, and buttons to take an instance out while a video plays on.

import { useMemo, useRef, useState } from 'preact/hooks';
import { ask, send } from '../api/http';
import { usePoll } from '../api/poll';
import { may } from '../api/session';
import type { Endpoint, Page, Peer, ServicePath, Standing } from '../api/types';
import { Activity } from '../parts/activity';
import { Equivalent } from '../parts/equivalent';
import { Plot } from '../parts/plot';
import { Sites } from '../parts/sites';
import { Surrogates } from '../parts/surrogate';
import { type Answers, lines, named, when } from '../pure/answers';
import { type Command, request } from '../pure/commands';
import { type Counted, counted, rates } from '../pure/rates';
import { type Range, SPANS, type Span, write } from '../pure/route';
import { quoted, short } from '../pure/words';

const REFRESH_MS = 1000;
const MEASURED_MS = 5000;
const DATABASES_MS = 30_000;
/** What reports goes by default into the database called as the chain that it belongs to (`FLAME_SFC`). */
const DATABASE = 'flame';
const NOBODY: Endpoint[] = [];
const NO_RATES: ReadonlyMap<string, number> = new Map();
const NO_PEERS: Page<Peer> = { items: [], next_cursor: null };
const SPANS_MS: Record<Span, number> = { '5m': 300_000, '15m': 900_000, '1h': 3_600_000, '6h': 21_600_000 };

/** `range`: the time that a link holds fast; without it the last `span`, as it goes on. `chain`: whose measurements. All of it stands in the address. */
export function Platform({ range, span, chain }: { range: Range | null; span: Span | null; chain: string | null }) {
  const since = span ?? '15m';
  const [done, setDone] = useState<{ endpoint: Endpoint; what: string } | null>(null);
  const [problem, setProblem] = useState('');
  const chosen = chain ?? DATABASE;
  const endpoints = usePoll(() => ask<Page<Endpoint>>('/api/router/endpoints'), REFRESH_MS);
  const before = useRef<Counted | null>(null);
  const routes = usePoll(async () => {
    const { items } = await ask<Page<Standing>>('/api/router/routes');
    const now = counted(items, performance.now());
    const found = { items, rates: rates(before.current, now) };
    before.current = now;
    return found;
  }, REFRESH_MS);
  // Other sites are for administrators to see: who may not is not told so each second.
  const admin = may('admin');
  const peers = usePoll(() => (admin ? ask<Page<Peer>>('/api/router/peers') : Promise.resolve(NO_PEERS)), REFRESH_MS, admin);
  const paths = usePoll(() => ask<Page<ServicePath>>('/api/router/paths'), MEASURED_MS);
  const { where, step } = range ? when(range) : { where: `time > now() - ${since}`, step: when({ from_ms: 0, to_ms: SPANS_MS[since] }).step };
  const question = (what: string) => `SELECT ${what} FROM /.*/ WHERE ${where} GROUP BY time(${step}), flame_sfe`;
  const held = () => {
    const to_ms = Date.now();
    return range ?? { from_ms: to_ms - SPANS_MS[since], to_ms };
  };
  const databases = usePoll(() => ask<Answers>('/~clmc/query?q=SHOW+DATABASES'), DATABASES_MS);
  const names = (databases.value?.results[0]?.series?.[0]?.values ?? []).map(([name]) => String(name));
  // A link to what is not there shows nothing else instead.
  const db = chain !== null || names.includes(chosen) ? chosen : names[0];
  const all = db === undefined || names.includes(db) ? names : [...names, db];
  const measured = (what: string) => async () => (db === undefined ? null
    : ask<Answers>(`/~clmc/query?${new URLSearchParams({ db, q: question(what), epoch: 'ms' })}`));
  const times = usePoll(measured('mean(response_time) * 1000'), MEASURED_MS, where, db);
  const counts = usePoll(measured('sum(requests)'), MEASURED_MS, where, db);

  // New lines only where something else was measured: a plot keeps what one looks at.
  const responses = useMemo(() => times.value && lines(times.value, named), [times.value]);
  const requests = useMemo(() => counts.value && lines(counts.value, named), [counts.value]);
  const shows = `${db}\n${where}`;
  const told = (time: { range: Range } | { span: Span }, of = db) => write({ view: 'platform', asset: null, ...time, ...(of !== undefined && of !== DATABASE && { chain: of }) });
  const address = (range: Range) => told({ range });

  const act = async (endpoint: Endpoint, what: 'connect' | 'drain' | 'kill') => {
    try {
      await send('POST', way(endpoint, what));
      setDone({ endpoint, what });
      setProblem('');
      endpoints.again();
      routes.again();
    } catch (error) {
      setProblem((error as Error).message);
    }
  };
  const trouble = problem || endpoints.trouble || routes.trouble || peers.trouble;
  return (
    <>
      <section aria-labelledby="sites-title">
        <h2 id="sites-title">Sites and endpoints</h2>
        <p class="quiet">What runs, and where. Play something, then drain or kill what it comes through: it plays on through another one.</p>
        {trouble && <p class="notice" role="status">{trouble}</p>}
        <Sites endpoints={endpoints.value?.items ?? []} standings={routes.value?.items ?? []} rates={routes.value?.rates ?? NO_RATES} peers={peers.value?.items ?? []} act={act} />
        {done
          ? <Equivalent {...command(done.endpoint, done.what)} />
          : <Equivalent flame="endpoint list" curl="{origin}/api/router/endpoints"
              more={(endpoints.value?.items ?? []).slice(0, 1).flatMap((one) => (['connect', 'drain', 'kill'] as const).map((what) => ({ what: `${what[0]!.toUpperCase()}${what.slice(1)}`, ...command(one, what) })))} />}
      </section>
      {(paths.value?.items.length ?? 0) > 0 && (
        <section aria-labelledby="paths-title">
          <h2 id="paths-title">Paths</h2>
          <ul class="plain">{paths.value!.items.map(({ name, functions }) => (
            <li key={name} class="row"><b>{short(name)}</b> {functions.map((one, at) => <span key={at} class="tag">{short(one.name)}{one.site && ` at ${one.site}`}</span>)}</li>
          ))}</ul>
        </section>
      )}
      <Activity />
      <Surrogates endpoints={endpoints.value?.items ?? NOBODY} />
      <section aria-labelledby="measured-title">
        <div class="row spread">
          <h2 id="measured-title">Measured</h2>
          <div class="choices" role="group" aria-label="Time">
            {all.length > 1 && <label>Chain <select value={db} onChange={(event) => { location.hash = told(range ? { range } : { span: since }, event.currentTarget.value); }}>
              {all.map((name) => <option key={name}>{name}</option>)}
            </select></label>}
            {SPANS.map((span) => <button key={span} type="button" aria-pressed={range === null && span === since} onClick={() => { location.hash = told({ span }); }}>{span}</button>)}
            <button type="button" aria-pressed={range !== null} onClick={() => { location.hash = address(held()); }}>Hold this time</button>
          </div>
        </div>
        {range && <p class="quiet" role="status">{new Date(range.from_ms).toLocaleString()} to {new Date(range.to_ms).toLocaleString()}; the address of this page is a link to it.</p>}
        {times.trouble && <p class="notice" role="status">{times.trouble}</p>}
        <div class="plots">
          <Plot key={`times ${shows}`} title="Response time" unit="ms" lines={responses} range={range} address={address} />
          <Plot key={`counts ${shows}`} title="Requests" unit="" lines={requests} range={range} address={address} />
        </div>
        <Equivalent flame={`clmc query --db ${quoted(db ?? DATABASE)} ${quoted(question('mean(response_time)'))}`} curl={`-G {origin}/~clmc/query -d db=${quoted(db ?? DATABASE)} --data-urlencode ${quoted(`q=${question('mean(response_time)')}`)}`} />
      </section>
    </>
  );
}

function command(endpoint: Endpoint, what: string): Command {
  return { flame: `endpoint ${what} ${short(endpoint.name)} ${endpoint.endpoint}`, curl: request('POST', way(endpoint, what)) };
}

function way({ name, endpoint }: Endpoint, what: string): string {
  return `/api/router/endpoints/${encodeURIComponent(name)}/${encodeURIComponent(endpoint)}/${what}`;
}
