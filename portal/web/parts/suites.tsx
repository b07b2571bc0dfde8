// Suites of which runs are kept: how the last one went, and each gate from run to run.

import { useMemo, useState } from 'preact/hooks';
import { ask } from '../api/http';
import { usePoll } from '../api/poll';
import type { Page, Suite, SuiteRun } from '../api/types';
import { operands, request } from '../pure/commands';
import { type Trend, write } from '../pure/route';
import { TREND, line, rows } from '../pure/suites';
import { ago } from '../pure/words';
import { Equivalent } from './equivalent';
import { Plot } from './plot';

const REFRESH_MS = 10_000;
const RUNS_SHOWN = 12;

/** `trend`: the gate that a link shows. */
export function Suites({ trend }: { trend: Trend | null }) {
  const { value, trouble } = usePoll(() => ask<Page<Suite>>('/~quality/suites'), REFRESH_MS);
  const all = value?.items ?? [];
  return (
    <section aria-labelledby="suites-title">
      <h2 id="suites-title">Suites</h2>
      {trouble && <p class="notice" role="status">{trouble}</p>}
      {value && all.length === 0 && <p class="quiet">No run of a suite is kept: <code>flame quality test SUITE --record</code> has one kept.</p>}
      <ul class="plain">{all.map((suite) => <Entry key={suite.suite} suite={suite} trend={trend?.suite === suite.suite ? trend : null} />)}</ul>
      <Equivalent flame={`quality test SUITE.yaml --record`} curl="{origin}/~quality/suites" />
    </section>
  );
}

function Entry({ suite: { suite, runs, last_at, passed, failed, not_measured }, trend }: { suite: Suite; trend: Trend | null }) {
  const [open, setOpen] = useState(trend !== null);
  const outcome = failed > 0 ? 'failed' : not_measured > 0 ? 'running' : 'succeeded';
  return (
    <li class="panel stage">
      <div class="row spread">
        <h3>{suite} <span class={`tag ${outcome}`}>{[[passed, 'passed'], [failed, 'failed'], [not_measured, 'not measured']].filter(([count]) => count !== 0).map((one) => one.join(' ')).join(', ')}</span></h3>
        <span class="quiet">{runs} {runs === 1 ? 'run' : 'runs'}, the last {ago(last_at, Date.now())}</span>
      </div>
      <details open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>Gates from run to run</summary>
        {open && <Runs suite={suite} newest={last_at} trend={trend} />}
      </details>
    </li>
  );
}

function Runs({ suite, newest, trend }: { suite: string; newest: string; trend: Trend | null }) {
  const [chosen, setChosen] = useState(trend);
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
              <td>{points && <button type="button" class="bare" aria-pressed={chosen?.case === name && chosen.gate === gate} aria-label={`Plot ${gate} of ${name}`}
                onClick={() => setChosen({ suite, case: name, gate, range: null })}><svg class="trend" width={TREND.width} height={TREND.height} viewBox={`0 0 ${TREND.width} ${TREND.height}`} role="img" aria-label={`Trend of ${gate}`}><polyline points={points} /></svg></button>}</td>
              <td>{change}</td>
              {cells.map((cell, at) => (cell === null ? <td key={at}>–</td>
                : <td key={at} class={cell.isWell ? 'passed' : 'missed'} title={cell.why || undefined}>{cell.text}</td>))}
            </tr>
          ))}</tbody>
        </table>
      </div>
      {chosen && <OverTime key={`${chosen.case}\n${chosen.gate}`} runs={value.items} trend={chosen} />}
      {value.next_cursor && <p class="quiet">The last {RUNS_SHOWN} runs; older ones by the request below.</p>}
      <Equivalent flame={`quality test --record ${operands(`${suite}.yaml`)}`} curl={request('GET', path)} />
    </>
  );
}

/** One gate over the runs that are shown. */
function OverTime({ runs, trend }: { runs: readonly SuiteRun[]; trend: Trend }) {
  // The same runs are the same lines: a plot keeps what one looks at.
  const found = useMemo(() => {
    const row = rows(runs).find((row) => row.case === trend.case && row.gate === trend.gate);
    return row ? line(runs, row) : null;
  }, [runs.map(({ id }) => id).join(), trend.case, trend.gate]);
  return (
    <div class="plots"><Plot title={`${trend.gate} of ${trend.case}`} unit="" lines={found} range={trend.range}
      address={(range) => write({ view: 'quality', asset: null, trend: { ...trend, range } })} /></div>
  );
}
