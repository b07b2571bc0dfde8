// Chapters of what plays: those that its record names, else the marks in its playlist (`EXT-X-DATERANGE`), such as a
// recording has from its channel.

import type { Clip } from '../api/types';

/** A span of media time, seconds; `end_s`: nothing where it ends with the next one, or with all. */
export type Chapter = { name: string; start_s: number; end_s: number | null };
/** What a player knows of a mark; `startTime` is media time, and no number where the playlist tells no time of day. */
export type Range = {
  id: string; class: string; startTime: number; duration: number | null; plannedDuration: number | null; attr: { [name: string]: string | undefined };
};

/** More than that nobody reads, and a playlist may hold any number. */
export const CHAPTERS_MAX = 500;
const NAME_MAX_CHARS = 120;
/** A player that was sent to a beginning may stand this much before it, seconds. */
const NEAR_S = 0.01;

/** What the record says, in the order of time. */
export function named(parts: readonly Clip[]): Chapter[] {
  return sorted(parts.map(({ name, startOffset, endOffset }) => ({ name: name ?? '', start_s: startOffset ?? Number.NaN, end_s: endOffset ?? null })));
}

/** What the playlist marks. Where there are chapters among it, only these: advertisements are none. */
export function marked(ranges: readonly Range[]): Chapter[] {
  const chapters = ranges.filter((range) => /chapter/i.test(range.class));
  return sorted((chapters.length > 0 ? chapters : ranges).map((range) => {
    const lasts_s = range.duration ?? range.plannedDuration;
    const title = range.attr['X-TITLE'] ?? range.attr['X-NAME'] ?? (range.class && !/chapter/i.test(range.class) ? `${range.class}: ${range.id}` : range.id);
    // A mark may lie before what is still to be had.
    const start_s = range.startTime < 0 && range.startTime + (lasts_s ?? 0) > 0 ? 0 : range.startTime;
    return { name: title, start_s, end_s: lasts_s == null ? null : range.startTime + lasts_s };
  }));
}

/** The chapter that a moment is in; -1: none. Of several the one that began last. */
export function current(chapters: readonly Chapter[], at_s: number): number {
  return chapters.findLastIndex(({ start_s, end_s }) => start_s <= at_s + NEAR_S && (end_s === null || at_s + NEAR_S < end_s));
}

function sorted(all: Chapter[]): Chapter[] {
  const known = all.filter(({ start_s, end_s }) => Number.isFinite(start_s) && start_s >= 0 && (end_s === null || end_s > start_s));
  const cut = known.map((one) => ({ ...one, name: one.name.trim().slice(0, NAME_MAX_CHARS) || 'Chapter' }));
  return cut.sort((a, b) => a.start_s - b.start_s).slice(0, CHAPTERS_MAX);
}
