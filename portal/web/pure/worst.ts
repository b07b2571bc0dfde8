// The frames of a comparison that are to be looked at.

/** `distorted`: its number in what was measured, `reference`: in the other one; both from 0. */
export type Frame = { distorted: number; reference: number; time_ms: number; score: number };
/** `column`: by whose scores they are the worst. Their pictures are kept. */
export type Worst = { column: string; frames: readonly Frame[] };

/** Those of the last column that has some, at most `most`, in the order in which they are seen. Null where nothing is scored by frames. */
export function worst(columns: readonly { name: string; worst?: readonly Frame[] }[], most = Infinity): Worst | null {
  const column = columns.findLast(({ worst = [] }) => worst.length > 0);
  if (!column?.worst) return null;
  const frames = column.worst.toSorted((a, b) => a.score - b.score).slice(0, most).sort((a, b) => a.time_ms - b.time_ms);
  return { column: column.name, frames };
}

/** The number of the frame that is nearest to a moment. */
export function nearest(frames: readonly Frame[], time_ms: number): number | null {
  const apart = ({ time_ms: at }: Frame) => Math.abs(at - time_ms);
  return frames.reduce<Frame | null>((best, one) => (best === null || apart(one) < apart(best) ? one : best), null)?.distorted ?? null;
}
