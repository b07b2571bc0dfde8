// What of a channel can be gone back to: a bar from its oldest moment to its newest, pictures of the moments between, and the way back to now.

import type Hls from 'hls.js';
import { type RefObject } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { type Window, behind, isLive, place, reach } from '../pure/back';
import { clock } from '../pure/words';
import { PREVIEW_PX, Preview, useHover } from './preview';
import { Still } from './still';

const LOOK_MS = 250;

type Shown = { video: RefObject<HTMLVideoElement | null>; hls: RefObject<Hls | null> };

export function LiveBar({ video, hls }: Shown) {
  const bar = useRef<HTMLDivElement>(null);
  const [seen, setSeen] = useState<{ window: Window; at_s: number } | null>(null);
  const { hover, over } = useHover(bar);
  useEffect(() => {
    const look = () => {
      if (!video.current) return;
      const { seekable, currentTime: at_s } = video.current;
      const window = seekable.length === 0 ? null : reach(seekable.start(0), seekable.end(seekable.length - 1), hls.current?.liveSyncPosition ?? null);
      setSeen(window && { window, at_s });
    };
    const timer = setInterval(look, LOOK_MS);
    return () => clearInterval(timer);
  }, []);
  if (seen === null) return null;
  const { window, at_s } = seen;
  const whole_s = window.edge_s - window.from_s;
  const late_s = behind(window, at_s);
  const live = isLive(window, at_s);
  const go = (behind_s: number) => {
    const element = video.current;
    if (!element) return;
    element.currentTime = place(window, behind_s);
    if (behind_s === 0) element.play().catch(() => {});
  };
  const { videoWidth: width = 0, videoHeight: height = 0 } = video.current ?? {};
  const there_s = hover && (1 - hover.share) * whole_s;
  return (
    <div class="live-bar">
      <div class="scrubber" ref={bar} {...over}>
        {there_s !== null && width > 0 && (
          <Preview hover={hover!} height_px={(PREVIEW_PX * height) / width} time={`−${clock(there_s * 1000)}`}>
            <Still hls={hls} at_s={place(window, there_s)} />
          </Preview>
        )}
        <input type="range" min={-whole_s} max={0} step="any" value={-Math.min(late_s, whole_s)} aria-label="Seek in what was sent" aria-valuetext={live ? 'live' : `${clock(late_s * 1000)} behind live`}
          onInput={(event) => go(-Number(event.currentTarget.value))} />
      </div>
      <span class="quiet">{live ? '' : `−${clock(late_s * 1000)}`}</span>
      <button type="button" class="edge" aria-pressed={live} onClick={() => go(0)}>Live</button>
    </div>
  );
}
