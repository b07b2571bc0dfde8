// Answers that are asked for once and kept for a while: a few at a time, and never for another viewer.

import { session } from './session';

/** `most` answers are kept, each for `age_ms`; `at_once` are asked for, and the others wait. */
export type Bounds = { most: number; age_ms: number; at_once: number };
type Kept<T> = { answer: Promise<T>; until_ms: number };

/** What `ask` answers to a key; `none` where it fails, which is not kept, and where who looks changes meanwhile. */
export function keeping<T>(ask: (key: string) => Promise<T>, none: T, { most, age_ms, at_once }: Bounds): (key: string) => Promise<T> {
  let kept = new Map<string, Kept<T>>();
  let open = 0;
  const waiting: (() => void)[] = [];
  // Whoever signs in or out begins with nothing.
  let who = '';
  session.subscribe((now) => {
    const is = now === null ? '' : JSON.stringify([now.tenant, now.subject]);
    if (is !== who) kept = new Map();
    who = is;
  });
  const asked = async (key: string): Promise<T> => {
    const mine = kept;
    while (open >= at_once) await new Promise<void>((go) => waiting.push(go));
    open += 1;
    try {
      const answer = mine === kept ? await ask(key) : none;
      return mine === kept ? answer : none;
    } catch {
      mine.delete(key);
      return none;
    } finally {
      open -= 1;
      waiting.shift()?.();
    }
  };
  return (key) => {
    const known = kept.get(key);
    if (known && known.until_ms > Date.now()) return known.answer;
    kept.delete(key);
    if (kept.size >= most) kept.delete(kept.keys().next().value!);
    const answer = asked(key);
    kept.set(key, { answer, until_ms: Date.now() + age_ms });
    return answer;
  };
}
