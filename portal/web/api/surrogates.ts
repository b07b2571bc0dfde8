// The surrogates that there are: the bundle's own, and those that templates have started.

import { computed, signal } from '@preact/signals';
import { fronts } from '../pure/surrogates';
import { Refusal, ask } from './http';
import type { Deployment, Page, SurrogateStats } from './types';

/** Names through which media can be had, the service itself first. */
export const ways = signal<string[]>(['streaming']);

/** The way that somebody chose; nothing chosen is the bundle's surrogate, if it is there. */
export const chosen = signal<string | null>(null);

export const way = computed(() => ways.value.find((name) => name === chosen.value) ?? ways.value.find((name) => name === 'cdn') ?? ways.value[0]!);

/** Nobody waits longer to play than this. */
const WAIT_MS = 2000;
/** Who was silent so often in a row is not there any more. */
const SILENT_MAX = 3;

/** Asks somebody who may be silent for a moment: what was said last holds until it is taken back, or nothing was heard for long. */
function remembering<T>(path: string): () => Promise<T | null> {
  let known: T | null = null;
  let silent = 0;
  return async () => {
    try {
      known = await Promise.race([ask<T>(path), new Promise<never>((_, late) => setTimeout(() => late(new Error('late')), WAIT_MS))]);
      silent = 0;
    } catch (error) {
      silent += 1;
      if (silent >= SILENT_MAX || (error instanceof Refusal && error.status < 500)) known = null;
    }
    return known;
  };
}

const own = remembering<SurrogateStats>('/~vcdn/stats');
const deployed = remembering<Page<Deployment>>('/~orchestrator/deployments');

/** Looks for all of them; what the bundle's own says of itself, nothing where there is none. */
export async function look(): Promise<{ own: SurrogateStats | null }> {
  const [stats, started] = await Promise.all([own(), deployed()]);
  const found = ['streaming', ...fronts(stats?.names ?? [], started?.items ?? [])];
  // The same ways are the same value: who plays is not disturbed.
  if (found.join() !== ways.value.join()) ways.value = found;
  return { own: stats };
}
