// Values of the assets that are looked at, with how many have each; a click wants them, another one does not any more.

import { useEffect, useRef, useState } from 'preact/hooks';
import { ask } from '../api/http';
import { usePoll } from '../api/poll';
import { type Facet, NOTHING, type Search, TRASH, offered, questions, shown, toggled, write } from '../pure/search';

const REFRESH_MS = 15_000;
/** While another view is looked at. */
const RARELY_MS = 120_000;
/** Values of a field that are shown; the rest is found by words, or by `flame asset list --facet`. */
const SHOWN = 8;

type Counted = { facets: Facet[] };

export function Facets({ search, looked, onSearch }: { search: Search; looked: boolean; onSearch: (search: Search) => void }) {
  const key = write(search);
  const chosen = Object.values(search.wanted).reduce((sum, values) => sum + values.length, 0);
  // Open where a link wants values; from then on as whoever looks has it.
  const [open, setOpen] = useState(chosen > 0);
  useEffect(() => { if (chosen > 0) setOpen(true); }, [chosen > 0]);
  const summary = useRef<HTMLElement>(null);
  const counts = usePoll(async () => {
    if (search.state === TRASH) return [];
    const answers = await Promise.all(questions(search).map((said) => ask<Counted>(`/~metadata/facets?${new URLSearchParams(said)}`)));
    return answers.flatMap(({ facets }) => facets);
  }, looked ? REFRESH_MS : RARELY_MS, key);
  const all = search.state === TRASH ? [] : offered(counts.value ?? [], search.wanted, SHOWN);
  if (all.length === 0) return null;
  return (
    <details class="facets" open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary ref={summary}>Narrow down{chosen > 0 && ` (${chosen} chosen)`}</summary>
      <div class="groups">
        {all.map(({ field, title, values, more }) => (
          <fieldset key={field}>
            <legend>{title}</legend>
            <div class="choices">
              {values.map(({ value, count }) => (
                <button key={String(value)} type="button" aria-pressed={search.wanted[field]?.includes(value) ?? false} disabled={count === 0 && !search.wanted[field]?.includes(value)}
                  onClick={() => onSearch(toggled(search, field, value))}>{shown(field, value)} <span class="count">{count}</span></button>
              ))}
              {more && <span class="quiet">and others</span>}
            </div>
          </fieldset>
        ))}
      </div>
      {chosen > 0 && <button type="button" onClick={() => { summary.current?.focus(); onSearch({ ...search, wanted: NOTHING.wanted }); }}>Reset</button>}
    </details>
  );
}
