// Pictures of the worst frames: the reference, what was measured, and their difference. Each is a mark in the plots.

import { useEffect, useRef } from 'preact/hooks';
import type { Worst as Of } from '../pure/worst';
import { figure } from '../pure/words';

type Shown = { of: Of; path: string; chosen: number | null } & ({ onChosen: (frame: number) => void; link?: never } | { link: (time_ms: number) => string; onChosen?: never });

/** `path`: of the comparison. `chosen`: the frame that somebody looks at. `link`: where a frame at a moment is looked at, instead of being chosen here. */
export function Worst({ of: { column, frames }, path, chosen, onChosen, link }: Shown) {
  const list = useRef<HTMLUListElement>(null);
  useEffect(() => { list.current?.querySelector('[aria-current="true"]')?.scrollIntoView({ block: 'nearest' }); }, [chosen]);
  return (
    <section aria-label="Worst frames">
      <h4>Worst frames by {column}</h4>
      <p class="quiet">The reference, what was measured, and the difference.{link ? ' A click leads to the plots around it.' : ' A click into a plot chooses the nearest.'}</p>
      <ul class="worst" ref={list}>{frames.map(({ distorted, time_ms, score }) => {
        const shown = <>
          <img src={`${path}/pictures/${distorted}`} alt={`Frame ${distorted}: reference, measured, difference`} loading="lazy" onError={(event) => { event.currentTarget.hidden = true; }} />
          <span>{(time_ms / 1000).toFixed(2)} s, frame {distorted}: {figure(score)}</span>
        </>;
        return (
          <li key={distorted} aria-current={distorted === chosen}>
            {link ? <a class="button" href={link(time_ms)}>{shown}</a> : <button type="button" onClick={() => onChosen(distorted)}>{shown}</button>}
          </li>
        );
      })}</ul>
    </section>
  );
}
