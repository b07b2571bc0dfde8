// Two jobs on one asset, side by side: how long each stage took, what was made, and how good it is.

import type { Job, Score, StageProgress, Track } from '../api/types';
import { bytes, figure, rate } from './words';

/** `change`: from left to right in percent, where both sides are numbers. */
export type Row = { name: string; left: string; right: string; change: string };
export type Table = { title: string; rows: Row[] };

const NONE = '–';
type Side<T> = { left: T | undefined; right: T | undefined };

/** All that there is to compare; tables without rows are left out. `now_ms` stands for the end of what still runs. */
export function compared(left: Job, right: Job, scores: readonly Score[], now_ms: number): Table[] {
  const tables = [
    { title: 'Together', rows: together(left, right, now_ms) },
    { title: 'Stages', rows: stages(left, right, now_ms) },
    { title: 'Tracks', rows: tracks(left, right) },
    { title: 'Scores', rows: measured(left, right, scores) },
  ];
  return tables.filter(({ rows }) => rows.length > 0);
}

function together(left: Job, right: Job, now_ms: number): Row[] {
  const gates = ({ stages = [] }: Job) => stages.flatMap(({ gates = [] }) => gates);
  const kept = (job: Job) => (gates(job).length === 0 ? NONE : `${gates(job).filter(({ passed }) => passed).length} of ${gates(job).length}`);
  const size = ({ tracks = [] }: Job) => (tracks.length === 0 ? null : tracks.reduce((sum, { size_bytes }) => sum + size_bytes, 0));
  return [
    { name: 'Parameters', left: given(left), right: given(right), change: '' },
    row('Waited', between(left.created_at, left.started_at, now_ms), between(right.created_at, right.started_at, now_ms), seconds),
    row('Took', between(left.started_at, left.finished_at, now_ms), between(right.started_at, right.finished_at, now_ms), seconds),
    { name: 'Attempts', left: String(left.attempt), right: String(right.attempt), change: '' },
    { name: 'Gates passed', left: kept(left), right: kept(right), change: '' },
    row('Size of all tracks', size(left), size(right), bytes),
  ].filter((one) => one.left !== NONE || one.right !== NONE);
}

function stages(left: Job, right: Job, now_ms: number): Row[] {
  // A stage that its job's end broke off has no end of its own.
  const took = (stage: StageProgress | undefined, { finished_at }: Job) => (stage ? between(stage.started_at, stage.finished_at ?? finished_at, now_ms) : null);
  return paired(left.stages ?? [], right.stages ?? [], ({ name }) => name).map(([name, one]) => {
    const said = (stage: StageProgress | undefined) => (stage && stage.state !== 'done' ? `, ${stage.state}` : '');
    const both = row(name, took(one.left, left), took(one.right, right), seconds);
    return { ...both, left: both.left + said(one.left), right: both.right + said(one.right) };
  });
}

function tracks(left: Job, right: Job): Row[] {
  return paired(left.tracks ?? [], right.tracks ?? [], form).flatMap(([name, one]) => [
    { name: `${name}: codec`, left: one.left?.codec ?? NONE, right: one.right?.codec ?? NONE, change: '' },
    row(`${name}: mean`, one.left?.average_bandwidth_bps, one.right?.average_bandwidth_bps, rate),
    row(`${name}: peak`, one.left?.peak_bandwidth_bps, one.right?.peak_bandwidth_bps, rate),
    row(`${name}: size`, one.left?.size_bytes, one.right?.size_bytes, bytes),
  ]);
}

/** The newest figures of each version; of tracks that have the same form they stand side by side. */
function measured(left: Job, right: Job, scores: readonly Score[]): Row[] {
  const of = ({ version, tracks = [] }: Job) => {
    const found = new Map<string, number>();
    if (!version) return found;
    for (const score of [...scores].sort((a, b) => (a.measured_at < b.measured_at ? 1 : -1))) {
      if (score.version !== version) continue;
      const track = tracks.find(({ name }) => name === score.track);
      const where = score.track ? (track ? form(track) : score.track) : 'as it plays';
      for (const [name, value] of Object.entries(score.figures)) {
        const key = `${where}: ${name}`;
        if (!found.has(key)) found.set(key, value);
      }
    }
    return found;
  };
  const [one, other] = [of(left), of(right)];
  return [...new Set([...one.keys(), ...other.keys()])].sort().map((name) => row(name, one.get(name), other.get(name), figure));
}

/** What tracks of two chains have in common: names are the chains' own. */
function form({ kind, width, height, channels, language }: Track): string {
  return kind === 'video' ? `${width}×${height}` : `sound, ${channels} channels${language ? `, ${language}` : ''}`;
}

/** What is the same by `key` stands together; several with one key by their order. The left side's order comes first. */
function paired<T>(left: readonly T[], right: readonly T[], key: (one: T) => string): [string, Side<T>][] {
  const all = new Map<string, Side<T>>();
  for (const [side, list] of [['left', left], ['right', right]] as const) {
    const met = new Map<string, number>();
    for (const one of list) {
      const count = (met.get(key(one)) ?? 0) + 1;
      met.set(key(one), count);
      const name = count === 1 ? key(one) : `${key(one)}, ${count}`;
      all.set(name, { ...(all.get(name) ?? { left: undefined, right: undefined }), [side]: one });
    }
  }
  return [...all];
}

function row(name: string, left: number | null | undefined, right: number | null | undefined, said: (value: number) => string): Row {
  const shown = (value: number | null | undefined) => (value == null ? NONE : said(value));
  return { name, left: shown(left), right: shown(right), change: left == null || right == null ? '' : change(left, right) };
}

function change(left: number, right: number): string {
  if (left === right) return '=';
  if (left <= 0) return '';
  const percent = Math.round(((right - left) / left) * 100);
  return `${percent > 0 ? '+' : percent < 0 ? '−' : '±'}${Math.abs(percent)} %`;
}

function given({ parameters = {} }: Job): string {
  return Object.entries(parameters).map(([name, value]) => `${name}=${value}`).join(', ') || NONE;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

function between(from: string | null, to: string | null, now_ms: number): number | null {
  return from === null || from === undefined ? null : Math.max(0, (to ? Date.parse(to) : now_ms) - Date.parse(from));
}
