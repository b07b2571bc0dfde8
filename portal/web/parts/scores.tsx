// What was measured of an asset, and the frames that came off worst in the newest comparison, each the way to its picture.

import { useEffect, useState } from 'preact/hooks';
import { ask } from '../api/http';
import { usePoll } from '../api/poll';
import type { ComparisonJob, Page, Score } from '../api/types';
import { figures, verdict } from '../pure/provenance';
import { write } from '../pure/route';
import { ago } from '../pure/words';
import { type Worst as Of, worst } from '../pure/worst';
import { Equivalent } from './equivalent';
import { Media } from './media';
import { Worst } from './worst';

const REFRESH_MS = 5000;
/** As many of the worst frames as one sees at a glance. */
const FRAMES_MAX = 4;

export function Scores({ id }: { id: string }) {
  const [open, setOpen] = useState(false);
  return (
    <details class="scores" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>How good it is</summary>
      {open && <Table id={id} />}
    </details>
  );
}

function Table({ id }: { id: string }) {
  const path = `/~metadata/assets/${encodeURIComponent(id)}/scores`;
  const { value, trouble } = usePoll(() => ask<Page<Score>>(path), REFRESH_MS, id);
  if (value === null) return <p class="notice" role="status">{trouble || 'Asking the catalogue…'}</p>;
  const now = Date.now();
  const compared = value.items.find(({ measure }) => measure === 'comparison');
  return (
    <>
      {value.items.length === 0 ? <p class="quiet">Nothing of it was measured yet: <a href={write({ view: 'quality', asset: null, of: id })}>measure it</a>.</p> : (
        <div class="scroll" tabIndex={0} role="region" aria-label="What was measured"><table>
          <caption>What was measured</caption>
          <thead><tr>{['Of', 'Against', 'Figures', 'Gates', 'When', 'More'].map((title) => <th key={title} scope="col">{title}</th>)}</tr></thead>
          <tbody>{value.items.map((score) => (
            <tr key={score.job_id}><th scope="row">{score.track ?? <Media name={score.media} />}</th><td>{score.reference?.split('/').slice(1).join('/') || '–'}</td><td>{figures(score)}</td>
              <td>{verdict(score) || '–'}</td><td>{ago(score.measured_at, now)}</td>
              <td><a href={measurement(score)}>{score.measure === 'comparison' ? 'each frame' : 'findings'}</a></td></tr>
          ))}</tbody>
        </table></div>
      )}
      {compared && <Frames key={compared.job_id} of={compared} />}
      <Equivalent flame={`asset provenance ${id}`} curl={`{origin}${path}`} />
    </>
  );
}

function Frames({ of }: { of: Score }) {
  const path = `/~quality/comparisons/${encodeURIComponent(of.job_id)}`;
  const [found, setFound] = useState<Of | null>(null);
  useEffect(() => {
    let gone = false;
    // The quality service forgets what is old; the catalogue keeps the figures.
    ask<ComparisonJob>(path).then((job) => { if (!gone) setFound(job.result ? worst(job.result.columns, FRAMES_MAX) : null); }, () => {});
    return () => { gone = true; };
  }, [path]);
  return found && <Worst of={found} path={path} chosen={null} link={(time_ms) => measurement(of, time_ms)} />;
}

/** Where the measurement is looked at; at a moment of it, milliseconds. */
function measurement({ measure, job_id }: Score, time_ms?: number): string {
  const kind = measure === 'comparison' ? 'comparisons' : 'inspections';
  const range = time_ms === undefined ? null : { from_ms: Math.max(0, time_ms - AROUND_MS), to_ms: time_ms + AROUND_MS };
  return write({ view: 'quality', asset: null, measured: { kind, id: job_id, range } });
}

/** As much before and after a frame is seen in the plots that one comes to. */
const AROUND_MS = 500;
