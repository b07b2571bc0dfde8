import { describe, expect, test } from 'vitest';
import { CHAPTERS_MAX, type Range, current, marked, named } from '../pure/chapters';
import { facts } from '../pure/record';

const range = (id: string, kind: string, startTime: number, more: Partial<Range> = {}): Range => (
  { id, class: kind, startTime, duration: null, plannedDuration: null, attr: {}, ...more });

describe('chapters', () => {
  test('of a record stand in the order of time', () => {
    const parts = [{ name: 'Second', startOffset: 10 }, { name: ' First ', startOffset: 0, endOffset: 8 }, { name: 'No begin' }, { name: 'Backwards', startOffset: 9, endOffset: 3 }, { startOffset: 20 }];
    expect(named(parts)).toEqual([
      { name: 'First', start_s: 0, end_s: 8 }, { name: 'Second', start_s: 10, end_s: null }, { name: 'Chapter', start_s: 20, end_s: null },
    ]);
    expect(facts({ hasPart: parts, description: 'x' }, {})).toEqual([['description', 'x']]);
  });

  test('of a playlist are its marks, and only chapters where there are some', () => {
    const ad = range('ad-1', 'ad', 3, { duration: 2, attr: { 'X-TITLE': 'Soap' } });
    const [one, two] = [range('one', 'chapter', 0), range('two', 'com.example.Chapter', 5, { plannedDuration: 4, attr: { 'X-TITLE': 'The end' } })];
    expect(marked([ad, range('b', 'ad', 9)])).toEqual([{ name: 'Soap', start_s: 3, end_s: 5 }, { name: 'ad: b', start_s: 9, end_s: null }]);
    expect(marked([two, ad, one])).toEqual([{ name: 'one', start_s: 0, end_s: null }, { name: 'The end', start_s: 5, end_s: 9 }]);
  });

  test('what is not of this media is left out, and what is bounded is', () => {
    expect(marked([range('gone', '', -20, { duration: 5 }), range('undated', '', Number.NaN), range('reaches in', '', -3, { duration: 5 })]))
      .toEqual([{ name: 'reaches in', start_s: 0, end_s: 2 }]);
    expect(named(Array.from({ length: 2 * CHAPTERS_MAX }, (_, at) => ({ name: 'x'.repeat(500), startOffset: at })))).toHaveLength(CHAPTERS_MAX);
  });

  test('the one that a moment is in', () => {
    const all = named([{ name: 'a', startOffset: 2 }, { name: 'b', startOffset: 5, endOffset: 6 }, { name: 'c', startOffset: 8 }]);
    expect([0, 1.999, 5, 6, 8, 99].map((at_s) => all[current(all, at_s)]?.name)).toEqual([undefined, 'a', 'b', 'a', 'c', 'c']);
  });
});
