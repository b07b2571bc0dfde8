// The surrogates that a router knows, and what each says of itself.

import { computed, signal } from '@preact/signals';
import { fronts, talkers } from '../pure/surrogates';
import { ask } from './http';
import type { Page, Standing, SurrogateStats } from './types';

const SURROGATES_MAX = 32;

/** What surrogates said last, of those that answered. */
export const surrogates = signal<SurrogateStats[]>([]);

/** Names through which media can be had, the service itself first. */
export const ways = computed(() => ['streaming', ...fronts(surrogates.value)]);

/** The way that somebody chose; nothing chosen is the first surrogate. */
export const chosen = signal<string | null>(null);

export const way = computed(() => (chosen.value !== null && ways.value.includes(chosen.value) ? chosen.value : ways.value[1] ?? ways.value[0]!));

/** Asks all of them. One that does not answer is left out; no answer of any is no failure of the page. */
export async function look(): Promise<SurrogateStats[]> {
  const { items } = await ask<Page<Standing>>('/api/router/routes');
  const all = await Promise.allSettled(talkers(items).slice(0, SURROGATES_MAX).map((name) => ask<SurrogateStats>(`/~${name}/stats`)));
  const said = all.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  surrogates.value = said;
  return said;
}
