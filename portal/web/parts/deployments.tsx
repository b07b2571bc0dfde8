// What is deployed: how far each endpoint is, how far it should be, and what was decided and why.

import { useState } from 'preact/hooks';
import { ask, send } from '../api/http';
import { usePoll } from '../api/poll';
import type { Decision, Deployment, Page } from '../api/types';
import { request } from '../pure/commands';
import { ago } from '../pure/words';
import { Equivalent } from './equivalent';
import { May } from './may';

const REFRESH_MS = 1000;
const SHOWN_DECISIONS = 40;

export function Deployments() {
  const [problem, setProblem] = useState('');
  const all = usePoll(() => ask<Page<Deployment>>('/~orchestrator/deployments'), REFRESH_MS);
  const undeploy = (one: Deployment) => send('DELETE', way(one)).then(
    () => { setProblem(''); all.again(); }, (error: Error) => setProblem(error.message),
  );
  const want = (one: Deployment, name: string, state: string) => send('PUT', moves(one, name), { state }).then(
    () => { setProblem(''); all.again(); }, (error: Error) => setProblem(error.message),
  );
  return (
    <section aria-labelledby="deployments-title">
      <h2 id="deployments-title">Deployments</h2>
      {(problem || all.trouble) && <p class="notice" role="status">{problem || all.trouble}</p>}
      {all.value?.items.length === 0 && <p class="quiet">Nothing is deployed.</p>}
      <ul class="plain">
        {all.value?.items.map((one) => (
          <li key={`${one.sfc}/${one.sfci}`} class="panel deployment">
            <div class="row spread">
              <h3>{one.sfc} / {one.sfci} <span class={`tag ${one.is_settled ? 'connected' : 'running'}`}>{one.is_leaving ? 'leaving' : one.is_settled ? 'settled' : 'on its way'}</span></h3>
              <May><button type="button" class="grave" disabled={one.is_leaving} onClick={() => undeploy(one)} aria-label={`Undeploy ${one.sfci}`}>Undeploy</button></May>
            </div>
            {one.description && <p class="quiet">{one.description}</p>}
            <ul class="plain">
              {one.endpoints.map(({ endpoint, function: name, cluster, site, state, desired, names, address, failures, problem: why }) => (
                <li key={endpoint} class="endpoint">
                  <span class={`dot ${state}`} />
                  <span class="grow"><b>{name}</b> <span class="quiet">{state}{state !== desired && `, to be ${desired}`} at {cluster}{site !== cluster && ` (${site})`}
                    {names.length > 0 && `, serves ${names.join(', ')}`}{address && ` on ${address}`}{failures > 0 && `, failed ${failures} times in a row`}{why && `: ${why}`}</span></span>
                  <May>{!one.is_leaving && desired !== 'connected' && <button type="button" onClick={() => want(one, name, 'connected')} aria-label={`Add ${name}`}>Add</button>}
                    {!one.is_leaving && desired === 'connected' && <button type="button" onClick={() => want(one, name, 'booted')} aria-label={`Let ${name} stand by`}>Stand by</button>}</May>
                </li>
              ))}
            </ul>
            <Decisions of={one} />
          </li>
        ))}
      </ul>
      <Equivalent flame="template status" curl="{origin}/~orchestrator/deployments"
        more={(all.value?.items ?? []).slice(0, 1).flatMap((one) => [
          ...one.endpoints.slice(0, 1).flatMap(({ function: name }) => [['Add', 'connected'], ['Stand by', 'booted']].map(([what, state]) => (
            { what: what!, flame: `template move ${one.sfc} ${one.sfci} ${name} ${state}`, curl: request('PUT', moves(one, name), { state }) }))),
          { what: 'Undeploy', flame: `template undeploy ${one.sfc} ${one.sfci}`, curl: request('DELETE', way(one)) },
        ])} />
    </section>
  );
}

function Decisions({ of }: { of: Deployment }) {
  const [open, setOpen] = useState(false);
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>What was decided, and why</summary>
      {open && <Reasons of={of} />}
    </details>
  );
}

function Reasons({ of }: { of: Deployment }) {
  const { value, trouble } = usePoll(() => ask<Page<Decision>>(`${way(of)}/decisions`), REFRESH_MS);
  return (
    <>
      {trouble && <p class="notice" role="status">{trouble}</p>}
      <ol class="plain reasons" tabIndex={0} aria-label="What was decided">
        {value?.items.slice(-SHOWN_DECISIONS).reverse().map(({ id, at_unix_ms, subject, action, reason }) => (
          <li key={id}><b>{subject}</b> {action} <span class="quiet">{reason} · {ago(new Date(at_unix_ms).toISOString(), Date.now())}</span></li>
        ))}
      </ol>
      <Equivalent flame={`template decisions ${of.sfc} ${of.sfci}`} curl={`{origin}${way(of)}/decisions`} />
    </>
  );
}

function moves(one: Deployment, name: string): string {
  return `${way(one)}/functions/${encodeURIComponent(name)}/state`;
}

function way({ sfc, sfci }: Deployment): string {
  return `/~orchestrator/deployments/${encodeURIComponent(sfc)}/${encodeURIComponent(sfci)}`;
}
