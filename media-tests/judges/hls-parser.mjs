// Reads playlists with npm hls-parser: a JSON array of texts on standard input, on standard output an array of what was read of each, in
// the words of crates/playlist/tests/all/read_back.rs, and of what the parser objected to.
//
// What hls-parser 0.16.1 does not read, or reads wrongly, is left out here (docs/decisions/0050-judges-of-playlists.md).

import * as HLS from "hls-parser";
import { text } from "node:stream/consumers";

const us = (seconds) => (seconds === undefined ? null : Math.round(seconds * 1e6));
const hex = (bytes) => Buffer.from(bytes).toString("hex");
const or = (value, other) => value ?? other;

function key(of) {
  if (!of) return null;
  return { method: of.method, uri: of.uri, iv: of.iv ? hex(of.iv) : null, format: or(of.format, null), versions: or(of.formatVersion, null) };
}

function start(of) {
  return of ? { offset_us: us(of.offset), is_precise: of.precise } : null;
}

function own(value) {
  if (value instanceof Uint8Array) return { bytes: hex(value) };
  return typeof value === "number" ? { number: String(value) } : { text: value };
}

function dateRange(of) {
  const attributes = Object.fromEntries(Object.entries(of.attributes).map(([name, value]) => [name, own(value)]));
  return {
    id: of.id,
    class: or(of.classId, null),
    start_ms: of.start.getTime(),
    cue: or(of.cue, null),
    duration_us: us(of.duration),
    planned_us: us(of.plannedDuration),
    end_on_next: or(of.endOnNext, false),
    attributes,
  };
}

function media(playlist) {
  const parts = (segment) =>
    segment.parts.filter((part) => !part.hint).map((part) => ({ uri: part.uri, duration_us: us(part.duration), is_independent: or(part.independent, false) }));
  const common = (segment) => ({ date_ms: segment.programDateTime ? segment.programDateTime.getTime() : null, parts: parts(segment) });
  const whole = playlist.segments.filter((segment) => segment.uri !== "");
  const open = playlist.segments.find((segment) => segment.uri === "");
  const hint = open?.parts.find((part) => part.hint);
  const server = playlist.lowLatencyCompatibility;
  const ranges = playlist.segments.filter((segment) => segment.dateRange).map((segment) => dateRange(segment.dateRange));
  return {
    version: playlist.version,
    target_s: playlist.targetDuration,
    first_number: or(playlist.mediaSequenceBase, 0),
    discontinuity_sequence: or(playlist.discontinuitySequenceBase, 0),
    is_independent: playlist.independentSegments,
    is_vod: playlist.playlistType === "VOD",
    is_over: or(playlist.endlist, false),
    iframes_only: or(playlist.isIFrame, false),
    start: start(playlist.start),
    key: key(playlist.segments[0]?.key),
    server: server
      ? { can_block: server.canBlockReload, hold_back_us: us(server.holdBack), part_hold_back_us: us(server.partHoldBack), can_skip_us: us(server.canSkipUntil) }
      : null,
    part_target_us: us(playlist.partTargetDuration),
    skipped: playlist.skip,
    segments: whole.map((segment) => ({
      uri: segment.uri,
      duration_us: us(segment.duration),
      is_gap: or(segment.gap, false),
      is_discontinuity: or(segment.discontinuity, false),
      map: or(segment.map?.uri, null),
      ...common(segment),
    })),
    open: open && (open.parts.some((part) => !part.hint) || open.programDateTime) ? common(open) : null,
    hint: or(hint?.uri, null),
    reports: playlist.renditionReports.map((report) => ({ uri: report.uri, number: report.lastMSN, part: or(report.lastPart, null) })),
    // Of several in front of one segment it keeps the last.
    last_date_range: or(ranges.at(-1), null),
  };
}

function rendition(of) {
  return {
    kind: of.type,
    group: of.groupId,
    uri: of.uri,
    name: of.name,
    language: or(of.language, null),
    is_default: or(of.isDefault, false),
    is_autoselect: or(of.autoselect, false),
    is_forced: or(of.forced, false),
    characteristics: of.characteristics ? of.characteristics.split(",") : [],
    channels: or(of.channels, null),
  };
}

function variant(of) {
  return {
    uri: of.uri,
    bandwidth_bps: of.bandwidth,
    average_bps: of.averageBandwidth,
    codecs: of.codecs.split(","),
    size: [of.resolution.width, of.resolution.height],
    rate_milli: of.frameRate === undefined ? null : Math.round(of.frameRate * 1000),
    range: or(of.videoRange, null),
    stable_id: or(of.stableVariantId, null),
    audio: or(of.audio[0]?.groupId, null),
    subtitles: or(of.subtitles[0]?.groupId, null),
  };
}

function multivariant(playlist) {
  const renditions = new Map();
  for (const one of playlist.variants.flatMap((of) => [...of.audio, ...of.subtitles])) {
    renditions.set(`${one.type} ${one.groupId} ${one.name}`, rendition(one));
  }
  return {
    version: or(playlist.version, null),
    is_independent: playlist.independentSegments,
    start: start(playlist.start),
    session_keys: playlist.sessionKeyList.map(key),
    renditions: [...renditions.values()],
    variants: playlist.variants.filter((of) => !of.isIFrameOnly).map(variant),
    iframes: playlist.variants.filter((of) => of.isIFrameOnly).map(variant),
  };
}

// What it objects to is heard, and it reads on.
let objections = [];
console.error = (message) => objections.push(message);
HLS.setOptions({ strictMode: false });

const read = JSON.parse(await text(process.stdin)).map((playlist) => {
  objections = [];
  const parsed = HLS.parse(playlist);
  return { read: parsed.isMasterPlaylist ? multivariant(parsed) : media(parsed), objections };
});
process.stdout.write(JSON.stringify(read));
