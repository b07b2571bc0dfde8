import { describe, expect, test } from 'vitest';
import type { ActivityEvent, Endpoint, Peer, Standing } from '../api/types';
import { SHOWN, joined, said } from '../pure/activity';
import { csv, frames, lines, named, when } from '../pure/answers';
import { findings, inputs, offset } from '../pure/findings';
import { layout } from '../pure/graph';
import { DOT_STEP, drawn, frame } from '../pure/map';
import { pace } from '../pure/pace';
import { below } from '../pure/pages';
import { facts, sentence } from '../pure/record';
import { DRAWN_MAX, figures, verdict, walk } from '../pure/provenance';
import { read, refusal, token, write } from '../pure/route';
import { sites } from '../pure/sites';
import { moment, sprites } from '../pure/sprites';
import { fronts, hops, saved, steps } from '../pure/surrogates';
import { ago, bytes, clock, figure, issuerName, notSignedIn, parted, quoted, rate, short, span } from '../pure/words';

describe('route', () => {
  test.each([
    ['', 'library', null], ['#/live', 'live', null], ['#/asset/a%2Fb', 'library', 'a/b'], ['#0198-ab', 'library', '0198-ab'],
    ['#/nowhere', 'library', null], ['#%E0%A4%A', 'library', '%E0%A4%A'],
  ] as const)('%s', (hash, view, asset) => expect(read(hash)).toEqual({ view, asset }));

  test('reads what it writes', () => {
    for (const asset of [null, 'plain', 'a/b c%', '#', 'ü']) {
      expect(read(write({ view: 'library', asset }))).toEqual({ view: 'library', asset });
    }
    for (const view of ['library', 'live', 'chains', 'quality', 'platform', 'templates'] as const) {
      expect(read(write({ view, asset: null }))).toEqual({ view, asset: null });
    }
  });

  test('a link holds a time fast', () => {
    const route = { view: 'platform', asset: null, range: { from_ms: 1_700_000_000_000, to_ms: 1_700_000_900_000 } } as const;
    expect(read(write(route))).toEqual(route);
    for (const last of [{ span: '1h' }, { span: '5m', chain: 'a/b' }, { range: route.range, chain: 'a' }] as const) {
      expect(read(write({ view: 'platform', asset: null, ...last }))).toEqual({ view: 'platform', asset: null, ...last });
    }
    expect(read('#/platform/2h/a')).toEqual({ view: 'platform', asset: null });
    for (const wrong of ['#/platform/9-3', '#/platform/x-3', '#/live/1-2']) expect(read(wrong).range).toBeUndefined();
    expect(when(route.range)).toEqual({ where: "time >= '2023-11-14T22:13:20.000Z' AND time <= '2023-11-14T22:28:20.000Z'", step: '10s' });
    expect([3_600_000, 86_400_000, 1e12].map((to_ms) => when({ from_ms: 0, to_ms }).step)).toEqual(['60s', '3600s', '21600s']);
  });

  test('quality is that of an asset', () => {
    for (const of of ['a', 'a/b', '%']) expect(read(write({ view: 'quality', asset: null, of }))).toEqual({ view: 'quality', asset: null, of });
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
  test('media', () => {
    const id = '01a221b9-0e0b-75d0-b74a-fcb640f2b6ab';
    expect([id, `${id}/source`, '/~streaming/x'].map(parted)).toEqual([{ asset: id, rest: '' }, { asset: id, rest: 'source' }, { asset: null, rest: '' }]);
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

describe('findings', () => {
  test('places are read, of files that are imported, too', () => expect(findings('line 3, column 7: `imag` is unknown: `image`?\nmine.yaml, line 12, column 1: no, line 4, column 2: this is no place\nno cluster has room'))
    .toEqual([
      { file: null, line: 3, column: 7, reason: '`imag` is unknown: `image`?' },
      { file: 'mine.yaml', line: 12, column: 1, reason: 'no, line 4, column 2: this is no place' },
      { file: null, line: null, column: null, reason: 'no cluster has room' },
    ]));
  test('a place is where an editor counts it', () => {
    const text = 'one\ntwo: 2\n\nlast';
    expect([[1, 1], [2, 4], [3, 9], [4, 2], [9, 1]].map(([line, column]) => offset(text, line!, column!))).toEqual([0, 7, 11, 13, text.length]);
  });
  test('inputs', () => expect(inputs('memory = 64MiB\n\nno value\n=nothing\nurl=a=b')).toEqual({ memory: '64MiB', url: 'a=b' }));
});

describe('graph', () => {
  const ladder = [
    { name: 'decode', inputs: [] }, { name: 'whole', inputs: ['decode'] }, { name: 'audio', inputs: ['decode'] }, { name: 'thumbnails', inputs: ['decode'] },
    { name: 'scale', inputs: ['whole'] }, { name: 'video', inputs: ['scale'] }, { name: 'package', inputs: ['video', 'audio', 'thumbnails'] },
  ];
  test('who feeds another stands left of it', () => {
    const { places, lines, columns, rows } = layout(ladder);
    expect([columns, rows]).toEqual([5, 3]);
    for (const { name, inputs } of ladder) {
      for (const input of inputs) expect(places.get(input)!.column).toBeLessThan(places.get(name)!.column);
    }
    expect(lines.length).toBe(8);
  });
  test('no line runs behind a stage that it does not touch, and no two on one another', () => {
    const { places, lines } = layout(ladder);
    const taken = new Set([...places.values()].map(({ column, row }) => `${column} ${row}`));
    for (const { from, to, points } of lines) {
      expect([points[0], points.at(-1)]).toEqual([places.get(from), places.get(to)]);
      points.forEach(({ column }, at) => expect(column).toBe(points[0]!.column + at));
      for (const { column, row } of points.slice(1, -1)) {
        expect(taken.has(`${column} ${row}`)).toBe(false);
        taken.add(`${column} ${row}`);
      }
    }
  });
  test('a ring and a feeder that is not there end', () => {
    const { places } = layout([{ name: 'a', inputs: ['b'] }, { name: 'b', inputs: ['a', 'gone'] }]);
    expect([...places.keys()].sort()).toEqual(['a', 'b']);
  });
});

describe('surrogates', () => {
  test('front names without tokens', () => {
    const endpoint = (image: string, state: string, names: string[]) => ({
      function: 'f', endpoint: 'e', cluster: 'c', site: 's', image, names, desired: state, state, failures: 0, address: null,
    });
    const deployment = { sfc: 'a', sfci: 'b', description: '', is_leaving: false, is_settled: true, endpoints: [
      endpoint('flame-vcdn', 'connected', ['edge.city', 'cdn.main']), endpoint('flame-vcdn', 'booted', ['late.city']), endpoint('shop', 'connected', ['shop.city']),
    ] };
    expect(fronts(['cdn.main', 'cdn.signed'], [deployment])).toEqual(['cdn', 'edge.city']);
  });
  test('save what they did not fetch', () => expect([saved({ sent_bytes: 0, fetched_bytes: 9 }), saved({ sent_bytes: 100, fetched_bytes: 25 }), saved({ sent_bytes: 1, fetched_bytes: 2 })]).toEqual([0, 0.75, 0]));
  test('are named in answers', () => {
    expect(hops('"first";hit;ttl=30, second; fwd=miss; stored')).toEqual([{ name: 'first', how: 'hit' }, { name: 'second', how: 'fwd=miss' }]);
    expect(hops('')).toEqual([]);
    expect(steps('"edge/e1";status=500;ms=0.4, "cloud/e3";ms=12, "cloud";status=200;ms=1.2')).toEqual([
      { place: 'edge/e1', status: 500, ms: 0.4 }, { place: 'cloud/e3', status: null, ms: 12 }, { place: 'cloud', status: 200, ms: 1.2 },
    ]);
    expect(steps('')).toEqual([]);
    expect(hops('"a, \\"b\\"";hit;detail="x; y, z", c;fwd=stale')).toEqual([{ name: 'a, "b"', how: 'hit' }, { name: 'c', how: 'fwd=stale' }]);
  });
});

describe('sprites', () => {
  const index = 'WEBVTT\n\n00:00.000 --> 00:02.000\nv1/thumbnails/0.jpg#xywh=0,0,160,90\n\n01:00:02.000 --> 01:00:04.500\nv1/thumbnails/1.jpg#xywh=160,90,160,90\n\nbad --> 00:09.000\nx.jpg#xywh=0,0,1,1\n\n00:09.000 --> 00:10.000\nx.jpg\n';
  test('are read with their sheets', () => expect(sprites(index, 'http://host/~streaming/a/thumbnails.vtt')).toEqual([
    { start_s: 0, end_s: 2, url: 'http://host/~streaming/a/v1/thumbnails/0.jpg', x: 0, y: 0, width: 160, height: 90 },
    { start_s: 3602, end_s: 3604.5, url: 'http://host/~streaming/a/v1/thumbnails/1.jpg', x: 160, y: 90, width: 160, height: 90 },
  ]));
  test('of each moment there is one', () => {
    const all = Array.from({ length: 9 }, (_, at) => ({ start_s: at * 2 + 1, end_s: at * 2 + 3, url: '', x: at, y: 0, width: 1, height: 1 }));
    expect([-1, 0, 1, 2.9, 3, 17, 99].map((at_s) => moment(all, at_s)!.x)).toEqual([0, 0, 0, 0, 1, 8, 8]);
    expect(moment([], 1)).toBeNull();
  });
});

describe('map', () => {
  const site = (name: string, count: number) => ({
    name, peer: null, names: [{ name: 'a.main', instances: Array.from({ length: count }, (_, at) => ({ endpoint: `${at}`, standing: null, own: null })) }],
  });
  test.each([[[3]], [[200]], [[1, 0]], [[8, 200, 3]], [[40, 1, 1, 1, 60, 9, 120, 2, 2, 2, 2, 2]]])('of %j endpoints overlaps nowhere', (counts) => {
    const all = drawn(counts.map((count, at) => site(`${at}`, count)));
    const [left, top, width, height] = frame(all);
    const apart = (a: { x: number; y: number }, b: { x: number; y: number }) => Math.hypot(a.x - b.x, a.y - b.y);
    all.forEach((one, at) => {
      for (const other of all.slice(at + 1)) expect(apart(one, other)).toBeGreaterThan(one.radius + other.radius);
      expect(one.x - one.radius >= left && one.x + one.radius <= left + width && one.y - one.radius >= top && one.y + one.radius <= top + height).toBe(true);
      one.dots.forEach((dot, place) => {
        expect(apart(one, dot)).toBeLessThan(one.radius);
        for (const other of one.dots.slice(place + 1)) expect(apart(dot, other)).toBeGreaterThan(DOT_STEP * 0.9);
      });
    });
    expect(all.flatMap(({ dots }) => dots).length).toBe(counts.reduce((sum, count) => sum + count, 0));
  });
});

describe('pages', () => {
  const asset = (at: number) => ({ id: `${at}`, created_at: `2026-01-01T00:00:${String(at).padStart(2, '0')}Z` });
  const ids = (all: { id: string }[]) => all.map(({ id }) => id).join(' ');
  test('what newer ones push off stays, what was deleted goes', () => {
    const shown = [9, 8, 7, 6, 5, 4].map(asset);
    const none = new Set<string>();
    expect(ids(below(shown, [9, 8, 7].map(asset), false, none))).toBe('6 5 4');
    expect(ids(below(shown, [10, 9, 8].map(asset), false, none))).toBe('7 6 5 4');
    expect(ids(below(shown, [9, 7, 6].map(asset), false, none))).toBe('5 4');
    expect(ids(below([...shown, ...shown], [9, 7].map(asset), true, none))).toBe('8 6 5 4');
    // What the viewer deleted, whatever page it stood on.
    expect(ids(below(shown, [9, 8, 7].map(asset), false, new Set(['5'])))).toBe('6 4');
    expect(ids(below(shown, [9, 7].map(asset), true, new Set(['8', '9'])))).toBe('6 5 4');
  });
});

describe('measurements', () => {
  test('of frames are lines over media time', () => {
    const found = frames('reference,distorted,time_ms,ssim,psnr\n0,0,0.000,0.5,40\n1,1,40.000,0.25,39\nhalf a line,1\n');
    expect(found).toEqual({ times_s: [0, 0.04], lines: [{ label: 'ssim', values: [0.5, 0.25] }, { label: 'psnr', values: [40, 39] }] });
    expect(csv(found, true)).toBe('time,ssim,psnr\r\n0,0.5,40\r\n0.04,0.25,39\r\n');
    expect(frames('').lines).toEqual([]);
  });
  test('are as exact as they are', () => expect([0.987654321, 41.2345678, -23, 0].map(figure)).toEqual(['0.98765', '41.235', '-23', '0']));
  test('are named by who made them', () => expect([{ name: 'vcdn', tags: { flame_sfe: 'vcdn-first.city' } }, { name: 'router', tags: { flame_sfe: '' } }, { name: 'clmc' }]
    .map((one) => named({ ...one, columns: [], values: [] }))).toEqual(['vcdn, vcdn-first.city', 'router', 'clmc']));
});

describe('record', () => {
  test('says what is said', () => {
    expect(facts({ description: 'Long', creator: [{ name: 'Sacha' }, { name: 'Ton' }], keywords: [], genre: ['short'] }, { shelf: 7, none: null }))
      .toEqual([['description', 'Long'], ['creator', 'Sacha, Ton'], ['genre', 'short'], ['custom.shelf', '7']]);
    expect(facts({ description: 'x'.repeat(400) }, {})[0]![1].length).toBe(300);
  });
  test('changes are told', () => {
    expect(sentence({ change: { title: 'B', description: null }, detail: null })).toBe('title: B; description: nothing');
    expect(sentence({ change: null, detail: 'ladder' })).toBe('ladder');
  });
});

describe('provenance', () => {
  const track = (name: string) => ({
    name, kind: 'video', codec: 'avc1', width: 640, height: 360, frame_rate: null, channels: null, sample_rate_hz: null, language: null,
    title: null, average_bandwidth_bps: 1, peak_bandwidth_bps: 1, size_bytes: 1,
  } as const);
  const version = (name: string, plays: boolean) => ({ name, chain: 'ladder', job_id: null, tracks: [track('v360')], plays, published: { at: '' } });
  const of = (count: number) => ({
    source: { file_name: 'a.mp4', sha256: '', size_bytes: 1 }, registered: { at: '' }, same_source: [],
    versions: Array.from({ length: count }, (_, at) => version(`v${at}`, at === 0)),
  });
  test('goes from the source over versions to tracks', () => {
    expect(walk(of(1)).map(({ name, type, inputs }) => [name, type, inputs])).toEqual([
      ['a.mp4', 'as it came', []], ['v0', 'ladder, plays now', ['a.mp4']], ['v360', '640×360 avc1', ['v0']],
    ]);
  });
  test('names differ, and the oldest are left out', () => {
    const names = walk(of(DRAWN_MAX + 2)).map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(names.length).toBe(1 + 2 * DRAWN_MAX);
  });
  test('figures and gates', () => {
    const gate = (passed: boolean) => ({ gate: 'vmaf.p5 >= 80', measured: 81, passed });
    const score = { job_id: '', measure: '', media: '', figures: { 'vmaf.p5': 81.456, a: 1, b: 2, c: 3, d: 4 }, gates: [gate(true)], tools: '', measured_at: '' };
    expect(figures(score)).toBe('vmaf.p5 81.46, a 1, b 2, c 3');
    const compared = { 'alignment.confidence': 1, 'psnr_cb.mean': 46, 'psnr.mean': 43.371, 'psnr.p5': 30, 'vmaf.mean': 90.5 };
    expect(figures({ ...score, figures: compared })).toBe('psnr.mean 43.37, vmaf.mean 90.5, psnr_cb.mean 46, psnr.p5 30');
    expect([score, { ...score, gates: [gate(true), gate(false)] }, { ...score, gates: [] }].map(verdict)).toEqual(['kept', 'not kept', '']);
  });
});

describe('pace', () => {
  // A viewer of parts of `part_s`, looked at five times a second: what is behind, and how much has arrived.
  function watch(behind_s: number, target_s: number, part_s: number, late_s: (second: number) => number) {
    let [rate, changes, least_ahead_s] = [1, 0, Infinity];
    for (let at_s = 0; at_s < 60; at_s += 0.2) {
      const arrived_s = Math.floor((at_s - late_s(at_s)) / part_s) * part_s;
      const ahead_s = Math.max(0, behind_s - (at_s - arrived_s));
      least_ahead_s = Math.min(least_ahead_s, ahead_s);
      const next = pace({ behind_s, target_s, ahead_s }, rate, 1.5 * part_s);
      if (next !== rate) changes += 1;
      rate = next;
      behind_s -= 0.2 * (rate - 1);
    }
    return { behind_s, rate, changes, least_ahead_s };
  }

  test('who is late catches up, rests there, and never runs dry', () => {
    const { behind_s, rate, changes, least_ahead_s } = watch(1.1, 0.6, 0.2, () => 0.03);
    expect(behind_s).toBeLessThan(0.66);
    expect(behind_s).toBeGreaterThan(0.55);
    expect(rate).toBe(1);
    expect(changes).toBeLessThan(12);
    expect(least_ahead_s).toBeGreaterThan(0.2);
  });

  test('where parts come late it waits rather than stalls', () => {
    const { least_ahead_s } = watch(1.1, 0.6, 0.2, (at_s) => (at_s % 10 < 1 ? 0.5 : 0.05));
    expect(least_ahead_s).toBeGreaterThan(0);
  });

  test('what is not known changes nothing', () => {
    for (const standing of [
      { behind_s: NaN, target_s: 0.6, ahead_s: 1 }, { behind_s: 1, target_s: 0, ahead_s: 1 }, { behind_s: 0.5, target_s: 0.6, ahead_s: 1 },
      { behind_s: 1, target_s: 0.6, ahead_s: 0.1 },
    ]) expect(pace(standing, 1.1, 0.3)).toBe(1);
    expect(pace({ behind_s: 9, target_s: 0.6, ahead_s: 2 }, 1, 0.3)).toBe(1.1);
  });
});

describe('the way back from an issuer', () => {
  test('says why nobody was signed in, in words of its own', () => {
    expect(refusal('#/?refused=nobody')).toBe('nobody');
    expect(refusal('#/library?q=refused')).toBeNull();
    expect(read('#/?refused=nobody')).toEqual({ view: 'library', asset: null });
    expect(notSignedIn('nobody')).toContain('may do nothing here');
    for (const foreign of ['<b>Call 555</b>', 'toString', '', null]) expect(notSignedIn(foreign)).toBe('');
  });
  test('an issuer is called by its host and realm', () => {
    expect(issuerName('https://login.example/')).toBe('login.example');
    expect(issuerName('https://login.example/realms/media')).toBe('login.example/realms/media');
    expect(issuerName('no url')).toBe('no url');
  });
});

describe('activity', () => {
  const event = (number: number, more: Partial<ActivityEvent> = {}): ActivityEvent => ({
    number, at_unix_ms: 0, kind: 'retried', name: 'cdn.main', from_site: 'local', from_endpoint: 'e1', to_site: 'local', to_endpoint: 'e2', why: 'it broke off', ...more,
  });
  const told = (...events: ActivityEvent[]) => ({ totals: null, events, last: events.at(-1)?.number ?? 0 });
  test('what is new comes first, nothing twice, and no more than is shown', () => {
    const first = joined({ events: [], last: 0 }, told(event(1), event(2)));
    expect(first.events.map(({ number }) => number)).toEqual([2, 1]);
    expect(joined(first, told(event(2), event(3))).events.map(({ number }) => number)).toEqual([3, 2, 1]);
    const many = joined(first, told(...Array.from({ length: 50 }, (_, at) => event(at + 3))));
    expect(many.events).toHaveLength(SHOWN);
    expect(many.events[0]!.number).toBe(52);
  });
  test('a router that began anew has forgotten what was before', () => {
    const known = joined({ events: [], last: 0 }, told(event(40), event(41)));
    expect(joined(known, told(event(1))).events.map(({ number }) => number)).toEqual([1]);
  });
  test('where it was, where it is, and why', () => {
    expect(said(event(1))).toBe('cdn: e1 gave no answer (it broke off), e2 is asked');
    expect(said(event(1, { kind: 'found', to_site: 'cloud', to_endpoint: '0123456789abcdef01234567', why: 'it said 404' })))
      .toBe('cdn: not at e1 at local (it said 404), but at …01234567 at cloud');
    expect(said(event(1, { kind: 'found', to_site: 'cloud', to_endpoint: null }))).toContain('but at cloud');
    expect(said(event(1, { kind: 'missed', to_site: null, to_endpoint: null, why: 'it said 404; 3 more asked' }))).toBe('cdn: nowhere (it said 404; 3 more asked)');
  });
});
