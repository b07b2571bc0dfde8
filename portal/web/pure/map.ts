// Where sites and endpoints are drawn: the router's own site in the middle, the others around it, and of each its endpoints in a spiral.

import type { Instance, Site } from './sites';

export type Spot = { x: number; y: number };
export type Dot = Spot & { name: string; instance: Instance };
export type Drawn = Spot & { site: Site; radius: number; dots: Dot[] };

/** Distance of neighbouring dots. */
export const DOT_STEP = 13;
const MARGIN = 20;
const LEAST = 46;
const GAP = 70;
/** The golden angle: a spiral in which nobody stands close to another (Vogel 1979). */
const TURN = Math.PI * (3 - Math.sqrt(5));

/** Circles do not overlap; the first site is the middle. Lengths are in units of the drawing, its middle is 0, 0. */
export function drawn(sites: readonly Site[]): Drawn[] {
  const all = sites.map((site) => {
    const instances = site.names.flatMap(({ name, instances: some }) => some.map((instance) => ({ name, instance })));
    const dots = instances.map((one, at) => ({ ...one, x: reach(at) * Math.cos(at * TURN), y: reach(at) * Math.sin(at * TURN) }));
    return { site, dots, radius: Math.max(LEAST, reach(instances.length) + MARGIN), x: 0, y: 0 };
  });
  const [middle, ...around] = all;
  if (!middle) return [];
  const widest = Math.max(0, ...around.map(({ radius }) => radius));
  // Far enough from the middle, and so far that neighbours on the ring fit side by side.
  const needed = around.length < 2 ? 0 : (widest + GAP / 4) / Math.sin(Math.PI / around.length);
  const ring = Math.max(middle.radius + widest + GAP, needed);
  around.forEach((one, at) => {
    const angle = (2 * Math.PI * at) / around.length;
    Object.assign(one, { x: ring * Math.cos(angle), y: ring * Math.sin(angle) });
  });
  return all.map((one) => ({ ...one, dots: one.dots.map((dot) => ({ ...dot, x: dot.x + one.x, y: dot.y + one.y })) }));
}

/** What holds all of them: left, top, width, height. */
export function frame(all: readonly Drawn[]): [number, number, number, number] {
  if (all.length === 0) return [0, 0, 1, 1];
  const edge = (side: (one: Drawn) => number, most: (...all: number[]) => number) => most(...all.map(side));
  const [left, right] = [edge(({ x, radius }) => x - radius, Math.min), edge(({ x, radius }) => x + radius, Math.max)];
  const [top, bottom] = [edge(({ y, radius }) => y - radius, Math.min), edge(({ y, radius }) => y + radius, Math.max)];
  return [left - MARGIN, top - MARGIN, right - left + 2 * MARGIN, bottom - top + 2 * MARGIN];
}

function reach(at: number): number {
  return DOT_STEP * Math.sqrt(at);
}
