// What people have said of an asset, and what became of it: who changed what, and a way back.

import { useState } from 'preact/hooks';
import { ask, send } from '../api/http';
import { usePoll } from '../api/poll';
import type { AssetRecord, Change, Page } from '../api/types';
import { request } from '../pure/commands';
import { facts, sentence } from '../pure/record';
import { ago } from '../pure/words';
import { Equivalent } from './equivalent';
import { May } from './may';

const REFRESH_MS = 5000;

export function Record({ record, custom }: { record: AssetRecord; custom: { [name: string]: unknown } }) {
  const all = facts(record, custom);
  if (all.length === 0) return null;
  return <dl class="facts">{all.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>;
}

/** `revision`: what the asset is at now. Another one's edits can be had back. */
export function History({ id, revision, onRestored }: { id: string; revision: number; onRestored: () => void }) {
  const [open, setOpen] = useState(false);
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>What became of it</summary>
      {open && <Changes id={id} revision={revision} onRestored={onRestored} />}
    </details>
  );
}

function Changes({ id, revision, onRestored }: { id: string; revision: number; onRestored: () => void }) {
  const [problem, setProblem] = useState('');
  const path = `/~metadata/assets/${encodeURIComponent(id)}`;
  const { value, trouble } = usePoll(() => ask<Page<Change>>(`${path}/history`), REFRESH_MS, revision);
  const restore = (to: number) => send('POST', `${path}/restore?revision=${to}`, undefined, { 'if-match': `"${revision}"` }).then(
    () => { setProblem(''); onRestored(); }, (error: Error) => setProblem(error.message),
  );
  return (
    <>
      {(problem || trouble) && <p class="notice" role="status">{problem || trouble}</p>}
      <ol class="plain reasons">
        {value?.items.map((change) => (
          <li key={change.revision} class="row spread">
            <span><b>{change.action}</b> {sentence(change)} <span class="quiet">by {change.by}, {ago(change.at, Date.now())}</span></span>
            {change.action === 'edited' && change.revision > 1 && (
              <May><button type="button" onClick={() => restore(change.revision - 1)} aria-label={`As it was before revision ${change.revision}`}>As it was before</button></May>
            )}
          </li>
        ))}
      </ol>
      <Equivalent flame={`asset history ${id}`} curl={`{origin}${path}/history`} more={revision > 1 ? [{
        what: 'As it was before', flame: `asset restore ${id} --revision ${revision - 1}`,
        curl: request('POST', `${path}/restore?revision=${revision - 1}`, undefined, { 'if-match': `"${revision}"` }),
      }] : []} />
    </>
  );
}
