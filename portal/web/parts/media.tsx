// Media of the quality service's jobs by the titles of their assets: an identifier says nothing to people.

import { useEffect, useState } from 'preact/hooks';
import { ask } from '../api/http';
import { keeping } from '../api/keep';
import type { Asset } from '../api/types';
import { write } from '../pure/route';
import { parted } from '../pure/words';

/** An asset that is renamed or deleted has its old title here for as long. */
const titled = keeping((asset) => ask<Asset>(`/~metadata/assets/${encodeURIComponent(asset)}`).then(({ title }) => title), '', { most: 200, age_ms: 60_000, at_once: 4 });

/** `ID`, `ID/source`, `ID/v720` or a path; what is no asset, or one that is not there any more, stands as it is. */
export function Media({ name }: { name: string }) {
  const { asset, rest } = parted(name);
  const [title, setTitle] = useState('');
  useEffect(() => {
    let gone = false;
    if (asset !== null) void titled(asset).then((title) => { if (!gone) setTitle(title); });
    return () => { gone = true; };
  }, [asset]);
  if (asset === null) return <code>{name}</code>;
  return <span title={name}><a href={write({ view: 'library', asset })}>{title || `…${asset.slice(-8)}`}</a>{rest && ` (${rest})`}</span>;
}
