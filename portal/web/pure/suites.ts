// Runs of a suite over time: a row for each gate of each case, and how it went from run to run.

import type { CaseResult, SuiteRun } from '../api/types';
import type { Lines } from './answers';
import { figure } from './words';

/**
 * A run's cell of a gate; nothing where that run did not have it. `text`: the figure, else what became of the gate or its case. `isWell`:
 * it is as it must be; a gate of a control, as long as one of the control's gates fails.
 */
export type Cell = { measured: number | null; text: string; isWell: boolean; why: string } | null;
/** `isControl`: the case must fail, in the newest run that has it. `cells`: oldest run first. `points`: of a polyline in a box of [`TREND`]. */
export type GateRow = { case: string; gate: string; isControl: boolean; cells: Cell[]; change: string; points: string };

/** Size of the little line that shows a trend, in units of its own. */
export const TREND = { width: 96, height: 20 };

/** Rows of all gates that any of the runs had, in the order of the newest run; `runs` as the service lists them, newest first. */
export function rows(runs: readonly SuiteRun[]): GateRow[] {
  const oldest_first = [...runs].reverse();
  const names = new Map<string, { case: string; gate: string; isControl: boolean }>();
  for (const { cases } of runs) {
    for (const one of cases) {
      const isControl = one.must_fail ?? false;
      for (const gate of gatesOf(one)) if (!names.has(key(one.case, gate))) names.set(key(one.case, gate), { case: one.case, gate, isControl });
    }
  }
  return [...names.values()].map((name) => {
    const cells = oldest_first.map(({ cases }) => cell(cases.find((one) => one.case === name.case), name.gate));
    const values = cells.map((one) => one?.measured ?? null);
    return { ...name, cells, change: change(values), points: points(values) };
  });
}

/** A gate from run to run as a line over the times at which the runs began; `runs` as the service lists them, newest first. */
export function line(runs: readonly SuiteRun[], { case: name, gate, cells }: GateRow): Lines {
  return {
    times_s: [...runs].reverse().map(({ begun_at }) => Date.parse(begun_at) / 1000),
    lines: [{ label: `${name}: ${gate}`, values: cells.map((cell) => cell?.measured ?? null) }],
  };
}

/** A case without gates, because nothing could be said of it, still has a row. */
function gatesOf({ gates = [] }: CaseResult): string[] {
  return gates.length > 0 ? gates.map(({ gate }) => gate) : [''];
}

const WORDS = { passed: 'passed', failed: 'failed', not_measured: 'not measured' };

function cell(of: CaseResult | undefined, gate: string): Cell {
  if (!of) return null;
  const { outcome, must_fail, gates = [] } = of;
  const found = gates.find((one) => one.gate === gate);
  if (found) {
    const measured = found.measured ?? null;
    const isWell = must_fail ? outcome === 'passed' : found.passed;
    const text = measured !== null ? `${figure(measured)}${found.passed ? '' : ' ✗'}` : found.passed ? 'passed' : found.why ? 'not measured' : 'failed';
    // What a control shows is said with it; of others only what is not well.
    return { measured, text, isWell, why: found.why ?? (must_fail || !isWell ? of.said ?? '' : '') };
  }
  // A case that ended before its gates were judged.
  if (gate !== '' && (outcome === 'passed' || (outcome === 'failed' && gates.length > 0))) return null;
  return { measured: null, text: WORDS[outcome], isWell: outcome === 'passed', why: of.said ?? '' };
}

/** From the run before to the newest one. */
function change(values: readonly (number | null)[]): string {
  const [before, now] = values.filter((value) => value !== null).slice(-2);
  if (before === undefined || now === undefined) return '';
  const by = now - before;
  return by === 0 ? '=' : `${by > 0 ? '+' : '−'}${figure(Math.abs(by))}`;
}

/** Points of a polyline through what was measured, from the lowest to the highest value. */
function points(values: readonly (number | null)[]): string {
  const known = values.flatMap((value, at) => (value === null ? [] : [{ value, at }]));
  if (known.length < 2) return '';
  const [low, high] = [Math.min(...known.map(({ value }) => value)), Math.max(...known.map(({ value }) => value))];
  const [from, step] = [1, (TREND.width - 2) / Math.max(1, values.length - 1)];
  const height = (value: number) => (high === low ? TREND.height / 2 : TREND.height - 2 - ((value - low) / (high - low)) * (TREND.height - 4));
  return known.map(({ value, at }) => `${(from + at * step).toFixed(1)},${height(value).toFixed(1)}`).join(' ');
}

function key(name: string, gate: string): string {
  return `${name}\n${gate}`;
}
