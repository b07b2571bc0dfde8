// The picture of a moment, cut out of its sheet.

import { keeping } from '../api/keep';
import { type Sprite, sprites } from '../pure/sprites';

const kept = keeping(async (key) => {
  const url = new URL(key.split(' ')[0]!, location.origin).href;
  const answer = await fetch(url);
  return answer.ok ? sprites(await answer.text(), url) : [];
}, [] as Sprite[], { most: 64, age_ms: 60_000, at_once: 4 });

/** The pictures of an asset as it plays now; none where it has none. `path`: where their index lies, where that is not for everybody. */
export function pictures(asset: string, version: string, path = `/~streaming/${encodeURIComponent(asset)}/thumbnails.vtt`): Promise<Sprite[]> {
  return kept(`${path} ${version}`);
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
