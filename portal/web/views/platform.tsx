// The platform: what runs where, how it answers, and buttons to take an instance out while a video plays on.

import { useState } from 'preact/hooks';
import { ask, send } from '../api/http';
import { usePoll } from '../api/poll';
import type { Endpoint, Page, Peer, ServicePath, Standing } from '../api/types';
import { Equivalent } from '../parts/equivalent';
import { Plot } from '../parts/plot';
import { Sites } from '../parts/sites';
import { type Answers, lines } from '../pure/answers';
import { quoted, short } from '../pure/words';

const REFRESH_MS = 1000;
const MEASURED_MS = 5000;
const DATABASES_MS = 30_000;
/** What reports goes by default into the database called as the chain that it belongs to (`FLAME_SFC`). */
const DATABASE = 'flame';
const SPANS = ['5m', '15m', '1h', '6h'] as const;
const STEPS: Record<(typeof SPANS)[number], string> = { '5m': '10s', '15m': '10s', '1h': '1m', '6h': '5m' };

export function Platform() {
  const [since, setSince] = useState<(typeof SPANS)[number]>('15m');
  const [done, setDone] = useState<{ endpoint: Endpoint; what: string } | null>(null);
  const [problem, setProblem] = useState('');
  const [chosen, setChosen] = useState(DATABASE);
  const endpoints = usePoll(() => ask<Page<Endpoint>>('/api/router/endpoints'), REFRESH_MS);
  const routes = usePoll(() => ask<Page<Standing>>('/api/router/routes'), REFRESH_MS);
  const peers = usePoll(() => ask<Page<Peer>>('/api/router/peers'), REFRESH_MS);
  const paths = usePoll(() => ask<Page<ServicePath>>('/api/router/paths'), MEASURED_MS);
  const question = (what: string) => `SELECT ${what} FROM /.*/ WHERE time > now() - ${since} GROUP BY time(${STEPS[since]}), flame_sfe`;
  const databases = usePoll(() => ask<Answers>('/~clmc/query?q=SHOW+DATABASES'), DATABASES_MS);
  const names = (databases.value?.results[0]?.series?.[0]?.values ?? []).map(([name]) => String(name));
  const db = names.includes(chosen) ? chosen : names[0];
  const measured = (what: string) => async () => (db === undefined ? null
    : ask<Answers>(`/~clmc/query?${new URLSearchParams({ db, q: question(what), epoch: 'ms' })}`));
  const times = usePoll(measured('mean(response_time) * 1000'), MEASURED_MS, since, db);
  const counts = usePoll(measured('sum(requests)'), MEASURED_MS, since, db);

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
        {trouble && <p class="notice" role="status">{trouble}</p>}
        <Sites endpoints={endpoints.value?.items ?? []} standings={routes.value?.items ?? []} peers={peers.value?.items ?? []} act={act} />
        {done
          ? <Equivalent flame={`endpoint ${done.what} ${short(done.endpoint.name)} ${done.endpoint.endpoint}`} curl={`-X POST {origin}${way(done.endpoint, done.what)}`} />
          : <Equivalent flame="endpoint list" curl="{origin}/api/router/endpoints" />}
      </section>
      {(paths.value?.items.length ?? 0) > 0 && (
        <section aria-labelledby="paths-title">
          <h2 id="paths-title">Paths</h2>
          <ul class="plain">{paths.value!.items.map(({ name, functions }) => (
            <li key={name} class="row"><b>{short(name)}</b> {functions.map((one, at) => <span key={at} class="tag">{short(one.name)}{one.site && ` at ${one.site}`}</span>)}</li>
          ))}</ul>
        </section>
      )}
      <section aria-labelledby="measured-title">
        <div class="row spread">
          <h2 id="measured-title">Measured</h2>
          <div class="choices" role="group" aria-label="Time">
            {names.length > 1 && <label>Chain <select value={db} onChange={(event) => setChosen(event.currentTarget.value)}>
              {names.map((name) => <option key={name}>{name}</option>)}
            </select></label>}
            {SPANS.map((span) => <button key={span} type="button" aria-pressed={span === since} onClick={() => setSince(span)}>{span}</button>)}
          </div>
        </div>
        {times.trouble && <p class="notice" role="status">{times.trouble}</p>}
        <div class="plots">
          <Plot title="Response time" unit="ms" lines={times.value && lines(times.value, ({ name }) => name)} />
          <Plot title="Requests" unit="" lines={counts.value && lines(counts.value, ({ name }) => name)} />
        </div>
        <Equivalent flame={`clmc query --db ${quoted(db ?? DATABASE)} ${quoted(question('mean(response_time)'))}`} curl={`-G {origin}/~clmc/query -d db=${quoted(db ?? DATABASE)} --data-urlencode 'q=${question('mean(response_time)')}'`} />
      </section>
    </>
  );
}

function way({ name, endpoint }: Endpoint, what: string): string {
  return `/api/router/endpoints/${encodeURIComponent(name)}/${encodeURIComponent(endpoint)}/${what}`;
}
