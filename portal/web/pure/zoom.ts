// What part of a plot is seen after a key: as a drag and a double click do it for whoever has a pointer.

/** A part of an axis, in its unit; `min` < `max`. */
export type Part = { min: number; max: number };

/** Each key goes on by this share of what is seen. */
const STEP = 0.25;
/** Nobody looks closer than at this share of all. */
const CLOSEST = 1e-3;

/** The part that is seen after `key`, within `all`; null for a key that means nothing here, `all` itself where all is seen again. */
export function zoomed(all: Part, seen: Part, key: string): Part | null {
  const span = seen.max - seen.min;
  switch (key) {
    case 'ArrowLeft': return placed(all, seen.min - span * STEP, span);
    case 'ArrowRight': return placed(all, seen.min + span * STEP, span);
    case 'Home': return placed(all, all.min, span);
    case 'End': return placed(all, all.max - span, span);
    case '+': case '=': return around(all, seen, span / 2);
    case '-': return around(all, seen, span * 2);
    case '0': case 'Escape': return all;
    default: return null;
  }
}

function around(all: Part, { min, max }: Part, span: number): Part {
  const closest = (all.max - all.min) * CLOSEST;
  const wanted = Math.max(span, closest);
  return placed(all, (min + max - wanted) / 2, wanted);
}

/** A part of that length within all, as near to its place as that goes. */
function placed(all: Part, min: number, span: number): Part {
  const whole = all.max - all.min;
  if (span >= whole) return all;
  const from = Math.min(Math.max(min, all.min), all.max - span);
  return { min: from, max: from + span };
}
