// How fast a live picture is played, so that a viewer who began late comes to where the channel may be watched.
//
// What is late when playback begins stays late, because a player begins where the channel was when it asked, and everything until its
// first picture comes on top. A little more than full speed takes that back within seconds, and nobody sees or hears it (a
// browser keeps the pitch). It is given up as soon as what has arrived grows short: being late is better than a stall.

/** Most that is added to full speed. */
const FASTER_MAX = 0.1;
/** Nearer than this to where it is to be is near enough, seconds. */
const NEAR_S = 0.03;
/** Catching up begins only where it is this much later, seconds: or it would never rest. */
const LATE_S = 0.08;

/** Where playback stands, seconds: behind the live edge, where it is to be behind it, and how much has arrived beyond it. */
export type Standing = { behind_s: number; target_s: number; ahead_s: number };

/**
 * The rate to play at from now on; `rate` is that of before. `ahead_min_s` is what has to have arrived.
 */
export function pace({ behind_s, target_s, ahead_s }: Standing, rate: number, ahead_min_s: number): number {
  const late_s = behind_s - target_s;
  const isKnown = [behind_s, target_s, ahead_s].every(Number.isFinite) && target_s > 0;
  if (!isKnown || ahead_s < ahead_min_s || late_s < (rate > 1 ? NEAR_S : LATE_S)) return 1;
  // In steps, so that the player is told rarely.
  return 1 + Math.min(FASTER_MAX, Math.ceil(late_s * 10) / 50);
}
