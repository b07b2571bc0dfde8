// Keys of channels: each is said once, and this tab keeps it as long as whoever was told it is signed in.

import { signal } from '@preact/signals';
import { session } from './session';

const told = signal<{ by: string; keys: Record<string, string> }>({ by: '', keys: {} });

const viewer = () => JSON.stringify([session.value?.tenant, session.value?.subject]);

/** The key of a channel, if this viewer was told it here. */
export function key(channel: string): string | undefined {
  return told.value.by === viewer() ? told.value.keys[channel] : undefined;
}

export function keep(channel: string, key: string): void {
  const by = viewer();
  told.value = { by, keys: { ...(told.value.by === by ? told.value.keys : {}), [channel]: key } };
}
