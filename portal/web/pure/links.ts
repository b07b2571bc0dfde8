// Links that play what is protected: what lies beside their playlist, and when another one is wanted.

/** `path`: of the multivariant playlist at this router. `expires_at`: RFC 3339. */
export type ViewerLink = { path: string; expires_at: string };

/** Another one is asked for so long before it is needed. */
const AHEAD_MS = 60_000;
/** Timers know no longer spans. */
const TIMER_MAX_MS = 2 ** 31 - 1;

/** A file of the same asset, opened by the same link. */
export function beside({ path }: ViewerLink, file: string): string {
  return path.replace(/[^/]*$/, file);
}

/** How long until another link is asked for; never where this one ends so soon that the next would too: it ends with who is signed in. */
export function renewal_ms({ expires_at }: ViewerLink, now_ms: number): number | null {
  const left_ms = Date.parse(expires_at) - now_ms;
  return left_ms > 2 * AHEAD_MS ? Math.min(left_ms - AHEAD_MS, TIMER_MAX_MS) : null;
}
