// What can be typed where media is asked for.

import type { Asset } from '../api/types';

export type Choice = { value: string; label: string };

/** Assets as they play and, with `tracks`, as they were uploaded (`ID/source`) and each rendition (`ID/v720`). Those that failed are left out. */
export function choices(assets: readonly Asset[], tracks: boolean): Choice[] {
  return assets.filter(({ state }) => state !== 'failed').flatMap(({ id, title, source, version }) => {
    const called = title || source.file_name || id;
    const whole = { value: id, label: called };
    if (!tracks) return [whole];
    const parts = (version?.tracks ?? []).map((track) => ({ value: `${id}/${track.name}`, label: `${called}, ${track.kind === 'video' ? `${track.height}p` : track.name}` }));
    return [whole, { value: `${id}/source`, label: `${called}, as it was uploaded` }, ...parts];
  });
}
