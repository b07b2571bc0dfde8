import { describe, expect, test } from 'vitest';
import type { Endpoint, Standing } from '../api/types';
import { Doorkeeper, beside, doors, opened, renewal_ms, turned } from '../pure/links';
import { merged } from '../pure/pages';
import { counted, keyOf, rates } from '../pure/rates';
import { standing } from '../pure/sites';
import { surrogates } from '../pure/surrogates';
import { perSecond } from '../pure/words';
import { worst } from '../pure/worst';
import { zoomed } from '../pure/zoom';

describe('links of viewers', () => {
  const link = { path: '/~cdn.signed/;URISigningPackage=a.b-c/0198/index.m3u8', expires_at: '2026-11-28T12:00:00Z' };
  const end_ms = Date.parse(link.expires_at);
  test('what lies beside the playlist keeps the token', () => {
    expect(beside(link, 'poster.jpg')).toBe('/~cdn.signed/;URISigningPackage=a.b-c/0198/poster.jpg');
  });
  test('a file is asked for through the door that is open now, whoever it was asked of before', () => {
    const [origin, asset] = ['http://h:8080', '0198'];
    const now = '/~streaming.main/;URISigningPackage=new/0198/index.m3u8';
    const there = (rest: string) => `${origin}/~streaming.main/;URISigningPackage=new/${asset}/${rest}`;
    expect(opened(`${origin}/~streaming/${asset}/index.m3u8`, now, origin)).toBe(there('index.m3u8'));
    expect(opened(`${origin}${link.path}`, now, origin)).toBe(there('index.m3u8'));
    expect(opened(`${origin}/~cdn.signed/;URISigningPackage=a.b-c/${asset}/v720/1.m4s?CMCD=a%2F0198%2Fb`, now, origin)).toBe(there('v720/1.m4s?CMCD=a%2F0198%2Fb'));
    for (const other of [`${origin}/~cdn/0199/index.m3u8`, `http://elsewhere/~cdn/${asset}/index.m3u8`, `${origin}/portal/${asset}/a.js`]) expect(opened(other, now, origin)).toBe(other);
  });
  test('who does not answer is left once, by however many requests, and come back to after the others', () => {
    expect(doors({ ...link, others: ['/b', '/c'] })).toEqual([link.path, '/b', '/c']);
    expect(doors(link)).toEqual([link.path]);
    expect([0, 0, 0].reduce((now, failed) => turned(now, failed, 2), 0)).toBe(1);
    expect(turned(1, 1, 2)).toBe(0);
    expect(turned(0, 0, 1)).toBe(0);
  });
  test('whatever waits at a silent door leaves it once, and does not come back to it', () => {
    const keeper = new Doorkeeper();
    const [picture, sound, later] = [{}, {}, {}];
    expect([picture, sound].map((request) => keeper.sends(request, 2))).toEqual([0, 0]);
    keeper.failed(picture, 2);
    expect(keeper.sends(later, 2)).toBe(1);
    for (const request of [sound, {}, null, undefined]) keeper.failed(request, 2);
    expect(keeper.at(2)).toBe(1);
    keeper.failed(later, 2);
    expect(keeper.at(2)).toBe(0);
  });
  test('another one is asked for before it ends, also of a short one, and not where the next one would end with it', () => {
    const until = (ms: number) => ({ ...link, expires_at: new Date(end_ms + ms).toISOString() });
    expect(renewal_ms(link, null, end_ms - 3_600_000)).toBe(3_540_000);
    expect(renewal_ms(link, until(-1000), end_ms - 3_600_000)).toBe(3_540_000);
    expect(renewal_ms(link, null, end_ms - 10_000)).toBe(5000);
    expect([until(0), until(1)].map((before) => renewal_ms(link, before, end_ms - 3_600_000))).toEqual([null, null]);
    expect(renewal_ms(link, null, end_ms)).toBeNull();
    expect(renewal_ms({ ...link, expires_at: '2126-01-01T00:00:00Z' }, null, end_ms)).toBe(2 ** 31 - 1);
  });
});

describe('a plot by keys', () => {
  const all = { min: 0, max: 100 };
  test('plus comes nearer to the middle, minus goes back, and zero shows all', () => {
    expect(zoomed(all, all, '+')).toEqual({ min: 25, max: 75 });
    expect(zoomed(all, { min: 25, max: 75 }, '-')).toBe(all);
    expect(zoomed(all, { min: 40, max: 41 }, '0')).toBe(all);
    expect(zoomed(all, { min: 40, max: 41 }, 'Escape')).toBe(all);
    expect(zoomed(all, all, 'a')).toBeNull();
    expect(zoomed(all, all, 'Tab')).toBeNull();
  });
  test('arrows move by a quarter of what is seen, and nothing leaves all', () => {
    expect(zoomed(all, { min: 40, max: 60 }, 'ArrowRight')).toEqual({ min: 45, max: 65 });
    expect(zoomed(all, { min: 2, max: 22 }, 'ArrowLeft')).toEqual({ min: 0, max: 20 });
    expect(zoomed(all, { min: 2, max: 22 }, 'End')).toEqual({ min: 80, max: 100 });
    let seen = all;
    for (const key of [...'++++++++++++++++', 'ArrowRight', 'Home', '-', 'End', ...'----', 'ArrowLeft']) {
      const { min, max } = seen = zoomed(all, seen, key)!;
      expect(min >= all.min && max <= all.max && min < max).toBe(true);
    }
  });
});

describe('answers a second', () => {
  const one = (endpoint: string, answers: number | null) => ({ site: 'local', name: 'cdn.main', endpoint, answers });
  test('of those that answered between two looks', () => {
    const before = counted([one('a', 10), one('b', 5), one('c', 90)], 1000);
    const now = counted([one('a', 14), one('b', 5), one('c', 3), one('new', 7)], 3000);
    expect([...rates(before, now)]).toEqual([[keyOf(one('a', 0)), 2]]);
    const [last, next] = [counted([one('a', 2 ** 32 - 1)], 0), counted([one('a', 2)], 1000)];
    expect([...rates(last, next).values()]).toEqual([3]);
    expect(rates(counted([one('a', null)], 0), counted([one('a', null)], 1000)).size).toBe(0);
    expect(rates(null, now).size).toBe(0);
    expect(rates(now, now).size).toBe(0);
  });
  test('as people read them', () => {
    expect([0.333, 2, 9.96, 120.4].map(perSecond)).toEqual(['0.3/s', '2/s', '10/s', '120/s']);
  });
});

test('whoever answers for an API of a surrogate is one under all its names', () => {
  const all = [
    { name: 'vcdn.main', endpoint: 'a' }, { name: 'cdn.main', endpoint: 'a' }, { name: 'vcdn-first.city', endpoint: 'b' }, { name: 'edge.city', endpoint: 'b' },
    { name: 'vcdnx.main', endpoint: 'c' }, { name: 'streaming.main', endpoint: 'd' },
  ];
  expect([...surrogates(all)]).toEqual(['a', 'b']);
});

test('of many bad frames the worst are seen, in the order of time', () => {
  const frame = (distorted: number, score: number) => ({ distorted, reference: distorted, time_ms: distorted * 40, score });
  const columns = [{ name: 'psnr_y', worst: [frame(3, 30), frame(1, 20), frame(2, 25), frame(0, 40)] }, { name: 'psnr_cb' }];
  expect(worst(columns, 2)?.frames.map(({ distorted }) => distorted)).toEqual([1, 2]);
  expect(worst(columns)?.frames.map(({ distorted }) => distorted)).toEqual([0, 1, 2, 3]);
});

test('of two lists nothing is shown that lies behind what is not loaded yet of the other', () => {
  const at = (...days: number[]) => days.map((day) => ({ id: String(day), created_at: `2026-11-${String(day).padStart(2, '0')}` }));
  const [a, b] = [at(28, 26, 24), at(27, 12, 3)];
  type Days = { items: ReturnType<typeof at>; has_more: boolean };
  const days = (...lists: Days[]) => merged(...lists).map(({ id }) => Number(id));
  expect(days({ items: a, has_more: false }, { items: b, has_more: false })).toEqual([28, 27, 26, 24, 12, 3]);
  expect(days({ items: a, has_more: true }, { items: b, has_more: false })).toEqual([28, 27, 26, 24]);
  expect(days({ items: a, has_more: true }, { items: b, has_more: true })).toEqual([28, 27, 26, 24]);
  expect(days({ items: [], has_more: false }, { items: b, has_more: true })).toEqual([27, 12, 3]);
});

describe('an endpoint', () => {
  const of = (state: Standing['state'], own?: Endpoint['state']) => standing({
    endpoint: 'e', standing: { state, latency_us: 4200 } as Standing, own: own === undefined ? null : { state: own, expires_in_ms: 600_000 } as Endpoint,
  });
  test('that is gone answers in no time, also where a peer alone knows of it', () => {
    expect(of('serving', 'connected')).toBe('serving, answers in 4.2 ms');
    expect([of('killed', 'killed'), of('killed')]).toEqual(['gone: it was killed', 'gone: it was killed']);
    expect(of('hung', 'connected')).toBe('hung: it does not answer');
    expect(['booted', 'killed'].map((state) => standing({ endpoint: 'e', standing: null, own: { state, expires_in_ms: 1 } as Endpoint }))).toEqual(['booted', 'gone: it was killed']);
  });
});
