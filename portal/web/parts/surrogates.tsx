// What the surrogates have answered out of what they keep, and so have not fetched.

import { look } from '../api/surrogates';
import { usePoll } from '../api/poll';
import { saved } from '../pure/surrogates';
import { bytes, short } from '../pure/words';
import { Equivalent } from './equivalent';

const REFRESH_MS = 2000;

export function Surrogates() {
  const { value, trouble } = usePoll(look, REFRESH_MS);
  if (!trouble && !value?.length) return null;
  return (
    <section aria-labelledby="surrogates-title">
      <h2 id="surrogates-title">Surrogates</h2>
      {trouble && <p class="notice" role="status">{trouble}</p>}
      <div class="scroll" tabIndex={0} role="region" aria-label="What surrogates answered">
        <table>
          <thead><tr>{['Surrogate', 'Serves', 'Hits', 'Waited with others', 'Fetches', 'Sent', 'Fetched', 'Saved'].map((title) => <th key={title} scope="col">{title}</th>)}</tr></thead>
          <tbody>{value?.map(({ surrogate, names, total }) => (
            <tr key={surrogate}>
              <th scope="row">{surrogate}</th><td>{names.map(short).join(', ')}</td><td>{total.hits}</td><td>{total.collapsed}</td><td>{total.fetches}</td>
              <td>{bytes(total.sent_bytes)}</td><td>{bytes(total.fetched_bytes)}</td><td>{Math.round(saved(total) * 100)} %</td>
            </tr>
          ))}</tbody>
        </table>
      </div>
      <Equivalent flame="edge stats" curl="{origin}/~vcdn/stats" />
    </section>
  );
}
