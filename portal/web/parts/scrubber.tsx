// A time bar that shows the picture of a moment, and its chapter, before one goes there.

import { type RefObject } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { type Chapter, current } from '../pure/chapters';
import { type Sprite, moment } from '../pure/sprites';
import { clock } from '../pure/words';
import { Picture } from './sprite';

const PREVIEW_PX = 160;
const STEP_S = 0.1;

type Shown = { video: RefObject<HTMLVideoElement | null>; pictures: readonly Sprite[]; chapters: readonly Chapter[] };

export function Scrubber({ video, pictures, chapters }: Shown) {
  const bar = useRef<HTMLDivElement>(null);
  const [at_s, setAt] = useState(0);
  const [whole_s, setWhole] = useState(0);
  const [hover, setHover] = useState<{ share: number; width_px: number } | null>(null);
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
  const over = (event: PointerEvent) => {
    const box = bar.current!.getBoundingClientRect();
    setHover({ share: Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)), width_px: box.width });
  };
  const shown = hover && moment(pictures, hover.share * whole_s);
  const named = hover ? chapters[current(chapters, hover.share * whole_s)]?.name : undefined;
  const here = chapters[current(chapters, at_s)]?.name;
  const left_px = hover ? Math.min(hover.width_px - PREVIEW_PX, Math.max(0, hover.share * hover.width_px - PREVIEW_PX / 2)) : 0;
  return (
    <div class="scrubber" ref={bar} onPointerMove={over} onPointerLeave={() => setHover(null)}>
      {hover && (
        <div class={shown ? 'preview' : 'preview bare'} style={{ left: `${left_px}px`, width: `${PREVIEW_PX}px`, ...(shown && { height: `${(PREVIEW_PX * shown.height) / shown.width}px` }) }}>
          {shown && <Picture of={shown} width_px={PREVIEW_PX} />}{named !== undefined && <span class="named">{named}</span>}<span class="length">{clock(hover.share * whole_s * 1000)}</span>
        </div>
      )}
      {chapters.filter(({ start_s }) => start_s > 0 && start_s < whole_s).map(({ start_s }, at) => <span key={at} class="tick" style={{ left: `${(start_s / whole_s) * 100}%` }} />)}
      <input type="range" min={0} max={whole_s} step={STEP_S} value={at_s} aria-label="Seek" aria-valuetext={`${clock(at_s * 1000)} of ${clock(whole_s * 1000)}${here === undefined ? '' : `, ${here}`}`}
        onInput={(event) => { if (video.current) video.current.currentTime = Number(event.currentTarget.value); }} />
    </div>
  );
}
