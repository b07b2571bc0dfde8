// What a measurement found: pooled scores and a plot of all frames, or what was seen and heard without a reference.

import { useEffect, useMemo, useState } from 'preact/hooks';
import { ask, send } from '../api/http';
import type { ComparisonJob, InspectionJob, Verdict } from '../api/types';
import { type Lines, frames } from '../pure/answers';
import { nearest, worst } from '../pure/worst';
import { type Measured as Of, type Range, write } from '../pure/route';
import { figure } from '../pure/words';
import { Equivalent } from './equivalent';
import { Plot } from './plot';
import { Worst } from './worst';

type Link = Omit<Of, 'range'> & { range?: Range | null };

export function Gates({ gates }: { gates: Verdict[] }) {
  return (
    <div class="scroll" tabIndex={0} role="group" aria-label="Gates">
      <table><thead><tr><th scope="col">Gate</th><th scope="col">Measured</th><th scope="col">Verdict</th></tr></thead>
        <tbody>{gates.map(({ gate, measured, passed, why }) => (
          <tr key={gate}><th scope="row">{gate}</th><td>{measured == null ? why ?? 'not measured' : figure(measured)}</td><td class={passed ? 'passed' : 'missed'}>{passed ? 'kept' : 'not kept'}</td></tr>
        ))}</tbody></table>
    </div>
  );
}

/** `range`: the part of the media that plots show, milliseconds. */
export function Measured({ kind, id, range = null }: Link) {
  const [found, setFound] = useState<ComparisonJob | InspectionJob | null>(null);
  const [scores, setScores] = useState<Lines | null>(null);
  const [trouble, setTrouble] = useState('');
  const address = (range: Range) => write({ view: 'quality', asset: null, measured: { kind, id, range } });
  const path = `/~quality/${kind}/${encodeURIComponent(id)}`;
  useEffect(() => {
    const told = (error: Error) => setTrouble(error.message);
    ask<ComparisonJob | InspectionJob>(path).then(setFound, told);
    if (kind === 'comparisons') send('GET', `${path}/frames.csv`).then((answer) => answer.text()).then((text) => setScores(frames(text)), told);
  }, [path]);
  const plots = useMemo(() => scores?.lines.map((line) => ({ times_s: scores.times_s, lines: [line] })) ?? [], [scores]);
  const [chosen, setChosen] = useState<number | null>(null);
  const shown = useMemo(() => (found && 'reference' in found && found.result ? worst(found.result.columns) : null), [found]);
  const marks = useMemo(() => (shown?.frames ?? []).map(({ time_ms, distorted }) => ({ time_s: time_ms / 1000, isChosen: distorted === chosen })), [shown, chosen]);
  if (trouble) return <p class="notice" role="status">{trouble}</p>;
  if (found === null) return <p class="quiet" role="status">Asking for the figures…</p>;
  if ('media' in found) return <Seen job={found} />;
  const { result } = found;
  if (!result) return null;
  return (
    <div class="stage">
      <div class="scroll" tabIndex={0} role="group" aria-label="Scores">
        <table><caption>{result.scored_frames} frames; {result.alignment.offset_ms.toFixed(0)} ms apart, {result.alignment.dropped_frames} dropped, {result.alignment.repeated_frames} repeated, sure to {Math.round(result.alignment.confidence * 100)} %</caption>
          <thead><tr>{['Metric', 'Mean', 'Harmonic mean', 'Worst', 'p1', 'p5', 'p10'].map((title) => <th key={title} scope="col">{title}</th>)}</tr></thead>
          <tbody>{result.columns.map(({ name, pooled }) => (
            <tr key={name}><th scope="row">{name}</th>{[pooled.mean, pooled.harmonic_mean, pooled.min, pooled.p1, pooled.p5, pooled.p10].map((value, at) => <td key={at}>{figure(value)}</td>)}</tr>
          ))}</tbody></table>
      </div>
      {scores && <div class="plots">{plots.map((lines) => <Plot key={lines.lines[0]!.label} title={`${lines.lines[0]!.label} of each frame`} unit="" isMedia range={range} address={address} lines={lines}
        marks={marks} onPick={(time_s) => setChosen(nearest(shown?.frames ?? [], time_s * 1000))} />)}</div>}
      {shown && <Worst of={shown} path={path} chosen={chosen} onChosen={setChosen} />}
      <Notes notes={result.notes} />
      <div class="row"><a class="button" href={`${path}/report.html`} target="_blank" rel="noopener">Report with the worst frames</a></div>
      <Equivalent curl={`{origin}${path}/frames.csv`} />
    </div>
  );
}

function Seen({ job: { result } }: { job: InspectionJob }) {
  if (!result) return null;
  const { video, audio } = result;
  const spans = ({ count, total_s, longest_s }: { count: number; total_s: number; longest_s: number }) => (
    count === 0 ? 'none' : `${count}, ${total_s.toFixed(1)} s together, ${longest_s.toFixed(1)} s the longest`
  );
  const rows: [string, string][] = [
    ...(video ? [
      ['Pictures', `${video.codec}, ${video.width}×${video.height}, ${video.frames} frames, ${video.decode_errors} not decoded`], ['Black', spans(video.black)], ['Frozen', spans(video.freeze)],
      ['Spatial, temporal information', `${video.si ? figure(video.si.mean) : '–'}, ${video.ti ? figure(video.ti.mean) : '–'}`],
    ] as [string, string][] : []),
    ...(audio ? [
      ['Sound', `${audio.codec}, ${audio.channels} channels`], ['Silence', spans(audio.silence)], ['Clipping', audio.clipping.runs === 0 ? 'none' : `${audio.clipping.runs} times`],
      ['Loudness', audio.loudness?.integrated_lufs == null ? 'not measured' : `${figure(audio.loudness.integrated_lufs)} LUFS, range ${audio.loudness.range_lu == null ? '–' : figure(audio.loudness.range_lu)} LU, true peak ${audio.loudness.true_peak_dbtp == null ? '–' : figure(audio.loudness.true_peak_dbtp)} dBTP`],
    ] as [string, string][] : []),
    ...(result.not_measured ?? []).map(({ detector, why }) => [detector, `not measured: ${why}`] as [string, string]),
  ];
  return (
    <div class="stage">
      <dl class="facts">{rows.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>
      <Notes notes={result.notes ?? []} />
    </div>
  );
}

function Notes({ notes }: { notes: string[] }) {
  return notes.length === 0 ? null : <ul>{notes.map((note) => <li key={note} class="quiet">{note}</li>)}</ul>;
}
