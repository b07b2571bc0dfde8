// What was deleted and can come back for a while.

import { useState } from 'preact/hooks';
import { send } from '../api/http';
import type { Asset } from '../api/types';
import { request } from '../pure/commands';
import { ago, quoted } from '../pure/words';
import { Equivalent } from './equivalent';
import { May } from './may';

export function Trash({ assets, onDone }: { assets: Asset[]; onDone: (id: string) => void }) {
  const [problem, setProblem] = useState('');
  const act = (method: string, id: string, rest: string) => send(method, `${path(id)}${rest}`).then(() => { setProblem(''); onDone(id); }, (error: Error) => setProblem(error.message));
  const path = (id: string) => `/~metadata/assets/${encodeURIComponent(id)}`;
  const erase = ({ id, title }: Asset) => {
    if (confirm(`Delete “${title || id}” and its media for good?`)) void act('DELETE', id, '?erase=true');
  };
  return (
    <>
      {problem && <p class="notice" role="status">{problem}</p>}
      <ul id="assets" class="plain">
        {assets.map((asset) => (
          <li key={asset.id} class="panel row spread">
            <span><b class="title">{asset.title || asset.id}</b> <span class="quiet">deleted {ago(asset.deleted_at ?? asset.updated_at, Date.now())}</span></span>
            <span class="row">
              <May>
                <button type="button" onClick={() => act('POST', asset.id, '/restore')} aria-label={`Restore ${asset.title}`}>Restore</button>
                <button type="button" class="grave" onClick={() => erase(asset)} aria-label={`Delete ${asset.title} for good`}>Delete for good</button>
              </May>
            </span>
          </li>
        ))}
      </ul>
      {assets[0] && <Equivalent more={[
        { what: 'Restore', flame: `asset restore ${quoted(assets[0].id)}`, curl: request('POST', `${path(assets[0].id)}/restore`) },
        { what: 'Delete for good', flame: `asset rm --erase ${quoted(assets[0].id)}`, curl: request('DELETE', `${path(assets[0].id)}?erase=true`) },
      ]} />}
    </>
  );
}
