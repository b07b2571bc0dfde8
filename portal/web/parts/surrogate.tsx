// What surrogates have answered out of what they keep, and so have not fetched: the bundle's own, and those that templates have started.

import { ask } from '../api/http';
import { usePoll } from '../api/poll';
import type { Endpoint, SurrogateStats } from '../api/types';
import { apis, saved } from '../pure/surrogates';
import { bytes, short } from '../pure/words';
import { Equivalent } from './equivalent';

const REFRESH_MS = 2000;

export function Surrogates({ endpoints }: { endpoints: readonly Endpoint[] }) {
  const names = apis(endpoints);
  const all = usePoll(async () => {
    const answers = await Promise.allSettled(names.map((name) => ask<SurrogateStats>(`/~${name}/stats`)));
    return answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  }, REFRESH_MS, names.join()).value ?? [];
  if (all.length === 0) return null;
  return (
    <section aria-labelledby="surrogates-title">
      <h2 id="surrogates-title">Surrogates</h2>
      <div class="scroll" tabIndex={0} role="region" aria-label="What they answered">
        <table class="surrogates">
          <thead><tr>{['Surrogate', 'Serves', 'Hits', 'Waited with others', 'Fetches', 'Sent', 'Fetched', 'Saved'].map((title) => <th key={title} scope="col">{title}</th>)}</tr></thead>
          <tbody>{all.map(({ surrogate, names, total }) => (
            <tr key={surrogate}>
              <th scope="row">{surrogate}</th><td>{names.map(short).join(', ')}</td><td>{total.hits}</td><td>{total.collapsed}</td><td>{total.fetches}</td>
              <td>{bytes(total.sent_bytes)}</td><td>{bytes(total.fetched_bytes)}</td><td>{Math.round(saved(total) * 100)} %</td>
            </tr>
          ))}</tbody>
        </table>
      </div>
      <Equivalent flame="edge stats" curl={`{origin}/~${names[0]}/stats`} />
    </section>
  );
}
