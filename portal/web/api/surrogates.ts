// The surrogates that there are: the bundle's own, and those that templates have started.

import { computed, signal } from '@preact/signals';
import { fronts } from '../pure/surrogates';
import { ask } from './http';
import type { Deployment, Page, SurrogateStats } from './types';

/** Names through which media can be had, the service itself first. */
export const ways = signal<string[]>(['streaming']);

/** The way that somebody chose; nothing chosen is the bundle's surrogate, if it is there. */
export const chosen = signal<string | null>(null);

export const way = computed(() => ways.value.find((name) => name === chosen.value) ?? ways.value.find((name) => name === 'cdn') ?? ways.value[0]!);

/** Looks for all of them; what the bundle's own says of itself, nothing where there is none. */
export async function look(): Promise<{ own: SurrogateStats | null }> {
  const [own, deployed] = await Promise.allSettled([ask<SurrogateStats>('/~vcdn/stats'), ask<Page<Deployment>>('/~orchestrator/deployments')]);
  const stats = own.status === 'fulfilled' ? own.value : null;
  const found = ['streaming', ...fronts(stats?.names ?? [], deployed.status === 'fulfilled' ? deployed.value.items : [])];
  // The same ways are the same value: who plays is not disturbed.
  if (found.join() !== ways.value.join()) ways.value = found;
  return { own: stats };
}
