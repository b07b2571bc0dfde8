import { describe, expect, test } from 'vitest';
import { below } from '../pure/pages';
import { read as route, write as address } from '../pure/route';
import { type Facet, NOTHING, type Search, asked, command, filter, offered, questions, read, shown, toggled, write } from '../pure/search';

const SOME: Search = {
  words: 'big & "bunny"', state: 'ready', sort: '-probe.duration_ms',
  wanted: { 'probe.video.height': [720, 1080], 'record.genre': ['a "quoted" one', 'back\\slash', '720', 'true'], protected: [true] },
};

describe('the address of a search', () => {
  test('reads what it writes', () => {
    expect(read(write(SOME))).toEqual(SOME);
    expect(write(NOTHING)).toBe('');
    expect(read('')).toEqual(NOTHING);
  });

  test('takes nothing that is no value, no field, no order', () => {
    const wrong = ['probe.video.height=720)+or+exists(title', 'record.genre="a" or "b"', 'record.genre="open', 'sort=-custom.x', 'state=gone', 'tenant="b"', 'protected=yes'];
    for (const one of wrong) expect(read(one), one).toEqual(NOTHING);
    expect(read('record.genre="a"&record.genre="a"').wanted).toEqual({ 'record.genre': ['a'] });
    expect(read(Array.from({ length: 30 }, (_, at) => `probe.video.height=${at}`).join('&')).wanted['probe.video.height']).toHaveLength(8);
  });

  test('stays while an asset is looked at, and is nothing of other views', () => {
    for (const asset of [null, 'a?b', 'a/b c%']) {
      expect(route(address({ view: 'library', asset, search: SOME }))).toEqual({ view: 'library', asset, search: SOME });
    }
    expect(address({ view: 'library', asset: 'x', search: NOTHING })).toBe('#/asset/x');
    expect(route('#/live?q=x')).toEqual({ view: 'live', asset: null });
  });
});

describe('what is asked', () => {
  test('texts are quoted, numbers and truths are not', () => {
    expect(filter(SOME.wanted)).toBe('probe.video.height in (720, 1080) and record.genre in ("a \\"quoted\\" one", "back\\\\slash", "720", "true") and protected in (true)');
    expect(asked({ ...SOME, state: 'deleted' })).toEqual({ deleted: 'true' });
    expect(asked(NOTHING)).toEqual({});
  });

  test('as a command', () => {
    expect(command(NOTHING)).toBe('asset list');
    expect(command({ ...NOTHING, state: 'ready', sort: '-updated_at' })).toBe('asset list --state ready --sort=-updated_at');
    expect(command({ words: 'big bunny', state: 'ready', sort: 'title', wanted: { protected: [false] } }))
      .toBe("asset search --filter 'state = ready and protected in (false)' --sort=title big bunny");
    expect(command({ ...NOTHING, words: '-x big' })).toBe('asset search -- -x big');
  });

  test('values of a field count without those that are wanted of it', () => {
    const [open, ...own] = questions({ ...NOTHING, words: 'x', wanted: { protected: [true], 'record.genre': ['a'] } });
    expect(open).toEqual({
      by: 'probe.video.height,probe.video.codec,probe.audio.codec,version.chain,record.keywords,record.inLanguage', q: 'x',
      filter: 'protected in (true) and record.genre in ("a")',
    });
    expect(own).toEqual([{ by: 'protected', q: 'x', filter: 'record.genre in ("a")' }, { by: 'record.genre', q: 'x', filter: 'protected in (true)' }]);
  });
});

describe('facets', () => {
  const facet = (field: string, values: [string | number, number][], missing = 0): Facet => ({ field, values: values.map(([value, count]) => ({ value, count })), more: false, missing });

  test('a click more wants a value, another one does not', () => {
    const once = toggled(NOTHING, 'record.genre', 'a');
    expect(once.wanted).toEqual({ 'record.genre': ['a'] });
    expect(toggled(toggled(once, 'record.genre', 'b'), 'record.genre', 'a').wanted).toEqual({ 'record.genre': ['b'] });
    expect(toggled(once, 'record.genre', 'a')).toEqual(NOTHING);
  });

  test('offers what tells assets apart, and always what is wanted', () => {
    const found = [facet('record.genre', [['a', 2]], 1), facet('version.chain', [['ladder', 3]]), facet('probe.video.height', [[720, 5], [1080, 3], [360, 1]])];
    expect(offered(found, {}, 2)).toEqual([
      { field: 'probe.video.height', title: 'Height', values: [{ value: 720, count: 5 }, { value: 1080, count: 3 }], more: true },
      { field: 'record.genre', title: 'Genre', values: [{ value: 'a', count: 2 }], more: false },
    ]);
    const [height, chain] = offered(found, { 'probe.video.height': [360, 480], 'version.chain': ['ladder'] }, 2);
    expect(height!.values).toEqual([{ value: 720, count: 5 }, { value: 1080, count: 3 }, { value: 360, count: 1 }, { value: 480, count: 0 }]);
    expect(chain!.values).toEqual([{ value: 'ladder', count: 3 }]);
  });

  test('are read by people', () => expect([shown('probe.video.height', 720), shown('protected', true), shown('record.genre', 'x')]).toEqual(['720p', 'yes', 'x']));
});

test('a list of ten thousand is walked once', () => {
  const all = Array.from({ length: 10_000 }, (_, at) => ({ id: String(at), created_at: String(99_999 - at) }));
  const from = performance.now();
  expect(below([...all, ...all], all.slice(0, 48), false, new Set())).toHaveLength(9952);
  expect(performance.now() - from).toBeLessThan(200);
});
