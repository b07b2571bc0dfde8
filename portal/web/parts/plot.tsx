// A plot over time that is exported as CSV and PNG, and by a link that holds what is seen of it.

import { useEffect, useRef, useState } from 'preact/hooks';
import type Plotter from 'uplot';
import { type Lines, csv } from '../pure/answers';
import type { Range } from '../pure/route';
import { zoomed } from '../pure/zoom';

const COLOURS = ['#e4572e', '#17bebb', '#b58900', '#7768ae', '#2e9e5b', '#d33682', '#4f86f7', '#8a8a8a', '#8c5a2b', '#00a6a6', '#b0419b', '#6b8e23'];
const HEIGHT_PX = 200;
/** Between two times on the axis, or they would stand on each other. */
const TIMES_APART_PX = 80;
const DARK = matchMedia('(prefers-color-scheme: dark)');

/** A click that moved less than this is no drag. */
const STILL_PX = 4;
/** A time of these days in seconds is so far off its milliseconds at most: a link that is followed shows itself again. */
const ROUNDED_MS = 0.01;
const NONE: readonly Mark[] = [];

type Shown = {
  title: string; unit: string; lines: Lines | null; isMedia?: boolean; range?: Range | null; address: (range: Range) => string;
  marks?: readonly Mark[]; onPick?: (time_s: number) => void;
};
/** A moment that is pointed at; one may be chosen. */
export type Mark = { time_s: number; isChosen: boolean };

/**
 * `lines`: the same value as long as nothing else was measured. `isMedia`: the times are those of media and begin with 0. `range`: only this is shown, milliseconds; what is dragged over is, too.
 * `address`: the link that shows a range. `marks`: moments that stand out. `onPick`: somebody clicked at a moment.
 */
export function Plot({ title, unit, lines, isMedia = false, range = null, address, marks = NONE, onPick }: Shown) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<Plotter | null>(null);
  const [make, setMake] = useState<typeof Plotter | null>(null);
  useEffect(() => {
    void Promise.all([import('uplot'), import('uplot/dist/uPlot.min.css')]).then(([{ default: made }]) => setMake(() => made));
  }, []);
  const [isDark, setDark] = useState(DARK.matches);
  useEffect(() => {
    const follow = () => setDark(DARK.matches);
    DARK.addEventListener('change', follow);
    return () => DARK.removeEventListener('change', follow);
  }, []);
  const [seen, setSeen] = useState<Range | null>(null);
  // What somebody dragged over, seconds: new measurements do not take it away, another range or a double click does.
  const zoom = useRef<{ min: number; max: number } | null>(null);
  useEffect(() => { zoom.current = null; }, [range?.from_ms, range?.to_ms]);
  const told = useRef({ marks, onPick });
  told.current = { marks, onPick };
  useEffect(() => plot.current?.redraw(false), [marks]);
  const names = lines?.lines.map(({ label }) => label).join('\n') ?? '';
  useEffect(() => {
    if (!make || !lines || lines.lines.length === 0) return;
    const ink = getComputedStyle(document.body).color;
    const axis = { stroke: ink, grid: { stroke: '#8884', width: 1 }, ticks: { stroke: '#8884', width: 1 } };
    const width = () => place.current?.clientWidth || 480;
    plot.current = new make({
      width: width(), height: HEIGHT_PX, legend: { live: true }, scales: { x: { time: !isMedia } },
      hooks: { setSelect: [({ select, posToVal }) => {
        if (select.width > 0) zoom.current = { min: posToVal(select.left, 'x'), max: posToVal(select.left + select.width, 'x') };
      }], draw: [(now) => pointed(now, told.current.marks)], setScale: [(now, key) => {
        const { min, max } = now.scales['x']!;
        if (key === 'x' && min != null && max != null && min < max) setSeen({ from_ms: Math.max(0, Math.floor(min * 1000 + ROUNDED_MS)), to_ms: Math.ceil(max * 1000 - ROUNDED_MS) });
      }] },
      axes: [{ ...axis, space: TIMES_APART_PX }, { ...axis, size: 64, values: (_, all) => all.map((value) => `${value} ${unit}`) }],
      series: [isMedia ? { label: 'Time, s' } : {}, ...lines.lines.map(({ label }, at) => ({ label, stroke: COLOURS[at % COLOURS.length]!, width: 2, spanGaps: true }))],
    }, [[], ...lines.lines.map(() => [])], place.current!);
    const { over } = plot.current;
    over.addEventListener('dblclick', () => { zoom.current = null; });
    let pressed_px = 0;
    over.addEventListener('mousedown', ({ clientX }) => { pressed_px = clientX; });
    over.addEventListener('click', ({ clientX, offsetX }) => {
      if (plot.current && Math.abs(clientX - pressed_px) < STILL_PX) told.current.onPick?.(plot.current.posToVal(offsetX, 'x'));
    });
    const follow = new ResizeObserver(() => plot.current?.setSize({ width: width(), height: HEIGHT_PX }));
    follow.observe(place.current!);
    return () => { follow.disconnect(); plot.current?.destroy(); plot.current = null; };
  }, [make, names, unit, isDark]);
  useEffect(() => {
    if (!lines || !plot.current) return;
    const shown = zoom.current ?? (range && { min: range.from_ms / 1000, max: range.to_ms / 1000 });
    plot.current.setData([lines.times_s, ...lines.lines.map(({ values }) => values)], shown === null);
    if (shown) plot.current.setScale('x', shown);
  }, [make, names, unit, isDark, lines, range?.from_ms, range?.to_ms]);

  const press = (event: KeyboardEvent) => {
    const now = plot.current;
    const { min, max } = now?.scales['x'] ?? {};
    const times_s = lines?.times_s ?? [];
    if (!now || min == null || max == null || times_s.length < 2 || event.ctrlKey || event.metaKey || event.altKey) return;
    const all = { min: times_s[0]!, max: times_s.at(-1)! };
    const part = zoomed(all, { min, max }, event.key);
    if (part === null) return;
    event.preventDefault();
    zoom.current = part === all ? null : part;
    now.setScale('x', part);
  };
  const save = (url: string, ending: string) => {
    const link = document.createElement('a');
    link.href = url;
    link.download = `${title.toLowerCase().replaceAll(' ', '-')}.${ending}`;
    link.click();
  };
  const table = () => { if (lines) save(`data:text/csv;charset=utf-8,${encodeURIComponent(csv(lines, isMedia))}`, 'csv'); };
  const picture = () => {
    const canvas = place.current?.querySelector('canvas');
    if (canvas && lines) save(framed(canvas, title, lines.lines.map(({ label }) => label)), 'png');
  };
  const isEmpty = !lines || lines.lines.length === 0;
  return (
    <figure class="panel plot">
      <figcaption class="row spread"><span>{title}</span>
        {!isEmpty && <span class="row">
          <button type="button" onClick={table} aria-label={`${title} as CSV`}>CSV</button>
          <button type="button" onClick={picture} aria-label={`${title} as PNG`}>PNG</button>
          {seen && <a class="button" href={address(seen)} aria-label={`Link to the time that ${title} shows`}>Link</a>}
        </span>}</figcaption>
      <div ref={place} class="drawn" {...(!isEmpty && { tabIndex: 0, role: 'group', 'aria-label': `${title}: arrows move, plus and minus zoom, 0 shows all`, onKeyDown: press })} />
      {!isEmpty && <p class="keys quiet" aria-hidden="true">← → move, + − zoom, 0 shows all</p>}
      {isEmpty && <p class="quiet">No measurements yet: everything reports every few seconds.</p>}
    </figure>
  );
}

function pointed({ ctx, bbox, valToPos }: Plotter, marks: readonly Mark[]) {
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  for (const { time_s, isChosen } of marks) {
    const left = valToPos(time_s, 'x', true);
    ctx.fillStyle = isChosen ? COLOURS[0]! : '#8886';
    ctx.fillRect(left - devicePixelRatio, bbox.top, 2 * devicePixelRatio, bbox.height);
  }
  ctx.restore();
}

/** The picture as it stands for itself: with its title, its ground, and whose line is which. */
function framed(plot: HTMLCanvasElement, title: string, labels: readonly string[]): string {
  const step = 22 * devicePixelRatio;
  const whole = document.createElement('canvas');
  whole.width = plot.width;
  whole.height = plot.height + step * (labels.length + 2);
  const pen = whole.getContext('2d')!;
  const { color } = getComputedStyle(document.body);
  pen.fillStyle = getComputedStyle(document.body).backgroundColor;
  pen.fillRect(0, 0, whole.width, whole.height);
  pen.font = `${14 * devicePixelRatio}px system-ui, sans-serif`;
  pen.fillStyle = color;
  pen.fillText(title, step / 2, step);
  pen.drawImage(plot, 0, step * 1.5);
  labels.forEach((label, at) => {
    const top = plot.height + step * (2 + at);
    pen.fillStyle = COLOURS[at % COLOURS.length]!;
    pen.fillRect(step / 2, top - step / 3, step, step / 6);
    pen.fillStyle = color;
    pen.fillText(label, step * 2, top);
  });
  return whole.toDataURL('image/png');
}
