// What was made of a source, as a graph from left to right: source, version, tracks. And what was measured, as rows.

import type { ChainStage, Provenance, Score } from '../api/types';

/** Versions that are drawn: the newest. */
export const DRAWN_MAX = 3;

/** The stages that a graph shows. Names differ, also where two versions have a track of the same name. */
export function walk({ source, versions }: Provenance): ChainStage[] {
  const from = source.file_name ?? 'source';
  const made = versions.slice(0, DRAWN_MAX).flatMap(({ name, chain, plays, tracks }) => [
    { name, type: plays ? `${chain}, plays now` : chain, inputs: [from], gates: [] },
    ...tracks.map((track) => ({
      name: versions.length > 1 ? `${track.name} of ${name}` : track.name, inputs: [name], gates: [],
      type: track.kind === 'video' ? `${track.width}×${track.height} ${track.codec}` : track.codec,
    })),
  ]);
  return [{ name: from, type: 'as it came', inputs: [], gates: [] }, ...made];
}

/** The figures that people look at first, at most `most`, as text: means of metrics before those of single planes and all others, how well both were aligned after them. */
export function figures({ figures }: Score, most = 4): string {
  const rank = (name: string) => (name.startsWith('alignment.') ? 2 : name.endsWith('.mean') && !/_(y|cb|cr)\.mean$/.test(name) ? 0 : 1);
  return Object.entries(figures).sort(([a], [b]) => rank(a) - rank(b)).slice(0, most).map(([name, value]) => `${name} ${Number(value.toFixed(2))}`).join(', ');
}

/** What the gates say together. */
export function verdict({ gates }: Score): '' | 'kept' | 'not kept' {
  if (gates.length === 0) return '';
  return gates.every(({ passed }) => passed) ? 'kept' : 'not kept';
}
