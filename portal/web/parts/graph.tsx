// A chain as a graph: stages from left to right, how far each is, and what its gates have said.

import type { ChainStage, StageProgress } from '../api/types';
import { type Spot, layout } from '../pure/graph';

const BOX = { width: 168, height: 54, across: 40, down: 14 };

export function Graph({ title, stages, progress }: { title: string; stages: ChainStage[]; progress?: StageProgress[] }) {
  const { places, lines, columns, rows } = layout(stages);
  const at = ({ column, row }: Spot) => ({ x: column * (BOX.width + BOX.across), y: row * (BOX.height + BOX.down) });
  const width = columns * (BOX.width + BOX.across) - BOX.across;
  const height = rows * (BOX.height + BOX.down) - BOX.down;
  return (
    <div class="scroll" tabIndex={0} role="group" aria-label={title}>
      <svg class="graph" width={width} height={height} viewBox={`-1 -1 ${width + 2} ${height + 2}`} role="img" aria-label={words(stages, progress)}>
        {lines.map(({ from, to, points }) => <path key={`${from} ${to}`} d={drawn(points.map(at))} />)}
        {stages.map((stage) => {
          const { x, y } = at(places.get(stage.name)!);
          const now = progress?.find(({ name }) => name === stage.name);
          return (
            <g key={stage.name} transform={`translate(${x} ${y})`} class={now?.state}>
              <title>{hint(stage, now)}</title>
              <rect class="box" width={BOX.width} height={BOX.height} rx="8" />
              {now && <rect class="done" x="1" y={BOX.height - 5} width={(BOX.width - 2) * now.progress} height="4" />}
              <text x="10" y="21">{cut(stage.name, 17)}</text>
              <text class="soft" x="10" y="40">{cut(`${stage.type}${now && now.state !== 'waiting' ? ` · ${now.state}` : ''}`, 23)}</text>
              {(stage.gates ?? []).map((gate, at) => {
                const said = now?.gates?.filter((one) => one.gate === gate);
                const verdict = !said?.length ? '' : said.every(({ passed }) => passed) ? 'passed' : 'missed';
                return <circle key={gate} class={`gate ${verdict}`} cx={BOX.width - 12 - at * 14} cy="14" r="5"><title>{gate}</title></circle>;
              })}
            </g>
          );
        })}
      </svg>
    </div>
  );
}

/** From the right side of the first, through the middle of those between, to the left side of the last. */
function drawn(corners: { x: number; y: number }[]): string {
  const middle = BOX.height / 2;
  return corners.slice(1).map(({ x, y }, at) => {
    const from = corners[at]!;
    const [x1, y1, x2, y2] = [from.x + BOX.width, from.y + middle, x, y + middle];
    const bend = (x1 + x2) / 2;
    const through = at + 2 < corners.length ? `H${x2 + BOX.width}` : '';
    return `${at === 0 ? `M${x1} ${y1}` : ''}C${bend} ${y1} ${bend} ${y2} ${x2} ${y2}${through}`;
  }).join('');
}

function words(stages: ChainStage[], progress?: StageProgress[]): string {
  return stages.map(({ name, type }) => {
    const now = progress?.find((one) => one.name === name);
    return `${name}, ${type}${now ? `, ${now.state}${again(now)}` : ''}`;
  }).join('; ');
}

/** What was made before and is taken again. */
function again({ reused }: StageProgress): string {
  return reused?.length ? `, reused: ${reused.join(', ')}` : '';
}

function hint({ name, type, gates }: ChainStage, now: StageProgress | undefined): string {
  return [`${name}: ${type}`, ...(now ? [`${now.state}, ${Math.round(now.progress * 100)} %${again(now)}`] : []), ...(gates ?? []).map((gate) => `gate ${gate}`)].join('\n');
}

/** As much as its box has room for. */
function cut(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}
