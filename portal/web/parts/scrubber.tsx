// A time bar that shows the picture of a moment, and its chapter, before one goes there.

import { type RefObject } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { type Chapter, current } from '../pure/chapters';
import { type Sprite, moment } from '../pure/sprites';
import { clock } from '../pure/words';
import { PREVIEW_PX, Preview, useHover } from './preview';
import { Picture } from './sprite';

const STEP_S = 0.1;

type Shown = { video: RefObject<HTMLVideoElement | null>; pictures: readonly Sprite[]; chapters: readonly Chapter[] };

export function Scrubber({ video, pictures, chapters }: Shown) {
  const bar = useRef<HTMLDivElement>(null);
  const [at_s, setAt] = useState(0);
  const [whole_s, setWhole] = useState(0);
  const { hover, over } = useHover(bar);
  useEffect(() => {
    const element = video.current;
    if (!element) return;
    const look = () => {
      setAt(element.currentTime);
      setWhole(Number.isFinite(element.duration) ? element.duration : 0);
    };
    const events = ['timeupdate', 'durationchange', 'seeking'] as const;
    for (const name of events) element.addEventListener(name, look);
    look();
    return () => { for (const name of events) element.removeEventListener(name, look); };
  }, []);
  if (whole_s === 0 || (pictures.length === 0 && chapters.length === 0)) return null;
  const shown = hover && moment(pictures, hover.share * whole_s);
  const named = hover ? chapters[current(chapters, hover.share * whole_s)]?.name : undefined;
  const here = chapters[current(chapters, at_s)]?.name;
  return (
    <div class="scrubber" ref={bar} {...over}>
      {hover && (
        <Preview hover={hover} height_px={shown ? (PREVIEW_PX * shown.height) / shown.width : null} name={named} time={clock(hover.share * whole_s * 1000)}>
          {shown && <Picture of={shown} width_px={PREVIEW_PX} />}
        </Preview>
      )}
      {chapters.filter(({ start_s }) => start_s > 0 && start_s < whole_s).map(({ start_s }, at) => <span key={at} class="tick" style={{ left: `${(start_s / whole_s) * 100}%` }} />)}
      <input type="range" min={0} max={whole_s} step={STEP_S} value={at_s} aria-label="Seek" aria-valuetext={`${clock(at_s * 1000)} of ${clock(whole_s * 1000)}${here === undefined ? '' : `, ${here}`}`}
        onInput={(event) => { if (video.current) video.current.currentTime = Number(event.currentTarget.value); }} />
    </div>
  );
}
