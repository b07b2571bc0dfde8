// Runs in the browser: lets a player play the URL of the query, seeks and switches as the query asks, and writes down
// what a viewer would have seen. Only observes: the verdict is the caller's.
//
// `player.js` is the adapter of one player (players/*.js): `open(video, url, tell, switches, clearKey)` begins, and answers
// `levels()` (heights, lowest bitrate first), `take(level)`, `texts()` (languages), `read(language)`, `listen(is)` (chooses the
// first sound to whose language `is` says yes; false if there is none), `thumbnail(time)` (where on which picture), `latency_s()` (null of what is not live); it tells
// `ready(audioTracks)`, `level(index)`, `error(type, details, fatal)`, and `ended()` where the player decides that itself, and asks
// `shown()`: what stands still before the first picture is the time until it, which is told anyway. Where `tell.patient` is so, only
// what is fatal ends it.

import { open } from './player.js';

// Time in which a seek must show a picture and go on.
const SEEK_MS = 5000;
// Time in which a level that was taken must be seen: players play out some of what they have.
const SWITCH_MS = 15000;
// A picture so near to where a seek went is one of the seek's.
const NEAR_S = 1;
// Changes of what is to be read that are told.
const TEXTS_MAX = 200;
// Playback that goes on so far after a seek has come out of it.
const ONWARD_S = 0.5;
// Time in which a sound that was chosen must be heard, and how near its tone must be.
const LISTEN_MS = 10000;
const NEAR_HZ = 15;
// Errors that are told, of a player that is to come out of them.
const ERRORS_MAX = 200;

const query = new URLSearchParams(location.search);
const switches = query.get('switch') === 'true';
const patient = query.get('patient') === 'true';
const stay_s = Number(query.get('stay'));
const video = document.getElementById('video');
const seen = {
  ended: false, duration_s: 0, played_s: 0, first_frame_ms: null, frames: 0, dropped_frames: 0, sound_bytes: 0,
  levels: null, audio_tracks: null, highest_level: null, latency_s: null, stalls: [], errors: [],
  heights: [], seeks: [], text_languages: null, texts: [], sounds: [], thumbnails: [],
};
const started = performance.now();
let player;
let seeking = false;
// Where playback began. Chromium takes the way to where a live presentation begins for played.
let begun_s = 0;
// Whether seeks or switches are still to be done.
let busy = false;
// Whether the player said that all has been played, which may be a moment before the element does.
let ended = false;

function finish() {
  if (seen.done) return;
  const quality = video.getVideoPlaybackQuality();
  seen.frames = quality.totalVideoFrames;
  seen.dropped_frames = quality.droppedVideoFrames;
  seen.sound_bytes = video.webkitAudioDecodedByteCount ?? null;
  seen.latency_s = player?.latency_s() ?? null;
  seen.ended = ended || video.ended;
  seen.duration_s = Number.isFinite(video.duration) ? video.duration : 0;
  const least_s = Math.min(begun_s, ...seen.seeks.map(({ to_s, shown_s }) => shown_s ?? to_s));
  for (let i = 0; i < video.played.length; i += 1) {
    seen.played_s += Math.max(0, video.played.end(i) - Math.max(least_s, video.played.start(i)));
  }
  seen.done = true;
}

// Most callers object to any error; players would go on trying for half a minute.
function fail(type, details, fatal) {
  if (!seen.done && (fatal || seen.errors.length < ERRORS_MAX)) seen.errors.push({ type, details, fatal });
  if (fatal || !patient) finish();
}

// === Pictures ===

const waiting = new Set();

// What stands over the pictures now, whichever player put it there: all of them use the element's own text tracks.
function readable() {
  const shown = Array.from(video.textTracks).filter(({ mode, kind }) => mode === 'showing' && kind !== 'metadata');
  return shown.flatMap(({ activeCues }) => Array.from(activeCues ?? [], ({ text }) => text)).join('\n');
}

function onFrame(_, { mediaTime, height }) {
  const text = readable();
  if (text !== (seen.texts.at(-1)?.text ?? '') && seen.texts.length < TEXTS_MAX) seen.texts.push({ at_s: mediaTime, text });
  if (seen.heights.at(-1) !== height) seen.heights.push(height);
  for (const look of waiting) look({ mediaTime, height });
  video.requestVideoFrameCallback(onFrame);
}

// The first picture from now on that `is` says yes to; null if none comes in time, or the end comes first.
function frame(is, limit_ms) {
  return new Promise((resolve) => {
    const over = (picture) => {
      waiting.delete(look);
      clearTimeout(timer);
      video.removeEventListener('ended', atEnd);
      resolve(picture);
    };
    const look = (picture) => { if (is(picture)) over(picture); };
    const atEnd = () => over(null);
    const timer = setTimeout(over, limit_ms, null);
    video.addEventListener('ended', atEnd);
    waiting.add(look);
  });
}

// === Seeks and switches ===

// Where it stands and what it has, for who looks for a cause.
function standing() {
  const { buffered } = video;
  const ranges = Array.from(buffered, (_, i) => `${buffered.start(i)}-${buffered.end(i)}`);
  const state = `${video.paused ? 'paused' : `at ${video.playbackRate} x`}, ready ${video.readyState}`;
  return `at ${video.currentTime} s of ${video.duration} s, ${state}, buffered: ${ranges.join(', ') || 'nothing'}`;
}

async function seek(to_s) {
  const from = performance.now();
  seeking = true;
  video.currentTime = to_s;
  if (video.paused) play();
  const picture = await frame(({ mediaTime }) => !video.seeking || Math.abs(mediaTime - to_s) < NEAR_S, SEEK_MS);
  const ms = performance.now() - from;
  seen.seeks.push({ to_s, ms: picture && ms, shown_s: picture && picture.mediaTime });
  if (!picture) return fail('seek', `no picture within ${SEEK_MS} ms after a seek to ${to_s} s (${standing()})`, true);
  const onward = await frame(({ mediaTime }) => mediaTime >= picture.mediaTime + ONWARD_S, SEEK_MS);
  seeking = false;
  if (!onward && !video.ended) fail('seek', `stands still after a seek to ${to_s} s (${standing()})`, true);
}

async function take(level, height) {
  player.take(level);
  const picture = await frame((picture) => picture.height === height, SWITCH_MS);
  if (!picture) {
    const wanted = `no picture of height ${height} (level ${level})`;
    return fail('switch', `${wanted} within ${SWITCH_MS} ms or before the end (${standing()})`, true);
  }
  if (stay_s === 0) return undefined;
  const until_s = picture.mediaTime + stay_s;
  const onward = await frame(({ mediaTime }) => mediaTime >= until_s, stay_s * 1000 + SEEK_MS);
  return onward ?? fail('switch', `stands still after a change to height ${height} (${standing()})`, true);
}

// === Sounds ===

// The loudest tone that the element plays now, Hz; it is listened to as a loudspeaker would.
function tones() {
  // The page plays without sound, and a muted element is silent to whoever listens, too.
  video.muted = false;
  const context = new AudioContext();
  const analyser = new AnalyserNode(context, { fftSize: 8192, smoothingTimeConstant: 0 });
  context.createMediaElementSource(video).connect(analyser).connect(context.destination);
  const levels = new Float32Array(analyser.frequencyBinCount);
  return () => {
    analyser.getFloatFrequencyData(levels);
    const loudest = levels.reduce((best, level, at) => (level > levels[best] ? at : best), 0);
    return Number.isFinite(levels[loudest]) ? (loudest * context.sampleRate) / analyser.fftSize : 0;
  };
}

const languageOf = (tag) => { try { return new Intl.Locale(tag).language; } catch { return null; } };

async function listen({ language, hz }, tone) {
  const from = performance.now();
  if (!player.listen((tag) => languageOf(tag) === language)) {
    return fail('sound', `no sound in ${language} is offered, or none can be chosen`, true);
  }
  let heard = 0;
  while (!seen.done && performance.now() - from < LISTEN_MS) {
    heard = tone();
    if (Math.abs(heard - hz) < NEAR_HZ) return seen.sounds.push({ language, hz: heard, ms: performance.now() - from });
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return fail('sound', `${heard} Hz and not ${hz} are heard of ${language} after ${LISTEN_MS} ms (${standing()})`, true);
}

// === Thumbnails ===

async function look(time_s) {
  const found = await player.thumbnail(time_s);
  if (!found) return fail('thumbnail', `none is offered for ${time_s} s`, true);
  const { url, x, y, width, height } = found;
  const image = new Image();
  image.crossOrigin = 'anonymous';
  image.src = url;
  await image.decode();
  const canvas = new OffscreenCanvas(1, 1).getContext('2d');
  canvas.drawImage(image, x + width / 2, y + height / 2, 1, 1, 0, 0, 1, 1);
  const [red, green, blue] = canvas.getImageData(0, 0, 1, 1).data;
  return seen.thumbnails.push({ time_s, width, height, middle: [red, green, blue] });
}

async function perform() {
  const seeks = JSON.parse(query.get('seeks'));
  const sounds = JSON.parse(query.get('sounds'));
  const thumbnails = JSON.parse(query.get('thumbnails'));
  if (seeks.length === 0 && !switches && sounds.length === 0 && thumbnails.length === 0) return;
  busy = true;
  // Nobody's hand is so quick, and Shaka Player does not always come out of a seek in its first moments.
  const from_s = video.currentTime;
  await frame(({ mediaTime }) => mediaTime >= from_s + ONWARD_S, SEEK_MS);
  for (const to_s of seeks) {
    if (!seen.done) await seek(to_s);
  }
  const heights = switches ? player.levels() : [];
  if (heights === null) fail('switch', 'this player takes no levels by hand', true);
  const upwards = Array.from((heights ?? []).entries());
  for (const [level, height] of stay_s > 0 ? [...upwards, ...upwards.toReversed().slice(1)] : upwards) {
    if (!seen.done) await take(level, height);
  }
  const tone = sounds.length > 0 ? tones() : null;
  for (const sound of sounds) {
    if (!seen.done) await listen(sound, tone);
  }
  for (const time_s of thumbnails) {
    if (!seen.done) await look(time_s);
  }
  busy = false;
  if (ended || video.ended) finish();
}

// === Events ===

function play() {
  video.play().catch((error) => {
    // A player that gives up or begins anew breaks off a play() that still waits; it tells more of it than this does.
    if (error.name !== 'AbortError') fail('play', String(error), true);
  });
}

video.addEventListener('playing', () => {
  if (seen.first_frame_ms !== null) return;
  seen.first_frame_ms = performance.now() - started;
  // What begins at its start is counted from there, though the event comes a little later.
  if (video.currentTime > ONWARD_S) begun_s = video.currentTime;
  perform();
});
video.addEventListener('waiting', () => {
  if (seen.first_frame_ms !== null && !seeking && !seen.done) seen.stalls.push(video.currentTime);
});
video.addEventListener('ended', () => { if (!busy) finish(); });
video.addEventListener('error', () => fail('media', video.error?.message ?? 'unknown', true));
video.requestVideoFrameCallback(onFrame);
window.addEventListener('error', ({ message }) => fail('page', message, true));
window.addEventListener('unhandledrejection', ({ reason }) => {
  if (reason?.name !== 'AbortError') fail('page', String(reason), true);
});

window.judge = {
  seen, finish, standing, begun: () => seen.first_frame_ms !== null, idle: () => !busy, over: () => seen.done,
};
// The identifier and the key that the page was told, as bytes in hexadecimal; null where it knows none.
const [keyId, key] = query.get('key') ? query.get('key').split(':') : [null, null];
player = open(video, query.get('url'), {
  ready: (audioTracks) => {
    seen.levels = player.levels()?.length ?? null;
    seen.audio_tracks = audioTracks;
    seen.text_languages = player.texts();
    if (query.get('text')) player.read(query.get('text'));
    play();
  },
  level: (index) => {
    // Sound alone has none.
    if (index >= 0) seen.highest_level = Math.max(seen.highest_level ?? 0, index);
  },
  ended: () => {
    ended = true;
    if (!busy) finish();
  },
  error: fail,
  patient,
  shown: () => seen.first_frame_ms !== null,
}, switches, key && { id: keyId, key });
