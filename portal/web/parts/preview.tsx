// What stands over a time bar where a pointer is: the picture of that moment, its chapter and its time.

import type { ComponentChildren, RefObject } from 'preact';
import { useState } from 'preact/hooks';

export const PREVIEW_PX = 160;

/** Where over the bar a pointer is: which share of it lies to the left, and how wide the bar is. */
export type Hover = { share: number; width_px: number };

export function useHover(bar: RefObject<HTMLElement | null>) {
  const [hover, setHover] = useState<Hover | null>(null);
  const onPointerMove = (event: PointerEvent) => {
    const box = bar.current!.getBoundingClientRect();
    setHover({ share: Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)), width_px: box.width });
  };
  return { hover, over: { onPointerMove, onPointerLeave: () => setHover(null) } };
}

/** `height_px`: of the picture inside; null where there is none. */
export function Preview({ hover, height_px, name, time, children }: { hover: Hover; height_px: number | null; name?: string | undefined; time: string; children?: ComponentChildren }) {
  const left_px = Math.min(hover.width_px - PREVIEW_PX, Math.max(0, hover.share * hover.width_px - PREVIEW_PX / 2));
  return (
    <div class={height_px === null ? 'preview bare' : 'preview'} style={{ left: `${left_px}px`, width: `${PREVIEW_PX}px`, ...(height_px !== null && { height: `${height_px}px` }) }}>
      {children}{name !== undefined && <span class="named">{name}</span>}<span class="length">{time}</span>
    </div>
  );
}
