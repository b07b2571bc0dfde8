// Stages of a chain in columns: whoever feeds another stands left of it, and no line runs behind a stage that it does not touch.

export type Spot = { column: number; row: number };
/** `points`: where the line goes through, from the stage that feeds to the one that is fed. */
export type Line = { from: string; to: string; points: Spot[] };
export type Layout = { places: Map<string, Spot>; lines: Line[]; columns: number; rows: number };

type Fed = { name: string; inputs: readonly string[] };

/** Rows may be halves: shorter columns stand in the middle. What feeds itself, over others too, stands as if nothing fed it. */
export function layout(stages: readonly Fed[]): Layout {
  const depths = depthsOf(stages);
  const count = Math.max(0, ...depths.values()) + 1;
  const columns: string[][] = Array.from({ length: count }, () => []);
  const before = new Map<string, string[]>();
  const lines: { from: string; to: string; through: string[] }[] = [];
  for (const { name } of stages) columns[depths.get(name)!]!.push(name);
  for (const { name, inputs } of stages) {
    for (const from of inputs) {
      const [start, end] = [depths.get(from), depths.get(name)!];
      if (start === undefined || start >= end) continue;
      // A line over several columns takes a row of each.
      const passed = Array.from({ length: end - start - 1 }, (_, at) => `${from} > ${name} ${start + 1 + at}`);
      passed.forEach((place, at) => columns[start + 1 + at]!.push(place));
      const through = [from, ...passed, name];
      through.slice(1).forEach((place, at) => before.set(place, [...(before.get(place) ?? []), through[at]!]));
      lines.push({ from, to: name, through });
    }
  }
  const rows = Math.max(1, ...columns.map(({ length }) => length));
  const places = new Map<string, Spot>();
  columns.forEach((names, column) => {
    // Each as high as what comes before it is on average (Sugiyama, Tagawa, Toda 1981, one sweep).
    const height = (name: string) => {
      const above = (before.get(name) ?? []).map((one) => places.get(one)!.row);
      return above.length === 0 ? 0 : above.reduce((sum, row) => sum + row, 0) / above.length;
    };
    const sorted = names.map((name, at) => ({ name, at, height: height(name) })).sort((a, b) => a.height - b.height || a.at - b.at);
    sorted.forEach(({ name }, at) => places.set(name, { column, row: at + (rows - names.length) / 2 }));
  });
  const own = new Set(stages.map(({ name }) => name));
  return {
    columns: count, rows,
    places: new Map([...places].filter(([name]) => own.has(name))),
    lines: lines.map(({ from, to, through }) => ({ from, to, points: through.map((place) => places.get(place)!) })),
  };
}

function depthsOf(stages: readonly Fed[]): Map<string, number> {
  const by_name = new Map(stages.map((stage) => [stage.name, stage]));
  const known = new Map<string, number>();
  const depth = (name: string, above: ReadonlySet<string>): number => {
    const found = known.get(name);
    if (found !== undefined) return found;
    const feeders = (by_name.get(name)?.inputs ?? []).filter((input) => by_name.has(input) && !above.has(input));
    const deepest = Math.max(-1, ...feeders.map((input) => depth(input, new Set([...above, name, input]))));
    known.set(name, deepest + 1);
    return deepest + 1;
  };
  for (const { name } of stages) depth(name, new Set([name]));
  return known;
}
