// A plot over time that is exported as CSV and PNG.

import { useEffect, useRef, useState } from 'preact/hooks';
import type Plotter from 'uplot';
import { type Lines, csv } from '../pure/answers';

const COLOURS = ['#e4572e', '#17bebb', '#b58900', '#7768ae', '#2e9e5b', '#d33682', '#4f86f7', '#8a8a8a'];
const HEIGHT_PX = 200;

/** `isMedia`: the times are those of media and begin with 0. */
export function Plot({ title, unit, lines, isMedia = false }: { title: string; unit: string; lines: Lines | null; isMedia?: boolean }) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<Plotter | null>(null);
  const [make, setMake] = useState<typeof Plotter | null>(null);
  useEffect(() => {
    void Promise.all([import('uplot'), import('uplot/dist/uPlot.min.css')]).then(([{ default: made }]) => setMake(() => made));
  }, []);
  const names = lines?.lines.map(({ label }) => label).join('\n') ?? '';
  useEffect(() => {
    if (!make || !lines || lines.lines.length === 0) return;
    const ink = getComputedStyle(document.body).color;
    const axis = { stroke: ink, grid: { stroke: '#8884', width: 1 }, ticks: { stroke: '#8884', width: 1 } };
    const width = () => place.current?.clientWidth || 480;
    plot.current = new make({
      width: width(), height: HEIGHT_PX, legend: { live: true }, scales: { x: { time: !isMedia } },
      axes: [axis, { ...axis, size: 64, values: (_, all) => all.map((value) => `${value} ${unit}`) }],
      series: [isMedia ? { label: 'Time, s' } : {}, ...lines.lines.map(({ label }, at) => ({ label, stroke: COLOURS[at % COLOURS.length]!, width: 2, spanGaps: true }))],
    }, [[], ...lines.lines.map(() => [])], place.current!);
    const follow = () => plot.current?.setSize({ width: width(), height: HEIGHT_PX });
    addEventListener('resize', follow);
    return () => { removeEventListener('resize', follow); plot.current?.destroy(); plot.current = null; };
  }, [make, names, unit]);
  useEffect(() => { if (lines) plot.current?.setData([lines.times_s, ...lines.lines.map(({ values }) => values)]); }, [make, names, lines]);

  const save = (url: string, ending: string) => {
    const link = document.createElement('a');
    link.href = url;
    link.download = `${title.toLowerCase().replaceAll(' ', '-')}.${ending}`;
    link.click();
  };
  const table = () => { if (lines) save(`data:text/csv;charset=utf-8,${encodeURIComponent(csv(lines, isMedia))}`, 'csv'); };
  const picture = () => { const canvas = place.current?.querySelector('canvas'); if (canvas) save(canvas.toDataURL('image/png'), 'png'); };
  return (
    <figure class="panel plot">
      <figcaption class="row spread"><span>{title}</span>
        <span class="row"><button type="button" onClick={table}>CSV</button><button type="button" onClick={picture}>PNG</button></span></figcaption>
      <div ref={place} />
      {(!lines || lines.lines.length === 0) && <p class="quiet">No measurements yet: everything reports every few seconds.</p>}
    </figure>
  );
}
