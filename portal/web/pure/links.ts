// Links that play what is protected: what lies beside their playlist, and when another one is wanted.

/** `path`: of the multivariant playlist at this router. `expires_at`: RFC 3339. */
export type ViewerLink = { path: string; expires_at: string };

/** Another one is asked for so long before it is needed; of a short one, at its half. */
const AHEAD_MS = 60_000;
/** Timers know no longer spans. */
const TIMER_MAX_MS = 2 ** 31 - 1;

/** A file of the same asset, opened by the same link. */
export function beside({ path }: ViewerLink, file: string): string {
  return path.replace(/[^/]*$/, file);
}

/**
 * How long until another link is asked for. Never where this one ends no later than the one `before`: it ends with who is signed in, and so would
 * the next. `now_ms`: by the clock of whoever signed it.
 */
export function renewal_ms(link: ViewerLink, before: ViewerLink | null, now_ms: number): number | null {
  const end_ms = Date.parse(link.expires_at);
  if (before !== null && end_ms <= Date.parse(before.expires_at)) return null;
  const left_ms = end_ms - now_ms;
  return left_ms > 0 ? Math.min(Math.max(left_ms / 2, left_ms - AHEAD_MS), TIMER_MAX_MS) : null;
}
