// A list whose first page is asked for again and again, and whose further pages are asked for when somebody wants them.

import { useRef, useState } from 'preact/hooks';
import { type Listed, below } from '../pure/pages';
import { ask } from './http';
import { usePoll } from './poll';
import type { Page } from './types';

/** `more`: asks for the next page; nothing where there is none. */
export type List<T> = { items: T[] | null; trouble: string; again: () => void; more: (() => Promise<void>) | null };

/** `path`: of the first page, with its limit. Pages that were asked for stay while what is on them is not looked at anew. */
export function useList<T extends Listed>(path: string, every_ms: number): List<T> {
  const first = usePoll(async () => ({ path, page: await ask<Page<T>>(path) }), every_ms, path);
  const [older, setOlder] = useState<{ path: string; items: T[]; next: string | null } | null>(null);
  const [trouble, setTrouble] = useState('');
  const shown = useRef<T[]>([]);
  const asking = useRef(false);
  const page = first.value?.path === path ? first.value.page : null;
  const mine = older?.path === path ? older : null;
  // What a newer one pushes off the first page stays with whoever has asked for more.
  const items = page && [...page.items, ...(mine ? below([...shown.current, ...mine.items], page.items, false, NONE) : [])];
  shown.current = items ?? [];
  const next = mine ? mine.next : page?.next_cursor ?? null;
  const more = async () => {
    if (asking.current || next === null) return;
    asking.current = true;
    try {
      const { items, next_cursor } = await ask<Page<T>>(`${path}&${new URLSearchParams({ cursor: next })}`);
      setOlder({ path, items: [...(mine?.items ?? []), ...items], next: next_cursor });
      setTrouble('');
    } catch (error) {
      setTrouble((error as Error).message);
    } finally {
      asking.current = false;
    }
  };
  return { items, trouble: first.trouble || trouble, again: first.again, more: next === null ? null : more };
}

const NONE: ReadonlySet<string> = new Set();
