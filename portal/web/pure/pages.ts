// A list whose first page is asked for again and again while further pages stay.

export type Listed = { id: string; created_at: string };

/**
 * What is to be shown below the first page: all that was shown before and is not on it now. What would stand within the page by its
 * age and does not is gone; `is_ranked`: the list has another order, and nothing can be said of that. `gone`: what the viewer took out
 * of the list; only the first page shows it again.
 */
export function below<T extends Listed>(shown: readonly T[], first: readonly T[], is_ranked: boolean, gone: ReadonlySet<string>): T[] {
  // What is on the first page, or was met before: a list of thousands is walked once.
  const met = new Set(first.map(({ id }) => id));
  const last = first.at(-1)?.created_at;
  return shown.filter(({ id, created_at }) => {
    if (met.has(id) || gone.has(id)) return false;
    met.add(id);
    return is_ranked || last === undefined || created_at <= last;
  });
}

/** Of two lists, each with its newest first, what is known to be complete: nothing that is older than where a list ends that has more. */
export function merged<T extends Listed>(...lists: readonly { items: readonly T[]; has_more: boolean }[]): T[] {
  const horizon = lists.flatMap(({ items, has_more }) => (has_more && items.length > 0 ? [items.at(-1)!.created_at] : [])).sort().at(-1) ?? '';
  return lists.flatMap(({ items }) => items).filter(({ created_at }) => created_at >= horizon).sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
}
