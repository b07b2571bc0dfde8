// Conditioning: the chains that there are, and the jobs that run them.

import { useState } from 'preact/hooks';
import { ask, send } from '../api/http';
import { useList } from '../api/list';
import { usePoll } from '../api/poll';
import type { Chain, ChainDetail, Job, Page } from '../api/types';
import { Begin } from '../parts/begin';
import { Compare } from '../parts/compare';
import { Equivalent } from '../parts/equivalent';
import { May } from '../parts/may';
import { Media } from '../parts/media';
import { Graph } from '../parts/graph';
import { request } from '../pure/commands';
import { type Pair, write } from '../pure/route';
import { ago } from '../pure/words';

const REFRESH_MS = 1000;
/** While two are compared. */
const RARELY_MS = 60_000;
const CHAINS_MS = 60_000;
const SHOWN = 20;
const STATES = ['', 'queued', 'running', 'succeeded', 'failed', 'cancelled'];

/** `pair`: an asset whose jobs are compared, instead of all. */
export function Chains({ pair }: { pair: Pair | null }) {
  const [state, setState] = useState('');
  const [problem, setProblem] = useState('');
  const jobs = useList<Job>(`/~transcode/jobs${state && `?state=${state}`}`, SHOWN, pair ? RARELY_MS : REFRESH_MS);
  const chains = usePoll(shipped, CHAINS_MS);
  const drawn = (name: string) => chains.value?.find((chain) => chain.name === name)?.stages;
  const cancel = (id: string) => send('POST', `/~transcode/jobs/${encodeURIComponent(id)}/cancel`).then(
    () => { setProblem(''); jobs.again(); }, (error: Error) => setProblem(error.message),
  );
  return (
    <>
      {pair && <Compare key={pair.asset} pair={pair} chains={chains.value ?? []} />}
      <section aria-labelledby="jobs-title" hidden={pair !== null}>
        <div class="row spread">
          <h2 id="jobs-title">Jobs</h2>
          <div class="choices" role="group" aria-label="State">
            {STATES.map((value) => <button key={value} type="button" aria-pressed={value === state} onClick={() => setState(value)}>{value || 'all'}</button>)}
          </div>
        </div>
        <p class="quiet">A job makes what plays out of what was uploaded, stage by stage, as its chain says.</p>
        {(problem || jobs.trouble) && <p class="notice" role="status">{problem || jobs.trouble}</p>}
        {jobs.items?.length === 0 && <p class="quiet">No job{state && ` is ${state}`}.</p>}
        <ul class="plain">
          {jobs.items?.map((job) => (
            <li key={job.id} class="panel">
              <div class="row spread">
                <div class="row"><h3>{job.chain} <span class={`tag ${job.state}`}>{job.state}</span></h3> <Media name={job.asset_id} /></div>
                <div class="row"><a href={write({ view: 'chains', asset: null, pair: { asset: job.asset_id, left: null, right: job.id } })} aria-label={`Compare this ${job.chain} job with another of its asset`}>compare</a>
                <span class="quiet">{ago(job.created_at, Date.now())}{took(job)}{job.attempt > 1 && `, attempt ${job.attempt}`}</span>
                {['queued', 'running'].includes(job.state) && <May><button type="button" class="grave" onClick={() => cancel(job.id)}>Cancel</button></May>}</div>
              </div>
              {job.state === 'running' && <p class="row"><progress max={1} value={job.progress} aria-label={`Progress of ${job.chain}`} /> {Math.round(job.progress * 100)} % {job.stage}</p>}
              {job.error && <p class="notice">{job.error}</p>}
              <Stages job={job} chain={drawn(job.chain)} />
            </li>
          ))}
        </ul>
        {jobs.more && <button type="button" onClick={jobs.more}>Show older jobs</button>}
        {jobs.has_more && !jobs.more && <p class="quiet">Older ones by the commands below.</p>}
        <Equivalent flame="job list" curl={`'{origin}/~transcode/jobs?limit=${SHOWN}${state && `&state=${state}`}'`} />
      </section>
      {!pair && <May><Begin chains={chains.value ?? []} /></May>}
      <section aria-labelledby="chains-title">
        <h2 id="chains-title">Chains</h2>
        {chains.trouble && <p class="notice" role="status">{chains.trouble}</p>}
        <ul class="plain">
          {chains.value?.map(({ name, description, stages }) => (
            <li key={name} class="panel stage"><div><h3>{name}</h3><p class="quiet">{description}</p></div><Graph title={`Stages of ${name}`} stages={stages} /></li>
          ))}
        </ul>
        <Equivalent flame="chain list" curl="{origin}/~transcode/chains" />
      </section>
    </>
  );
}

async function shipped(): Promise<ChainDetail[]> {
  const { items } = await ask<Page<Chain>>('/~transcode/chains');
  return Promise.all(items.map(({ name }) => ask<ChainDetail>(`/~transcode/chains/${encodeURIComponent(name)}`)));
}

/** A job's stages; those of a document of one's own have no edges that are known here, and stand in a row. */
function Stages({ job, chain }: { job: Job; chain: ChainDetail['stages'] | undefined }) {
  const now = job.stages ?? [];
  if (now.length === 0) return null;
  const same = chain !== undefined && now.every(({ name }) => chain.some((stage) => stage.name === name));
  const stages = same ? chain : now.map(({ name, type, gates }, at) => ({
    name, type, inputs: at === 0 ? [] : [now[at - 1]!.name], gates: [...new Set((gates ?? []).map(({ gate }) => gate))],
  }));
  const gates = now.flatMap((stage) => (stage.gates ?? []).map((gate) => ({ stage: stage.name, ...gate })));
  return (
    <details open={job.state === 'running' || job.state === 'failed'}>
      <summary>Stages{gates.length > 0 && `, ${gates.filter(({ passed }) => passed).length} of ${gates.length} gates passed`}</summary>
      <Graph title={`Stages of ${job.chain} of job ${job.id}`} stages={stages} progress={now} />
      {gates.length > 0 && (
        <div class="scroll" tabIndex={0} role="group" aria-label="Gates">
          <table><thead><tr><th scope="col">Stage</th><th scope="col">Track</th><th scope="col">Gate</th><th scope="col">Measured</th><th scope="col">Verdict</th></tr></thead>
            <tbody>{gates.map(({ stage, track, gate, measured, passed }) => (
              <tr key={`${stage} ${track} ${gate}`}><td>{stage}</td><td>{track}</td><td>{gate}</td><td>{Number(measured.toPrecision(6))}</td><td class={passed ? 'passed' : 'missed'}>{passed ? 'passed' : 'missed'}</td></tr>
            ))}</tbody></table>
        </div>
      )}
      <Equivalent flame={`job watch ${job.id}`} curl={`-N {origin}/~transcode/jobs/${encodeURIComponent(job.id)}/events`}
        more={['queued', 'running'].includes(job.state) ? [{ what: 'Cancel', flame: `job cancel ${job.id}`, curl: request('POST', `/~transcode/jobs/${encodeURIComponent(job.id)}/cancel`) }] : []} />
    </details>
  );
}

function took({ started_at, finished_at }: Job): string {
  if (!started_at || !finished_at) return '';
  return `, took ${((Date.parse(finished_at) - Date.parse(started_at)) / 1000).toFixed(1)} s`;
}
