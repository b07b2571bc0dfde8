// A time bar that shows the picture of a moment before one goes there.

import { type RefObject } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { type Sprite, moment } from '../pure/sprites';
import { clock } from '../pure/words';
import { Picture } from './sprite';

const PREVIEW_PX = 160;
const STEP_S = 0.1;

export function Scrubber({ video, pictures }: { video: RefObject<HTMLVideoElement | null>; pictures: readonly Sprite[] }) {
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
  if (whole_s === 0 || pictures.length === 0) return null;
  const over = (event: PointerEvent) => {
    const box = bar.current!.getBoundingClientRect();
    setHover({ share: Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)), width_px: box.width });
  };
  const shown = hover && moment(pictures, hover.share * whole_s);
  const left_px = hover ? Math.min(hover.width_px - PREVIEW_PX, Math.max(0, hover.share * hover.width_px - PREVIEW_PX / 2)) : 0;
  return (
    <div class="scrubber" ref={bar} onPointerMove={over} onPointerLeave={() => setHover(null)}>
      {shown && (
        <div class="preview" style={{ left: `${left_px}px`, width: `${PREVIEW_PX}px`, height: `${(PREVIEW_PX * shown.height) / shown.width}px` }}>
          <Picture of={shown} width_px={PREVIEW_PX} /><span class="length">{clock(hover.share * whole_s * 1000)}</span>
        </div>
      )}
      <input type="range" min={0} max={whole_s} step={STEP_S} value={at_s} aria-label="Seek" aria-valuetext={`${clock(at_s * 1000)} of ${clock(whole_s * 1000)}`}
        onInput={(event) => { if (video.current) video.current.currentTime = Number(event.currentTarget.value); }} />
    </div>
  );
}
