// Suites of which runs are kept: how the last one went, and each gate from run to run.

import { useState } from 'preact/hooks';
import { ask } from '../api/http';
import { usePoll } from '../api/poll';
import type { Page, Suite, SuiteRun } from '../api/types';
import { operands, request } from '../pure/commands';
import { TREND, rows } from '../pure/suites';
import { ago } from '../pure/words';
import { Equivalent } from './equivalent';

const REFRESH_MS = 10_000;
const RUNS_SHOWN = 12;

export function Suites() {
  const { value, trouble } = usePoll(() => ask<Page<Suite>>('/~quality/suites'), REFRESH_MS);
  const all = value?.items ?? [];
  return (
    <section aria-labelledby="suites-title">
      <h2 id="suites-title">Suites</h2>
      {trouble && <p class="notice" role="status">{trouble}</p>}
      {value && all.length === 0 && <p class="quiet">No run of a suite is kept: <code>flame quality test SUITE --record</code> has one kept.</p>}
      <ul class="plain">{all.map((suite) => <Entry key={suite.suite} suite={suite} />)}</ul>
      <Equivalent flame={`quality test SUITE.yaml --record`} curl="{origin}/~quality/suites" />
    </section>
  );
}

function Entry({ suite: { suite, runs, last_at, passed, failed, not_measured } }: { suite: Suite }) {
  const [open, setOpen] = useState(false);
  const outcome = failed > 0 ? 'failed' : not_measured > 0 ? 'running' : 'succeeded';
  return (
    <li class="panel stage">
      <div class="row spread">
        <h3>{suite} <span class={`tag ${outcome}`}>{[[passed, 'passed'], [failed, 'failed'], [not_measured, 'not measured']].filter(([count]) => count !== 0).map((one) => one.join(' ')).join(', ')}</span></h3>
        <span class="quiet">{runs} {runs === 1 ? 'run' : 'runs'}, the last {ago(last_at, Date.now())}</span>
      </div>
      <details onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>Gates from run to run</summary>
        {open && <Runs suite={suite} newest={last_at} />}
      </details>
    </li>
  );
}

function Runs({ suite, newest }: { suite: string; newest: string }) {
  const path = `/~quality/suite-runs?${new URLSearchParams({ suite, limit: String(RUNS_SHOWN) })}`;
  const { value, trouble } = usePoll(() => ask<Page<SuiteRun>>(path), REFRESH_MS, path, newest);
  if (trouble) return <p class="notice" role="status">{trouble}</p>;
  if (value === null) return <p class="quiet" role="status">Asking for the runs…</p>;
  const oldest_first = [...value.items].reverse();
  return (
    <>
      <div class="scroll" tabIndex={0} role="region" aria-label={`Gates of ${suite}`}>
        <table class="suite">
          <thead><tr><th scope="col">Case</th><th scope="col">Gate</th><th scope="col">Trend</th><th scope="col">Change</th>
            {oldest_first.map(({ id, begun_at, tool }) => <th key={id} scope="col" title={`${new Date(begun_at).toLocaleString()}, ${tool}`}>{ago(begun_at, Date.now())}</th>)}</tr></thead>
          <tbody>{rows(value.items).map(({ case: name, gate, isControl, cells, change, points }) => (
            <tr key={`${name}\n${gate}`}>
              <th scope="row">{name}</th><td>{gate || 'none'}{isControl && <span class="quiet"> (a control: must fail)</span>}</td>
              <td>{points && <svg class="trend" width={TREND.width} height={TREND.height} viewBox={`0 0 ${TREND.width} ${TREND.height}`} role="img" aria-label={`Trend of ${gate}`}><polyline points={points} /></svg>}</td>
              <td>{change}</td>
              {cells.map((cell, at) => (cell === null ? <td key={at}>–</td>
                : <td key={at} class={cell.isWell ? 'passed' : 'missed'} title={cell.why || undefined}>{cell.text}</td>))}
            </tr>
          ))}</tbody>
        </table>
      </div>
      {value.next_cursor && <p class="quiet">The last {RUNS_SHOWN} runs; older ones by the request below.</p>}
      <Equivalent flame={`quality test --record ${operands(`${suite}.yaml`)}`} curl={request('GET', path)} />
    </>
  );
}
