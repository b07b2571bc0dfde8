import { describe, expect, test } from 'vitest';
import type { Endpoint, Peer, Standing } from '../api/types';
import { csv, lines } from '../pure/answers';
import { read, token, write } from '../pure/route';
import { sites } from '../pure/sites';
import { ago, bytes, clock, quoted, rate, short, span } from '../pure/words';

describe('route', () => {
  test.each([
    ['', 'library', null], ['#/live', 'live', null], ['#/asset/a%2Fb', 'library', 'a/b'], ['#0198-ab', 'library', '0198-ab'],
    ['#/nowhere', 'library', null], ['#%E0%A4%A', 'library', '%E0%A4%A'],
  ] as const)('%s', (hash, view, asset) => expect(read(hash)).toEqual({ view, asset }));

  test('reads what it writes', () => {
    for (const asset of [null, 'plain', 'a/b c%', '#', 'ü']) {
      expect(read(write({ view: 'library', asset }))).toEqual({ view: 'library', asset });
    }
    for (const view of ['library', 'live', 'chains', 'platform'] as const) {
      expect(read(write({ view, asset: null }))).toEqual({ view, asset: null });
    }
  });

  test('takes a token, and nothing else for one', () => {
    expect(token('#token=abc')).toBe('abc');
    expect(token('#0198')).toBeNull();
  });
});

describe('words', () => {
  test('media time', () => expect([0, 65_000, 3_600_000, 7_203_900].map(clock)).toEqual(['0:00', '1:05', '1:00:00', '2:00:03']));
  test('bytes', () => expect([0, 512, 1536, 1048576, 5e12].map(bytes)).toEqual(['0 B', '512 B', '1.5 KiB', '1.0 MiB', '4.5 TiB']));
  test('rates', () => expect([96_000, 2_400_000].map(rate)).toEqual(['96 kb/s', '2.4 Mb/s']));
  test('spans', () => expect([180, 4200, 42_000, 1_300_000].map(span)).toEqual(['180 µs', '4.2 ms', '42 ms', '1.3 s']));
  test('ago', () => {
    const now = Date.parse('2026-01-02T12:00:00Z');
    expect(['2026-01-02T11:59:50Z', '2026-01-02T11:30:00Z', '2026-01-02T09:00:00Z', '2025-12-24T00:00:00Z', 'never'].map((then) => ago(then, now)))
      .toEqual(['just now', '30 min ago', '3 h ago', '2025-12-24', 'just now']);
  });
  test('names', () => expect(['streaming.main', 'vcdn.edge', 'a.main.x'].map(short)).toEqual(['streaming', 'vcdn.edge', 'a.main.x']));
  test('a shell gets one argument', () => expect([`it's`, 'plain-1'].map(quoted)).toEqual([`'it'\\''s'`, 'plain-1']));
});

describe('answers', () => {
  const answers = { results: [{ series: [
    { name: 'streaming', columns: ['time', 'mean'], values: [[1000, 2.5], [3000, null]] },
    { name: 'meta,data', columns: ['time', 'mean'], values: [[2000, 7]] },
  ] }] };
  test('share one axis of time', () => {
    expect(lines(answers, ({ name }) => name)).toEqual({ times_s: [1, 2, 3], lines: [
      { label: 'streaming', values: [2.5, null, null] }, { label: 'meta,data', values: [null, 7, null] },
    ] });
  });
  test('as CSV', () => {
    expect(csv(lines(answers, ({ name }) => name))).toBe('time,streaming,"meta,data"\r\n1970-01-01T00:00:01.000Z,2.5,\r\n'
      + '1970-01-01T00:00:02.000Z,,7\r\n1970-01-01T00:00:03.000Z,,\r\n');
  });
  test('of nothing are nothing', () => expect(lines({ results: [{ error: 'no such database' }] }, () => '')).toEqual({ times_s: [], lines: [] }));
});

test('sites: the own one first, then by distance, each endpoint once', () => {
  const own = { name: 'streaming.main', endpoint: 'b', site: 'here', state: 'connected' } as Endpoint;
  const standing = (site: string, endpoint: string) => ({ name: 'streaming.main', endpoint, site, state: 'serving' }) as Standing;
  const peer = (site: string, distance_ms: number | null) => ({ router: site, site, distance_ms, state: 'connected' }) as Peer;
  const found = sites([own], [standing('far', 'x'), standing('here', 'b'), standing('here', 'a')], [peer('unmeasured', null), peer('far', 9), peer('near', 2)]);
  expect(found.map(({ name }) => name)).toEqual(['here', 'near', 'far', 'unmeasured']);
  expect(found[0]!.names).toEqual([{ name: 'streaming.main', instances: [
    { endpoint: 'a', standing: standing('here', 'a'), own: null }, { endpoint: 'b', standing: standing('here', 'b'), own },
  ] }]);
});
