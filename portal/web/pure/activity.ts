// What a router tells of requests that did not go straight through, in words.

import type { Activity, ActivityEvent, ActivityKind } from '../api/types';
import { short, tail } from './words';

/** Events that are shown, the latest first. */
export const SHOWN = 12;

export const TITLES: Record<ActivityKind, string> = {
  retried: 'Asked again', hedged: 'A second one asked', resumed: 'Gone on elsewhere', found: 'Searched and found', missed: 'Searched in vain',
};

/** The events of an answer with those that were known before, the latest first; a router that counts from the start again has forgotten those. */
export function joined(known: { events: ActivityEvent[]; last: number }, told: Activity): { events: ActivityEvent[]; last: number } {
  const before = told.last < known.last ? [] : known.events.filter(({ number }) => !told.events.some((one) => one.number === number));
  return { events: [...told.events.toReversed(), ...before].slice(0, SHOWN), last: told.last };
}

/** One event as a sentence. */
export function said(event: ActivityEvent): string {
  const from = place(event.from_site, event.from_endpoint, event.to_site);
  const to = place(event.to_site, event.to_endpoint, event.from_site);
  const name = short(event.name);
  switch (event.kind) {
    case 'retried': return `${name}: ${from} gave no answer (${event.why}), ${to} is asked`;
    case 'hedged': return `${name}: ${from} is late (${event.why}), ${to} is asked, too`;
    case 'resumed': return `${name}: an answer of ${from} goes on from ${to} (${event.why})`;
    case 'found': return `${name}: not at ${from} (${event.why}), but at ${to}`;
    case 'missed': return `${name}: nowhere (${event.why})`;
  }
}

/** An endpoint by its end, with its site where that differs from the other one's. */
function place(site: string | null, endpoint: string | null, other: string | null): string {
  if (site === null) return 'nobody';
  if (endpoint === null) return site;
  const named = tail(endpoint);
  return site === other || other === null ? named : `${named} at ${site}`;
}
