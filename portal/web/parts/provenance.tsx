// Where an asset's bytes came from, and what was made of them by whom and with what.

import { useState } from 'preact/hooks';
import { ask } from '../api/http';
import { usePoll } from '../api/poll';
import type { Provenance } from '../api/types';
import { walk } from '../pure/provenance';
import { ago } from '../pure/words';
import { Equivalent } from './equivalent';
import { Graph } from './graph';
import { Media } from './media';

const REFRESH_MS = 5000;

export function Origin({ id }: { id: string }) {
  const [open, setOpen] = useState(false);
  return (
    <details class="origin" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Where it comes from</summary>
      {open && <Walk id={id} />}
    </details>
  );
}

function Walk({ id }: { id: string }) {
  const path = `/~metadata/assets/${encodeURIComponent(id)}/provenance`;
  const { value, trouble } = usePoll(() => ask<Provenance>(path), REFRESH_MS, id);
  if (value === null) return <p class="notice" role="status">{trouble || 'Asking the catalogue…'}</p>;
  const now = Date.now();
  return (
    <>
      <Graph title="What was made of it" stages={walk(value)} />
      <dl class="facts">
        <div><dt>Brought in</dt><dd>{ago(value.registered.at, now)}{value.registered.by && ` by ${value.registered.by}`}</dd></div>
        {value.versions.map(({ name, chain, published, job_id, conditioning }) => (
          <div key={name}><dt>{chain} {name}</dt><dd>published {ago(published.at, now)}{published.by && ` by ${published.by}`}{job_id && <>, job <code title={job_id}>…{job_id.slice(-8)}</code></>}
            {conditioning && `, with ${conditioning.encoders.join(' and ') || 'no encoder'}: ${conditioning.tools}`}</dd></div>
        ))}
        {value.same_source.length > 0 && <div><dt>Same bytes</dt><dd>{value.same_source.map((other) => <span key={other}><Media name={other} /> </span>)}</dd></div>}
      </dl>
      <Equivalent flame={`asset provenance ${id}`} curl={`{origin}${path}`} />
    </>
  );
}
