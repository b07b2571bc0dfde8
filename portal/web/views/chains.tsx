// Conditioning: the chains that there are, and the jobs that run them.

import { useState } from 'preact/hooks';
import { ask, send } from '../api/http';
import { usePoll } from '../api/poll';
import type { Chain, Job, Page } from '../api/types';
import { Equivalent } from '../parts/equivalent';
import { write } from '../pure/route';
import { ago } from '../pure/words';

const REFRESH_MS = 1000;
const STATES = ['', 'queued', 'running', 'succeeded', 'failed', 'cancelled'];

export function Chains() {
  const [state, setState] = useState('');
  const [problem, setProblem] = useState('');
  const jobs = usePoll(() => ask<Page<Job>>(`/~transcode/jobs?limit=50${state && `&state=${state}`}`), REFRESH_MS, state);
  const chains = usePoll(() => ask<Page<Chain>>('/~transcode/chains'), 60_000);
  const cancel = (id: string) => send('POST', `/~transcode/jobs/${encodeURIComponent(id)}/cancel`).then(
    () => { setProblem(''); jobs.again(); }, (error: Error) => setProblem(error.message),
  );
  return (
    <>
      <section aria-labelledby="jobs-title">
        <div class="row spread">
          <h2 id="jobs-title">Jobs</h2>
          <div class="choices" role="group" aria-label="State">
            {STATES.map((value) => <button key={value} type="button" aria-pressed={value === state} onClick={() => setState(value)}>{value || 'all'}</button>)}
          </div>
        </div>
        {(problem || jobs.trouble) && <p class="notice" role="status">{problem || jobs.trouble}</p>}
        {jobs.value?.items.length === 0 && <p class="quiet">No job{state && ` is ${state}`}.</p>}
        <ul class="plain">
          {jobs.value?.items.map((job) => (
            <li key={job.id} class="panel">
              <div class="row spread">
                <h3>{job.chain} <span class={`tag ${job.state}`}>{job.state}</span></h3>
                <a href={write({ view: 'library', asset: job.asset_id })}>its asset</a>
                <span class="quiet">{ago(job.created_at, Date.now())}{took(job)}{job.attempt > 1 && `, attempt ${job.attempt}`}</span>
                {['queued', 'running'].includes(job.state) && <button type="button" class="grave" onClick={() => cancel(job.id)}>Cancel</button>}
              </div>
              {job.state === 'running' && <p class="row"><progress max={1} value={job.progress} aria-label={`Progress of ${job.chain}`} /> {Math.round(job.progress * 100)} % {job.stage}</p>}
              {job.error && <p class="notice">{job.error}</p>}
            </li>
          ))}
        </ul>
        <Equivalent flame="job list" curl="{origin}/~transcode/jobs" />
      </section>
      <section aria-labelledby="chains-title">
        <h2 id="chains-title">Chains</h2>
        <dl class="facts">{chains.value?.items.map(({ name, description }) => <div key={name}><dt>{name}</dt><dd>{description}</dd></div>)}</dl>
      </section>
    </>
  );
}

function took({ started_at, finished_at }: Job): string {
  if (!started_at || !finished_at) return '';
  return `, took ${((Date.parse(finished_at) - Date.parse(started_at)) / 1000).toFixed(1)} s`;
}
