// hls.js, for page.js.

// Of a playlist hls.js asks again twice, within three seconds. A page that is to outlive the restart of an origin asks for longer.
const PATIENCE = { maxNumRetry: 30, retryDelayMs: 500, maxRetryDelayMs: 1000 };

function patience() {
  const policies = ['manifestLoadPolicy', 'playlistLoadPolicy', 'fragLoadPolicy'];
  return Object.fromEntries(policies.map((name) => [name, { default: { ...Hls.DefaultConfig[name].default, errorRetry: PATIENCE } }]));
}

export function open(video, url, tell) {
  const hls = new Hls(tell.patient ? patience() : {});
  hls.on(Hls.Events.ERROR, (_, error) => {
    // It gave up a request itself, to seek or to switch.
    if (error.details === Hls.ErrorDetails.INTERNAL_ABORTED) return;
    // Of transport streams it takes the first decode time for the beginning, and steps over what lies before the first picture.
    if (error.details === Hls.ErrorDetails.BUFFER_SEEK_OVER_HOLE && !error.fatal && video.played.length === 0) return;
    if (error.details === Hls.ErrorDetails.BUFFER_STALLED_ERROR && !error.fatal && !tell.shown()) return;
    const answer = error.response ? ` (${error.response.code} ${error.url ?? error.frag?.url ?? ''})` : '';
    const cause = answer || (error.reason ? ` (${error.reason})` : '');
    tell.error(error.type, `${error.details}${cause}`, error.fatal);
    if (error.fatal || !tell.patient) hls.destroy();
  });
  hls.on(Hls.Events.MANIFEST_PARSED, (_, manifest) => {
    languages = manifest.subtitleTracks.map(({ lang }) => lang ?? '');
    tell.ready(manifest.audioTracks.length);
  });
  hls.on(Hls.Events.FRAG_CHANGED, (_, { frag }) => {
    if (frag.type === 'main') tell.level(frag.level);
  });
  let wanted = null;
  const choose = () => {
    const found = wanted === null ? -1 : hls.subtitleTracks.findIndex(({ lang }) => lang === wanted);
    if (found >= 0 && hls.subtitleTrack !== found) {
      hls.subtitleDisplay = true;
      hls.subtitleTrack = found;
    }
  };
  let languages = [];
  // Behind its own listeners, which make the text tracks.
  hls.on(Hls.Events.SUBTITLE_TRACKS_UPDATED, () => setTimeout(choose));
  hls.loadSource(url);
  hls.attachMedia(video);
  return {
    levels: () => hls.levels.map((level) => level.height),
    take: (level) => { hls.nextLevel = level; },
    texts: () => languages,
    read: (language) => {
      wanted = language;
      choose();
    },
    listen: (is) => {
      const at = hls.audioTracks.findIndex(({ lang }) => is(lang));
      if (at >= 0) hls.audioTrack = at;
      return at >= 0;
    },
    thumbnail: () => null,
    // How far it is behind the end of the playlist.
    latency_s: () => (hls.levels[hls.currentLevel]?.details?.live ? hls.latency : null),
  };
}
