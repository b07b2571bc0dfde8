// Answers of CLMC, in the shape of InfluxDB 1.x, as columns of numbers for a plot.

export type Answers = { results: { error?: string; series?: Series[] }[] };
export type Series = { name: string; tags?: Record<string, string>; columns: string[]; values: (string | number | null)[][] };
/** Seconds since 1970, and of each line a value or nothing at each of them. */
export type Lines = { times_s: number[]; lines: { label: string; values: (number | null)[] }[] };

/** Who measured: several endpoints of one measurement are told apart. */
export function named({ name, tags }: Series): string {
  const endpoint = tags?.['flame_sfe'];
  return endpoint && endpoint !== name ? `${name}, ${endpoint}` : name;
}

/** Brings all series of the first statement onto one axis of time; `label` names each. Times are milliseconds (`epoch=ms`). */
export function lines(answers: Answers, label: (series: Series) => string): Lines {
  const series = answers.results[0]?.series ?? [];
  const times_ms = [...new Set(series.flatMap(({ values }) => values.map(([time]) => Number(time))))].sort((a, b) => a - b);
  const place = new Map(times_ms.map((time, at) => [time, at]));
  return {
    times_s: times_ms.map((time) => time / 1000),
    lines: series.map((one) => {
      const values: (number | null)[] = times_ms.map(() => null);
      for (const [time, value] of one.values) {
        values[place.get(Number(time))!] = value === null || value === undefined ? null : Number(value);
      }
      return { label: label(one), values };
    }),
  };
}

/** The same as CSV (RFC 4180), times as RFC 3339, or media time in seconds. */
export function csv({ times_s, lines: all }: Lines, isMedia = false): string {
  const field = (text: string) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const rows = times_s.map((time, at) => [isMedia ? String(time) : new Date(time * 1000).toISOString(), ...all.map(({ values }) => String(values[at] ?? ''))]);
  return [['time', ...all.map(({ label }) => field(label))], ...rows].map((row) => `${row.join(',')}\r\n`).join('');
}

/** Scores of frames as the quality service has them: `reference,distorted,time_ms` and the columns. Lines that are none are passed over. */
export function frames(text: string): Lines {
  const [head = '', ...rows] = text.trim().split('\n');
  const names = head.split(',').slice(3);
  const cells = rows.map((row) => row.split(',').map(Number)).filter((row) => row.length === names.length + 3 && row.every(Number.isFinite));
  return {
    times_s: cells.map((row) => row[2]! / 1000),
    lines: names.map((label, at) => ({ label, values: cells.map((row) => row[at + 3]!) })),
  };
}

/** When, as InfluxQL has it, and in which steps, so that a plot has some hundred points. */
export function when(range: { from_ms: number; to_ms: number }): { where: string; step: string } {
  const steps_s = [10, 60, 300, 3600, 21_600];
  const wanted_s = (range.to_ms - range.from_ms) / 1000 / 120;
  const step_s = steps_s.find((step) => step >= wanted_s) ?? steps_s.at(-1)!;
  const at = (ms: number) => `'${new Date(ms).toISOString()}'`;
  return { where: `time >= ${at(range.from_ms)} AND time <= ${at(range.to_ms)}`, step: `${step_s}s` };
}
