import { describe, expect, test } from 'vitest';
import type { Job, Score, Track } from '../api/types';
import { request, typed } from '../pure/commands';
import { compared } from '../pure/compare';
import { read, write } from '../pure/route';

const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString();

function track(name: string, height: number, average_bandwidth_bps: number, more: Partial<Track> = {}): Track {
  return {
    name, kind: 'video', codec: 'avc1', width: (height * 16) / 9, height, frame_rate: null, channels: null, sample_rate_hz: null, language: null, title: null,
    average_bandwidth_bps, peak_bandwidth_bps: 2 * average_bandwidth_bps, size_bytes: 1024 * 1024, ...more,
  };
}

function job(chain: string, more: Partial<Job>): Job {
  return {
    id: chain, asset_id: 'a', chain, state: 'succeeded', stage: '', progress: 1, attempt: 1, error: null, created_at: at(0), started_at: at(2), finished_at: at(12), ...more,
  };
}

const stage = (name: string, from: number, to: number | null) => (
  { name, type: 'x', state: to === null ? 'running' as const : 'done' as const, progress: 1, started_at: at(from), finished_at: to === null ? null : at(to) });
const score = (version: string, track: string | undefined, figures: Record<string, number>, second: number): Score => (
  { job_id: `${version}${second}`, measure: 'comparison', media: 'm', version, ...(track !== undefined && { track }), figures, gates: [], tools: '', measured_at: at(second) });

describe('two jobs', () => {
  const left = job('ladder', {
    version: 'v1', stages: [{ ...stage('plan', 2, 3), gates: [{ track: 't', gate: 'g', measured: 1, passed: true }, { track: 't', gate: 'h', measured: 1, passed: false }] }, stage('encode', 3, 11)],
    tracks: [track('v720', 720, 2_000_000), track('v720b', 720, 1_000_000), track('a', 0, 96_000, { kind: 'audio', codec: 'aac', channels: 2, language: 'de' })],
  });
  const right = job('av1', { version: 'v2', created_at: at(20), started_at: at(20), finished_at: null, state: 'running', stages: [stage('encode', 20, null)], tracks: [track('x', 720, 1_500_000, { codec: 'av01' })] });
  const rows = (title: string, scores: Score[] = []) => compared(left, right, scores, Date.parse(at(40))).find((table) => table.title === title)?.rows;

  test('what they took together', () => {
    expect(rows('Together')).toEqual([
      { name: 'Waited', left: '2.0 s', right: '0.0 s', change: '−100 %' }, { name: 'Took', left: '10.0 s', right: '20.0 s', change: '+100 %' },
      { name: 'Attempts', left: '1', right: '1', change: '' }, { name: 'Gates passed', left: '1 of 2', right: '–', change: '' },
      { name: 'Size of all tracks', left: '3.0 MiB', right: '1.0 MiB', change: '−67 %' },
    ]);
  });

  test('stages of one name stand side by side, with what still runs', () => {
    expect(rows('Stages')).toEqual([{ name: 'plan', left: '1.0 s', right: '–', change: '' }, { name: 'encode', left: '8.0 s', right: '20.0 s, running', change: '+150 %' }]);
  });

  test('tracks of one form stand side by side, whatever they are called', () => {
    const said = rows('Tracks')!.map(({ name, left, right, change }) => [name, left, right, change].join(' | '));
    expect(said.slice(0, 5)).toEqual([
      '1280×720: codec | avc1 | av01 | ', '1280×720: mean | 2.0 Mb/s | 1.5 Mb/s | −25 %', '1280×720: peak | 4.0 Mb/s | 3.0 Mb/s | −25 %',
      '1280×720: size | 1.0 MiB | 1.0 MiB | =', '1280×720, 2: codec | avc1 | – | ',
    ]);
    expect(said).toContain('sound, 2 channels, de: mean | 96 kb/s | – | ');
  });

  test('the newest figures of each version', () => {
    const scores = [score('v1', 'v720', { 'vmaf.mean': 90 }, 1), score('v1', 'v720', { 'vmaf.mean': 91 }, 2), score('v2', 'x', { 'vmaf.mean': 93.5 }, 1), score('other', undefined, { 'vmaf.mean': 1 }, 9), score('v2', undefined, { 'loudness.integrated': -23 }, 1)];
    expect(rows('Scores', scores)).toEqual([
      { name: '1280×720: vmaf.mean', left: '91', right: '93.5', change: '+3 %' }, { name: 'as it plays: loudness.integrated', left: '–', right: '-23', change: '' },
    ]);
  });

  test('a stage ends with the job that broke it off', () => {
    const off = job('x', { state: 'cancelled', finished_at: at(5), stages: [stage('encode', 3, null)] });
    expect(compared(off, off, [], Date.parse(at(99))).find(({ title }) => title === 'Stages')?.rows[0]?.left).toBe('2.0 s, running');
  });

  test('what has not begun has nothing to say', () => {
    const queued = job('x', { started_at: null, finished_at: null, state: 'queued' });
    expect(compared(queued, queued, [], Date.parse(at(5))).map(({ title }) => title)).toEqual(['Together']);
  });
});

describe('addresses', () => {
  test.each([
    { view: 'chains', asset: null, pair: { asset: 'a/b', left: null, right: null } }, { view: 'chains', asset: null, pair: { asset: 'a', left: null, right: 'r' } },
    { view: 'chains', asset: null, pair: { asset: 'a', left: 'l', right: 'r' } },
    { view: 'quality', asset: null, measured: { kind: 'comparisons', id: 'x', range: null } },
    { view: 'quality', asset: null, measured: { kind: 'comparisons', id: 'x', range: { from_ms: 0, to_ms: 1500 } } },
    { view: 'platform', asset: null, range: { from_ms: 1, to_ms: 2 }, chain: 'a/b' },
  ] as const)('%o', (route) => expect(read(write(route))).toEqual(route));
});

describe('commands', () => {
  test('a request is what is sent', () => {
    expect(request('GET', '/~x/y')).toBe('{origin}/~x/y');
    expect(request('GET', "/~x/y?a=b&c='")).toBe("'{origin}/~x/y?a=b&c='\\'''");
    expect(request('POST', '/~x', { title: "it's" }, { 'if-match': '"3"' })).toBe(`-X POST {origin}/~x -H 'content-type: application/json' -H 'if-match: "3"' -d '{"title":"it'\\''s"}'`);
  });

  test('with a token where one is wanted', () => {
    const command = { flame: 'job list', curl: '{origin}/~transcode/jobs' };
    expect(typed(command, 'http://r:1', false)).toEqual(['flame --router http://r:1 job list', 'curl http://r:1/~transcode/jobs']);
    expect(typed(command, 'http://r:1', true)[1]).toBe('curl -H "authorization: Bearer $FLAME_TOKEN" http://r:1/~transcode/jobs');
  });
});
