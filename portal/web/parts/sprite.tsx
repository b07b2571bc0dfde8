// The picture of a moment, cut out of its sheet.

import { type Sprite, sprites } from '../pure/sprites';

const KEPT_MAX = 64;
const kept = new Map<string, Promise<Sprite[]>>();

/** The pictures of an asset as it plays now; none where it has none. Asked for once. */
export function pictures(asset: string, version: string): Promise<Sprite[]> {
  const key = `${asset}/${version}`;
  const known = kept.get(key);
  if (known) return known;
  const url = `${location.origin}/~streaming/${encodeURIComponent(asset)}/thumbnails.vtt`;
  const found = fetch(url)
    .then(async (answer) => (answer.ok ? sprites(await answer.text(), url) : []))
    .catch(() => { kept.delete(key); return []; });
  if (kept.size >= KEPT_MAX) kept.delete(kept.keys().next().value!);
  kept.set(key, found);
  return found;
}

/** Fills what it stands in; `width_px` is how wide that is. */
export function Picture({ of, width_px }: { of: Sprite; width_px: number }) {
  const scale = width_px / of.width;
  return (
    <span class="sprite" aria-hidden="true" style={{
      width: `${of.width}px`, height: `${of.height}px`, transform: `scale(${scale})`,
      backgroundImage: `url("${of.url}")`, backgroundPosition: `-${of.x}px -${of.y}px`,
    }} />
  );
}
