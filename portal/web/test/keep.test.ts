import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { keeping } from '../api/keep';
import { session } from '../api/session';

const BOUNDS = { most: 3, age_ms: 60_000, at_once: 2 };
const viewer = (subject: string) => ({ tenant: 'a', subject, scopes: [] });
/** Answers by hand: what was asked, and how each question is answered. */
function asking() {
  const asked: { key: string; answer: (text: string) => void; fail: () => void }[] = [];
  const kept = keeping((key) => new Promise<string>((answer, fail) => asked.push({ key, answer, fail: () => fail(new Error('no')) })), 'none', BOUNDS);
  return { asked, kept, keys: () => asked.map(({ key }) => key).join(' ') };
}

beforeEach(() => { vi.useFakeTimers(); session.value = viewer('one'); });
afterEach(() => { vi.useRealTimers(); });

test('one question is asked for who asks twice, again after a while, and after a failure', async () => {
  const { asked, kept, keys } = asking();
  const both = [kept('x'), kept('x')];
  asked[0]!.answer('X');
  expect(await Promise.all(both)).toEqual(['X', 'X']);
  expect(await kept('x')).toBe('X');
  vi.advanceTimersByTime(60_001);
  const later = kept('x');
  asked[1]!.fail();
  expect(await later).toBe('none');
  void kept('x');
  expect(keys()).toBe('x x x');
});

test('a few are asked at once, and few are kept', async () => {
  const { asked, kept, keys } = asking();
  const all = ['a', 'b', 'c', 'd'].map((key) => kept(key));
  expect(keys()).toBe('a b');
  for (const at of [0, 1, 2, 3]) {
    asked[at]!.answer(String(at));
    await all[at];
    await vi.advanceTimersByTimeAsync(0);
  }
  expect([keys(), await Promise.all(all)]).toEqual(['a b c d', ['0', '1', '2', '3']]);
  void kept('d');
  void kept('a');
  expect(keys()).toBe('a b c d a');
});

test('another viewer is told nothing of it, and nothing more is asked for the one before', async () => {
  const { asked, kept, keys } = asking();
  const all = ['a', 'b', 'c'].map((key) => kept(key));
  asked[0]!.answer('A');
  expect(await all[0]).toBe('A');
  session.value = viewer('one');
  expect(await kept('a')).toBe('A');
  session.value = null;
  session.value = viewer('two');
  for (const one of asked.slice(1)) one.answer('late');
  expect(await Promise.all(all.slice(1))).toEqual(['none', 'none']);
  void kept('a');
  await vi.advanceTimersByTimeAsync(0);
  expect(keys().endsWith(' a')).toBe(true);
});
