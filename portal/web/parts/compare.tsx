// Two jobs on one asset side by side; chains are started on it, and cancelled, from here.

import { useMemo, useState } from 'preact/hooks';
import { ask, send } from '../api/http';
import { usePoll } from '../api/poll';
import type { Asset, Chain, Job, Page, Score } from '../api/types';
import { request } from '../pure/commands';
import { compared } from '../pure/compare';
import { order } from '../pure/order';
import { identifier } from '../pure/identifier';
import { write } from '../pure/route';
import { ago, quoted } from '../pure/words';
import { Equivalent } from './equivalent';
import { May } from './may';

const REFRESH_MS = 1000;
const RARELY_MS = 15_000;
const OFFERED = 50;
const SIDES = ['left', 'right'] as const;

/** `pair`: the asset, and the jobs that are compared; the newest where none are named. */
export function Compare({ pair, chains }: { pair: { asset: string; left: string | null; right: string | null }; chains: readonly Chain[] }) {
  const id = encodeURIComponent(pair.asset);
  const asset = usePoll(() => ask<Asset>(`/~metadata/assets/${id}`), RARELY_MS, pair.asset);
  const named = [pair.left, pair.right].filter((job) => job !== null);
  const key = named.join();
  // What was asked for before a job was named says nothing of that one.
  const jobs = usePoll(async () => ({ key, items: (await ask<Page<Job>>(`/~transcode/jobs?asset_id=${id}&limit=${OFFERED}`)).items }), REFRESH_MS, pair.asset, key);
  const scores = usePoll(() => ask<Page<Score>>(`/~metadata/assets/${id}/scores`), RARELY_MS, pair.asset);
  const [chain, setChain] = useState('ladder');
  const [problem, setProblem] = useState('');
  // The command stays as it is while somebody marks it.
  const example = useMemo(identifier, [pair.asset, chain]);
  const all = jobs.value?.items ?? [];
  // The older one stands left: what changes is read from left to right.
  const right = all.find((job) => job.id === pair.right) ?? all.find((job) => job.id !== pair.left);
  const left = all.find((job) => job.id === pair.left) ?? all.find((job) => job.id !== right?.id);
  const lost = jobs.value?.key === key ? named.filter((name) => !all.some(({ id }) => id === name)) : [];
  const go = (side: 'left' | 'right', job: string) => {
    const now = { left: left?.id ?? null, right: right?.id ?? null, [side]: job };
    location.hash = write({ view: 'chains', asset: null, pair: { asset: pair.asset, ...now } });
  };
  const act = (what: Promise<unknown>) => what.then(() => { setProblem(''); jobs.again(); }, (error: Error) => setProblem(error.message));
  const begin = () => {
    if (!asset.value) return;
    const made = identifier();
    void act(send('POST', '/~transcode/jobs', order(made, asset.value, chain))
      .then(() => { location.hash = write({ view: 'chains', asset: null, pair: { asset: pair.asset, left: right?.id ?? null, right: made } }); }));
  };
  const runs = [left, right].find((job) => job && ['queued', 'running'].includes(job.state));
  const trouble = problem || asset.trouble || jobs.trouble || scores.trouble;
  return (
    <section aria-labelledby="compare-title">
      <div class="row spread">
        <h2 id="compare-title">Jobs on <a href={write({ view: 'library', asset: pair.asset })}>{asset.value?.title || pair.asset}</a></h2>
        <a class="button" href={write({ view: 'chains', asset: null })}>All jobs</a>
      </div>
      <May><form class="row" onSubmit={(event) => { event.preventDefault(); begin(); }}>
        <label>Run <select value={chain} onChange={(event) => setChain(event.currentTarget.value)}>
          {[...new Set(['ladder', ...chains.map(({ name }) => name)])].map((name) => <option key={name}>{name}</option>)}
        </select></label>
        <button disabled={!asset.value?.probe}>Start</button>
        <span class="quiet">What it makes plays from then on.</span>
      </form></May>
      {trouble && <p class="notice" role="status">{trouble}</p>}
      {lost.length > 0 && <p class="notice" role="status">{lost.map((job) => `…${job.slice(-8)}`).join(' and ')}: not among the last {OFFERED} jobs on this asset any more. Another one is shown instead.</p>}
      {jobs.value && all.length < 2 && <p class="quiet">{all.length === 0 ? 'No job has run on it yet.' : 'One job has run on it: run another chain to compare.'}</p>}
      <div class="pair">
        {SIDES.map((side) => {
          const job = side === 'left' ? left : right;
          if (!job) return null;
          return (
            <div key={side} class="panel stage">
              <label>{side === 'left' ? 'Left' : 'Right'} <select value={job.id} onChange={(event) => go(side, event.currentTarget.value)}>
                {all.map(({ id, chain, state, created_at }) => <option key={id} value={id}>{chain}, {state}, {ago(created_at, Date.now())}</option>)}
              </select></label>
              <p class="row"><b>{job.chain}</b> <span class={`tag ${job.state}`}>{job.state}</span>
                {['queued', 'running'].includes(job.state) && <>
                  <progress max={1} value={job.progress} aria-label={`Progress of the ${side} job`} /> {Math.round(job.progress * 100)} % {job.stage}
                  <May><button type="button" class="grave" onClick={() => void act(send('POST', cancel(job.id)))}>Cancel</button></May>
                </>}</p>
              {job.error && <p class="notice">{job.error}</p>}
            </div>
          );
        })}
      </div>
      {left && right && (
        <div class="scroll" tabIndex={0} role="region" aria-label="Compared">
          <table class="compared">
            <thead><tr><th scope="col">What</th><th scope="col">{left.chain}</th><th scope="col">{right.chain}</th><th scope="col">Change</th></tr></thead>
            {compared(left, right, scores.value?.items ?? [], Date.now()).map(({ title, rows }) => (
              <tbody key={title}>
                <tr><th scope="rowgroup" colSpan={4}>{title}</th></tr>
                {rows.map(({ name, left, right, change }) => <tr key={name}><th scope="row">{name}</th><td>{left}</td><td>{right}</td><td>{change}</td></tr>)}
              </tbody>
            ))}
          </table>
        </div>
      )}
      <Equivalent curl={request('GET', `/~transcode/jobs?asset_id=${id}`)} more={[
        { what: 'Start', flame: `job start ${quoted(pair.asset)} --chain ${quoted(chain)}`, ...(asset.value?.probe && { curl: request('POST', '/~transcode/jobs', order(example, asset.value, chain)) }) },
        ...(runs ? [{ what: 'Cancel', flame: `job cancel ${runs.id}`, curl: request('POST', cancel(runs.id)) }] : []),
      ]} />
    </section>
  );
}

function cancel(job: string): string {
  return `/~transcode/jobs/${encodeURIComponent(job)}/cancel`;
}
