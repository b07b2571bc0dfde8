// The chapters of what plays, as a list: a click goes to the beginning of one.

import { type RefObject } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { type Chapter, current } from '../pure/chapters';
import { clock } from '../pure/words';

/** A longer list is opened by who wants it. */
const SHOWN_MAX = 12;

export function Chapters({ video, chapters }: { video: RefObject<HTMLVideoElement | null>; chapters: readonly Chapter[] }) {
  const [now, setNow] = useState(-1);
  useEffect(() => {
    const element = video.current;
    if (!element) return;
    const look = () => setNow(current(chapters, element.currentTime));
    for (const name of ['timeupdate', 'seeking'] as const) element.addEventListener(name, look);
    look();
    return () => { for (const name of ['timeupdate', 'seeking'] as const) element.removeEventListener(name, look); };
  }, [chapters]);
  if (chapters.length === 0) return null;
  return (
    <details class="chapters" open={chapters.length <= SHOWN_MAX}>
      <summary>Chapters ({chapters.length})</summary>
      <ol class="plain">
        {chapters.map(({ name, start_s }, at) => (
          <li key={at}>
            <button type="button" aria-current={at === now ? 'true' : undefined} onClick={() => { if (video.current) video.current.currentTime = start_s; }}>
              <span class="quiet">{clock(start_s * 1000)}</span> {name}
            </button>
          </li>
        ))}
      </ol>
    </details>
  );
}
