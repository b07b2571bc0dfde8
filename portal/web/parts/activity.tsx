// Switches and searches as they happen, and what multicast has saved.

import { useRef } from 'preact/hooks';
import { ask } from '../api/http';
import { usePoll } from '../api/poll';
import type { Activity as Told, ActivityKind } from '../api/types';
import { TITLES, joined, said } from '../pure/activity';
import { bytes } from '../pure/words';
import { Equivalent } from './equivalent';

const REFRESH_MS = 1000;

export function Activity() {
  const known = useRef<ReturnType<typeof joined>>({ events: [], last: 0 });
  const told = usePoll(async () => {
    const told = await ask<Told>(`/api/router/activity?after=${known.current.last}`);
    known.current = joined(known.current, told);
    return { told, events: known.current.events };
  }, REFRESH_MS).value;
  if (!told) return null;
  const { totals } = told.told;
  return (
    <section aria-labelledby="activity-title">
      <h2 id="activity-title">Switches and searches</h2>
      {totals && <dl class="facts counted">
        {(Object.keys(TITLES) as ActivityKind[]).map((kind) => <div key={kind}><dt>{TITLES[kind]}</dt><dd>{totals.counts[kind] ?? 0}</dd></div>)}
        <div><dt>Answers by multicast</dt><dd>{totals.multicast.answers}{totals.multicast.answers > 0 && `, to ${totals.multicast.members} routers`}</dd></div>
        <div><dt>Saved by multicast</dt><dd>{bytes(totals.multicast.saved_bytes)}</dd></div>
      </dl>}
      {told.events.length === 0 ? <p class="quiet">All requests went straight through since this router started.</p> : (
        <ol class="plain happened" aria-label="The latest, newest first">
          {told.events.map((event) => <li key={event.number}><time class="quiet" dateTime={new Date(event.at_unix_ms).toISOString()}>{new Date(event.at_unix_ms).toLocaleTimeString()}</time> <span class={`tag ${event.kind}`}>{TITLES[event.kind]}</span> {said(event)}</li>)}
        </ol>
      )}
      <Equivalent flame="route activity" curl="{origin}/api/router/activity" />
    </section>
  );
}
