// Media that there is, offered where one types which is meant.

import { ask } from '../api/http';
import { usePoll } from '../api/poll';
import type { Asset, Page } from '../api/types';
import { choices } from '../pure/choices';

const REFRESH_MS = 30_000;
const OFFERED = 50;

/** A list for `<input list={id}>`. `tracks`: also what was uploaded, and each rendition, instead of assets alone. */
export function Choices({ id, tracks = false }: { id: string; tracks?: boolean }) {
  const assets = usePoll(() => ask<Page<Asset>>(`/~metadata/assets?limit=${OFFERED}`), REFRESH_MS).value?.items ?? [];
  return <datalist id={id}>{choices(assets, tracks).map(({ value, label }) => <option key={value} value={value}>{label}</option>)}</datalist>;
}
