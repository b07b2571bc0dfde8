// Runs in the browser: plays the URL of the query with hls.js and writes down what a viewer would have seen.
// Only observes: the verdict is the caller's.

const video = document.getElementById('video');
const seen = {
  ended: false, duration_s: 0, played_s: 0, first_frame_ms: null, frames: 0, dropped_frames: 0,
  levels: 0, audio_tracks: 0, highest_level: -1, latency_s: null, stalls: [], errors: [],
};
window.seen = seen;
const started = performance.now();
let playing = false;

function finish() {
  const quality = video.getVideoPlaybackQuality();
  seen.frames = quality.totalVideoFrames;
  seen.dropped_frames = quality.droppedVideoFrames;
  // Of what is live: how far it is behind the end of the playlist.
  if (hls.levels[hls.currentLevel]?.details?.live) seen.latency_s = hls.latency;
  seen.duration_s = Number.isFinite(video.duration) ? video.duration : 0;
  for (let i = 0; i < video.played.length; i += 1) seen.played_s += video.played.end(i) - video.played.start(i);
  seen.done = true;
}

video.addEventListener('playing', () => {
  playing = true;
  seen.first_frame_ms ??= performance.now() - started;
});
video.addEventListener('waiting', () => {
  if (playing) seen.stalls.push(video.currentTime);
});
video.addEventListener('ended', () => { seen.ended = true; finish(); });
video.addEventListener('error', () => {
  seen.errors.push({ type: 'media', details: video.error?.message ?? 'unknown', fatal: true });
  finish();
});

const hls = new Hls();
hls.on(Hls.Events.ERROR, (_, error) => {
  const cause = error.response ? ` (${error.response.code} ${error.url ?? error.frag?.url ?? ''})` : '';
  seen.errors.push({ type: error.type, details: `${error.details}${cause}`, fatal: error.fatal });
  // The caller objects to any error; hls.js would go on trying for half a minute.
  finish();
  hls.destroy();
});
hls.on(Hls.Events.MANIFEST_PARSED, (_, manifest) => {
  seen.levels = manifest.levels.length;
  seen.audio_tracks = manifest.audioTracks.length;
  video.play().catch((error) => {
    seen.errors.push({ type: 'play', details: String(error), fatal: true });
    finish();
  });
});
hls.on(Hls.Events.FRAG_CHANGED, (_, { frag }) => {
  if (frag.type === 'main') seen.highest_level = Math.max(seen.highest_level, frag.level);
});
hls.loadSource(new URLSearchParams(location.search).get('url'));
hls.attachMedia(video);
