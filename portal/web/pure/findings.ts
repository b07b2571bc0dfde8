// What is wrong with a template, in the words of the orchestrator and with the places that it names.

/** A finding; lines and columns count from 1. Who names no place has none: there is no room, say. */
export type Finding = { file: string | null; line: number | null; column: number | null; reason: string };

const PLACED = /^(?:(.+?), )?line (\d+), column (\d+): (.*)$/;

/** Reads the detail of a refusal: a finding a line. */
export function findings(detail: string): Finding[] {
  return detail.split('\n').filter((line) => line.trim() !== '').map((text) => {
    const [, file, line, column, reason] = PLACED.exec(text) ?? [];
    return reason === undefined ? { file: null, line: null, column: null, reason: text }
      : { file: file ?? null, line: Number(line), column: Number(column), reason };
  });
}

/** Where a line and a column are in `text`, counted in UTF-16 units as text areas do; the end where there is no such line. */
export function offset(text: string, line: number, column: number): number {
  let at = 0;
  for (let now = 1; now < line; now += 1) {
    const next = text.indexOf('\n', at);
    if (next < 0) return text.length;
    at = next + 1;
  }
  const end = text.indexOf('\n', at);
  return Math.min(at + column - 1, end < 0 ? text.length : end);
}

/** Inputs as they are written for the command: a `NAME=VALUE` a line. Lines without a name or `=` are none. */
export function inputs(text: string): Record<string, string> {
  const pairs = text.split('\n').map((line) => /^\s*([^=\s]+)\s*=(.*)$/.exec(line)).filter((found) => found !== null);
  return Object.fromEntries(pairs.map(([, name, value]) => [name!, value!.trim()]));
}
