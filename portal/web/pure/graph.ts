// Stages of a chain in columns: whoever feeds another stands left of it.

/** Columns of names, from those that nobody feeds on. What feeds itself, over others too, stands as if nothing fed it. */
export function columns(stages: readonly { name: string; inputs: readonly string[] }[]): string[][] {
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
  const all: string[][] = [];
  for (const { name } of stages) (all[depth(name, new Set([name]))] ??= []).push(name);
  return all.filter((column) => column !== undefined);
}
