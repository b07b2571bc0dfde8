// A list whose first pages are asked for again and again, as many of them as somebody wants to see.

import { useEffect, useState } from 'preact/hooks';
import { ask } from './http';
import { usePoll } from './poll';
import type { Page } from './types';

/** Pages that are asked for at once at most: what services give at a time, by the size of a page here. */
const PAGES_MAX = 5;

/** `more`: shows another page; nothing where there is none, or where more is shown than is asked for at once: then the command below finds it. */
export type List<T> = { items: T[] | null; trouble: string; again: () => void; more: (() => void) | null; has_more: boolean };

/** `path` with `size` items a page. All that is shown is asked for anew: a job that has ended is not shown as running because it is an old one. */
export function useList<T>(path: string, size: number, every_ms: number): List<T> {
  const [pages, setPages] = useState(1);
  useEffect(() => setPages(1), [path]);
  const whole = `${path}${path.includes('?') ? '&' : '?'}${new URLSearchParams({ limit: String(pages * size) })}`;
  const { value, trouble, again } = usePoll(async () => ({ path, page: await ask<Page<T>>(whole) }), every_ms, whole);
  const page = value?.path === path ? value.page : null;
  const has_more = page?.next_cursor != null;
  return { items: page?.items ?? null, trouble, again, has_more, more: has_more && pages < PAGES_MAX ? () => setPages(pages + 1) : null };
}
