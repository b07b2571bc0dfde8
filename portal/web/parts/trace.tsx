// The way of a request, as the router tells it to whoever asks: which places it went to, what each said, and after how long.

import { useState } from 'preact/hooks';
import { type Step, steps } from '../pure/surrogates';
import { quoted } from '../pure/words';
import { Equivalent } from './equivalent';

/** `url`: what is asked for once more, without its body. */
export function Trace({ url }: { url: () => string }) {
  const [found, setFound] = useState<{ steps: Step[]; said: string } | null>(null);
  const look = async () => {
    try {
      const answer = await fetch(url(), { method: 'HEAD', cache: 'no-store', headers: { 'flame-trace': '?1' } });
      setFound({ steps: steps(answer.headers.get('flame-trace') ?? ''), said: `${answer.status}` });
    } catch (error) {
      setFound({ steps: [], said: (error as Error).message });
    }
  };
  return (
    <div class="wide"><dt>Way of the search <button type="button" onClick={look}>Trace</button></dt>
      <dd aria-live="polite">{found && <ol class="plain trace">
        {found.steps.map(({ place, status, ms }, at) => <li key={at}><code>{place}</code> {status ?? 'no answer'}{ms !== null && `, ${ms} ms`}</li>)}
        {found.steps.length === 0 && <li>No way was told ({found.said}).</li>}
      </ol>}
      {found && <Equivalent flame={`route explain ${quoted(new URL(url(), location.origin).pathname)}`} curl={`-sI -H 'flame-trace: ?1' ${quoted(new URL(url(), location.origin).href)}`} />}</dd></div>
  );
}
