// What the bundle's surrogate has answered out of what it keeps, and so has not fetched.

import { look } from '../api/surrogates';
import { usePoll } from '../api/poll';
import { saved } from '../pure/surrogates';
import { bytes, short } from '../pure/words';
import { Equivalent } from './equivalent';

const REFRESH_MS = 2000;

export function Surrogate() {
  const value = usePoll(look, REFRESH_MS).value?.own;
  if (!value) return null;
  return (
    <section aria-labelledby="surrogates-title">
      <h2 id="surrogates-title">Surrogate</h2>
      <div class="scroll" tabIndex={0} role="region" aria-label="What it answered">
        <table>
          <thead><tr>{['Surrogate', 'Serves', 'Hits', 'Waited with others', 'Fetches', 'Sent', 'Fetched', 'Saved'].map((title) => <th key={title} scope="col">{title}</th>)}</tr></thead>
          <tbody>
            <tr>
              <th scope="row">{value.surrogate}</th><td>{value.names.map(short).join(', ')}</td><td>{value.total.hits}</td><td>{value.total.collapsed}</td><td>{value.total.fetches}</td>
              <td>{bytes(value.total.sent_bytes)}</td><td>{bytes(value.total.fetched_bytes)}</td><td>{Math.round(saved(value.total) * 100)} %</td>
            </tr>
          </tbody>
        </table>
      </div>
      <Equivalent flame="edge stats" curl="{origin}/~vcdn/stats" />
    </section>
  );
}
