// Small pictures of moments: WebVTT whose texts are places on sheets (`sheet.jpg#xywh=0,0,160,90`, Media Fragments).

/** A picture; times in seconds, places on its sheet in pixels. */
export type Sprite = { start_s: number; end_s: number; url: string; x: number; y: number; width: number; height: number };

const SPAN = /^(\S+)\s+-->\s+(\S+)/;
const PLACE = /^(.+)#xywh=(?:pixel:)?(\d+),(\d+),(\d+),(\d+)$/;

/** Reads an index that was fetched from `base`. What is no span with a place after it is passed over. */
export function sprites(text: string, base: string): Sprite[] {
  const lines = text.split(/\r\n|\r|\n/);
  return lines.flatMap((line, at) => {
    const [, from, to] = SPAN.exec(line) ?? [];
    const [, sheet, ...numbers] = PLACE.exec(lines[at + 1]?.trim() ?? '') ?? [];
    const [x, y, width, height] = numbers.map(Number) as [number, number, number, number];
    const [start_s, end_s] = [seconds(from), seconds(to)];
    if (!sheet || start_s === null || end_s === null || !width || !height) return [];
    return [{ start_s, end_s, url: new URL(sheet, base).href, x, y, width, height }];
  });
}

/** The picture of a moment; before the first one the first, after the last one the last. */
export function moment(all: readonly Sprite[], at_s: number): Sprite | null {
  let [low, high] = [0, all.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (all[middle]!.start_s <= at_s) low = middle + 1;
    else high = middle;
  }
  return all[Math.max(0, low - 1)] ?? null;
}

function seconds(time: string | undefined): number | null {
  const parts = time?.split(':').map(Number) ?? [];
  if (parts.length < 2 || parts.length > 3 || parts.some((part) => !(part >= 0))) return null;
  return parts.reduce((sum, part) => sum * 60 + part, 0);
}
