// Quality: media compared with its reference, or looked through without one; figures, gates, and scores of each frame.

import { useMemo, useState } from 'preact/hooks';
import { send } from '../api/http';
import { type List, useList } from '../api/list';
import type { ComparisonJob, InspectionJob } from '../api/types';
import { Choices } from '../parts/choices';
import { Equivalent } from '../parts/equivalent';
import { May } from '../parts/may';
import { Media } from '../parts/media';
import { Gates, Measured } from '../parts/measured';
import { Suites } from '../parts/suites';
import { request } from '../pure/commands';
import { identifier } from '../pure/identifier';
import { merged } from '../pure/pages';
import type { Measured as Link, Trend } from '../pure/route';
import { ago, quoted } from '../pure/words';

const REFRESH_MS = 1000;
const SHOWN = 20;
const METRICS = ['psnr', 'ssim', 'ms_ssim', 'vif', 'vmaf', 'vmaf_neg', 'vmaf_4k', 'vmaf_phone'];

type Kind = 'comparisons' | 'inspections';
type Measurement = { kind: 'comparisons'; job: ComparisonJob } | { kind: 'inspections'; job: InspectionJob };

/** `of`: the asset that a link leads here from. `measured`: the measurement that a link shows, before all others; `trend`: a gate of a suite. */
export function Quality({ of, measured, trend }: { of: string; measured: Link | null; trend: Trend | null }) {
  const [problem, setProblem] = useState('');
  const comparisons = useList<ComparisonJob>('/~quality/comparisons', SHOWN, REFRESH_MS);
  const inspections = useList<InspectionJob>('/~quality/inspections', SHOWN, REFRESH_MS);
  const all = comparisons.items && inspections.items && both(comparisons, inspections);
  const again = () => { comparisons.again(); inspections.again(); };
  const older = [comparisons, inspections].flatMap(({ more }) => more ?? []);
  const trouble = comparisons.trouble || inspections.trouble;
  const begin = (kind: Kind, body: object) => send('POST', `/~quality/${kind}`, { id: identifier(), ...body }).then(
    () => { setProblem(''); again(); }, (error: Error) => setProblem(error.message),
  );
  const cancel = ({ kind, job }: Measurement) => send('POST', `/~quality/${kind}/${encodeURIComponent(job.id)}/cancel`).then(
    () => { setProblem(''); again(); }, (error: Error) => setProblem(error.message),
  );
  return (
    <>
      {measured && (
        <section aria-labelledby="linked-title">
          <h2 id="linked-title">{measured.kind === 'comparisons' ? 'A comparison' : 'An inspection'}</h2>
          <div class="panel"><Measured kind={measured.kind} id={measured.id} range={measured.range} /></div>
        </section>
      )}
      <Ask of={of} begin={begin} />
      <Suites trend={trend} />
      <section aria-labelledby="measurements-title">
        <h2 id="measurements-title">Measurements</h2>
        {(problem || trouble) && <p class="notice" role="status">{problem || trouble}</p>}
        {all?.length === 0 && <p class="quiet">Nothing has been measured.</p>}
        <ul class="plain">{all?.filter(({ job }) => job.id !== measured?.id).map((one) => <Entry key={one.job.id} one={one} cancel={() => cancel(one)} />)}</ul>
        {older.length > 0 && <button type="button" onClick={() => older.forEach((more) => more())}>Show older measurements</button>}
        {older.length === 0 && (comparisons.has_more || inspections.has_more) && <p class="quiet">Older ones by the commands below.</p>}
        <Equivalent flame="quality jobs" curl="{origin}/~quality/comparisons" more={[
          { what: 'Inspections', flame: 'quality jobs', curl: '{origin}/~quality/inspections' },
          ...(all ?? []).filter(({ job }) => ['queued', 'running'].includes(job.state)).slice(0, 1).map(({ kind, job }) => ({ what: 'Cancel', flame: `quality cancel ${job.id}`, curl: request('POST', `/~quality/${kind}/${encodeURIComponent(job.id)}/cancel`) })),
        ]} />
      </section>
    </>
  );
}

function Ask({ of, begin }: { of: string; begin: (kind: Kind, body: object) => void }) {
  const [reference, setReference] = useState(of && `${of}/source`);
  const [distorted, setDistorted] = useState(of);
  const [metrics, setMetrics] = useState(['psnr', 'ssim', 'vmaf']);
  const [written, setWritten] = useState('');
  const gates = written.split('\n').map((line) => line.trim()).filter((line) => line !== '');
  const flags = gates.map((gate) => ` --gate=${quoted(gate)}`).join('');
  // The commands stay as they are while somebody marks them, and another measurement is another one.
  const asked = [reference, distorted, metrics.join(), written];
  const [comparison, inspection] = [useMemo(identifier, asked), useMemo(identifier, asked)];
  const toggle = (metric: string) => setMetrics(metrics.includes(metric) ? metrics.filter((one) => one !== metric) : [...metrics, metric]);
  return (
    <section aria-labelledby="measure-title">
      <h2 id="measure-title">Measure</h2>
      <p class="quiet">How much of a picture is left of what it was made from, frame by frame; or what is wrong with it by itself. Gates say what is good enough.</p>
      <May><form class="panel stage" onSubmit={(event) => { event.preventDefault(); begin('comparisons', { reference: reference.trim(), distorted: distorted.trim(), metrics, gates }); }}>
        <p class="quiet">An asset as it plays (its identifier), as it was uploaded (<code>ID/source</code>), or a track of it (<code>ID/v720</code>).</p>
        <div class="row">
          <label class="grow">What is looked at <input required list="media" placeholder="an identifier, or a part of a title" value={distorted} onInput={(event) => setDistorted(event.currentTarget.value)} /></label>
          <label class="grow">Compared with <input list="media" placeholder="what it should look like, such as ID/source" value={reference} onInput={(event) => setReference(event.currentTarget.value)} /></label>
        </div>
        <Choices id="media" tracks />
        <div class="choices" role="group" aria-label="Metrics">
          {METRICS.map((metric) => <button key={metric} type="button" aria-pressed={metrics.includes(metric)} onClick={() => toggle(metric)}>{metric}</button>)}
        </div>
        <label class="stage"><span>Gates, one a line: <code>vmaf.p5 &gt;= 80</code></span>
          <textarea class="code" rows={2} spellcheck={false} value={written} onInput={(event) => setWritten(event.currentTarget.value)} /></label>
        <div class="row">
          <button class="main" disabled={reference.trim() === '' || metrics.length === 0}>Compare</button>
          <button type="button" disabled={distorted.trim() === ''} onClick={() => begin('inspections', { media: distorted.trim(), gates })}>Inspect without a reference</button>
        </div>
        <Equivalent more={[
          {
            what: 'Compare', flame: `quality compare ${quoted(reference || 'REFERENCE')} ${quoted(distorted || 'MEDIA')} --remote --metrics ${metrics.join(',')}${flags}`,
            curl: request('POST', '/~quality/comparisons', { id: comparison, reference: reference.trim(), distorted: distorted.trim(), metrics, gates }),
          },
          {
            what: 'Inspect', flame: `quality inspect ${quoted(distorted || 'MEDIA')} --remote${flags}`,
            curl: request('POST', '/~quality/inspections', { id: inspection, media: distorted.trim(), gates }),
          },
        ]} />
      </form></May>
    </section>
  );
}

function Entry({ one, cancel }: { one: Measurement; cancel: () => void }) {
  const [open, setOpen] = useState(false);
  const { kind, job } = one;
  const runs = ['queued', 'running'].includes(job.state);
  return (
    <li class="panel stage">
      <div class="row spread">
        <h3>{kind === 'comparisons' ? 'Comparison' : 'Inspection'} <span class={`tag ${job.state}`}>{job.state}</span>
          {job.passed != null && job.gates.length > 0 && <span class={`tag ${job.passed ? 'succeeded' : 'failed'}`}>{job.passed ? 'all gates kept' : 'a gate is not kept'}</span>}</h3>
        <span class="quiet">{ago(job.created_at, Date.now())}{job.attempt > 1 && `, attempt ${job.attempt}`}</span>
        {runs && <May><button type="button" class="grave" onClick={cancel}>Cancel</button></May>}
      </div>
      <p class="quiet">{one.kind === 'comparisons' ? <><Media name={one.job.distorted} /> against <Media name={one.job.reference} /></> : <Media name={one.job.media} />}</p>
      {runs && <p class="row"><progress max={1} value={job.progress} aria-label="Progress" /> {Math.round(job.progress * 100)} %</p>}
      {job.error && <p class="notice">{job.error}</p>}
      {job.gates.length > 0 && <Gates gates={job.gates} />}
      {job.state === 'succeeded' && (
        <details onToggle={(event) => setOpen(event.currentTarget.open)}>
          <summary>Figures</summary>
          {open && <Measured kind={kind} id={job.id} />}
        </details>
      )}
    </li>
  );
}

/** Of both kinds the newest first, as far as both are known. */
function both(comparisons: List<ComparisonJob>, inspections: List<InspectionJob>): Measurement[] {
  const named = <T extends Measurement>(list: List<T['job']>, name: (job: T['job']) => T) => ({
    items: (list.items ?? []).map((job) => ({ id: job.id, created_at: job.created_at, one: name(job) })), has_more: list.has_more,
  });
  return merged<{ id: string; created_at: string; one: Measurement }>(
    named(comparisons, (job) => ({ kind: 'comparisons', job: job as ComparisonJob })), named(inspections, (job) => ({ kind: 'inspections', job: job as InspectionJob })),
  ).map(({ one }) => one);
}
