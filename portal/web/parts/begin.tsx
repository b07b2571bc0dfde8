// Begins a job: an asset, and a chain that there is, or a document of one's own.

import { useMemo, useState } from 'preact/hooks';
import { Refusal, ask, send } from '../api/http';
import { usePoll } from '../api/poll';
import type { Asset, Chain, ChainDetail } from '../api/types';
import { request } from '../pure/commands';
import { type Finding, findings } from '../pure/findings';
import { identifier } from '../pure/identifier';
import { order } from '../pure/order';
import { write } from '../pure/route';
import { quoted } from '../pure/words';
import { Choices } from './choices';
import { Editor } from './editor';
import { Equivalent } from './equivalent';

const OWN = 'a document of my own';
/** An identifier that is typed to its end. */
const WHOLE = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const RARELY_MS = 60_000;
/** What the service says before it says what is wrong with a document. */
const REFUSED = /^.*?is refused: /;
const CHECK = '/~transcode/chains/check';

export function Begin({ chains }: { chains: readonly Chain[] }) {
  const [asset, setAsset] = useState('');
  const [chain, setChain] = useState('ladder');
  const [text, setText] = useState('');
  const [wrong, setWrong] = useState<Finding[]>([]);
  const [problem, setProblem] = useState('');
  const isOwn = chain === OWN;
  // The command stays as it is while somebody marks it.
  const example = useMemo(identifier, [asset, chain]);
  const named = asset.trim();
  const known = usePoll(() => (WHOLE.test(named) ? ask<Asset>(`/~metadata/assets/${named}`) : Promise.resolve(null)), RARELY_MS, named).value;
  const begin = async () => {
    setWrong([]);
    setProblem('');
    try {
      const found = await ask<Asset>(`/~metadata/assets/${encodeURIComponent(named)}`);
      const name = isOwn ? (await (await send('POST', CHECK, { document: text })).json() as ChainDetail).name : chain;
      const id = identifier();
      await send('POST', '/~transcode/jobs', order(id, found, name, isOwn ? text : undefined));
      location.hash = write({ view: 'chains', asset: null, pair: { asset: named, left: null, right: id } });
    } catch (error) {
      if (isOwn && error instanceof Refusal && error.status === 422) setWrong(findings(error.message.replace(REFUSED, '')));
      else setProblem((error as Error).message);
    }
  };
  return (
    <section aria-labelledby="begin-title">
      <h2 id="begin-title">Begin a job</h2>
      <form class="panel stage" onSubmit={(event) => { event.preventDefault(); void begin(); }}>
        <div class="row">
          <label class="grow">Asset <input required list="assets-there" value={asset} onInput={(event) => setAsset(event.currentTarget.value)} placeholder="its identifier, or a part of its title" /></label>
          <Choices id="assets-there" />
          <label>Chain <select value={chain} onChange={(event) => setChain(event.currentTarget.value)}>
            {[...new Set(['ladder', ...chains.map(({ name }) => name), OWN])].map((name) => <option key={name}>{name}</option>)}
          </select></label>
          <button class="main" disabled={named === '' || (isOwn && text.trim() === '')}>Begin</button>
        </div>
        {isOwn && <Editor label="Document" text={text} onText={(text) => { setText(text); setWrong([]); }} marked={wrong} goto={wrong[0] ?? null} />}
        <div role="status">{wrong.length > 0 && <ul class="plain findings">{wrong.map(({ line, reason }, at) => <li key={at}>{line !== null && <b>Line {line} </b>}{reason}</li>)}</ul>}</div>
        {problem && <p class="notice" role="status">{problem}</p>}
        {WHOLE.test(named) && <Equivalent flame={`job start ${named} --chain ${isOwn ? 'chain.yaml' : quoted(chain)}`} {...(known && !isOwn && { curl: request('POST', '/~transcode/jobs', order(example, known, chain)) })} more={isOwn ? [{ what: 'Check', flame: 'chain validate chain.yaml', curl: request('POST', CHECK, { document: text }) }] : []} />}
      </form>
    </section>
  );
}
