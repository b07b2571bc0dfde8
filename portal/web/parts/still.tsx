// The picture of a moment out of a channel's I-frame playlist (RFC 8216bis, section 4.4.4.3): nothing else of the moment is fetched.

import type Hls from 'hls.js';
import type { HlsIFramesOnly } from 'hls.js';
import { type RefObject } from 'preact';
import { useEffect, useRef } from 'preact/hooks';

/** Fills what it stands in; stays black where the playlist offers no I-frames. */
export function Still({ hls, at_s }: { hls: RefObject<Hls | null>; at_s: number }) {
  const video = useRef<HTMLVideoElement>(null);
  const stills = useRef<HlsIFramesOnly | null>(null);
  useEffect(() => {
    const player = hls.current?.createIFramePlayer({ lowLatencyMode: false }) ?? null;
    player?.attachMedia(video.current!);
    stills.current = player;
    return () => player?.destroy();
  }, []);
  useEffect(() => stills.current?.loadMediaAt(at_s), [Math.round(at_s)]);
  return <video class="still" ref={video} muted playsInline aria-hidden="true" tabIndex={-1} />;
}
