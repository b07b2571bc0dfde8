// How far back in a channel one is, and can go. All times in seconds, on the clock of the media element.

/** What can be gone to: from the oldest moment that is kept to the newest that plays without waiting. */
export type Window = { from_s: number; edge_s: number };

/** The oldest moments leave while one goes to them: so much later is where one gets. */
const LEAVING_S = 4;
/** Whoever is not further behind than this is watching live. */
const LIVE_S = 2;

/** `newest_s`: where the newest is played from, null as long as that is not known. Null: there is nothing to go back to. */
export function reach(from_s: number, end_s: number, newest_s: number | null): Window | null {
  const edge_s = Math.min(end_s, newest_s ?? end_s);
  return edge_s > from_s ? { from_s, edge_s } : null;
}

/** Where one gets who wants to be `behind_s` behind the newest. */
export function place({ from_s, edge_s }: Window, behind_s: number): number {
  return Math.max(Math.min(from_s + LEAVING_S, edge_s), edge_s - Math.max(0, behind_s));
}

/** How far behind the newest a moment is; nobody is ahead of it. */
export function behind({ edge_s }: Window, at_s: number): number {
  return Math.max(0, edge_s - at_s);
}

export function isLive(window: Window, at_s: number): boolean {
  return behind(window, at_s) <= LIVE_S;
}
