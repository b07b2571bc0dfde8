// hls.js, for page.js.

export function open(video, url, tell) {
  const hls = new Hls();
  hls.on(Hls.Events.ERROR, (_, error) => {
    // It gave up a request itself, to seek or to switch.
    if (error.details === Hls.ErrorDetails.INTERNAL_ABORTED) return;
    const cause = error.response ? ` (${error.response.code} ${error.url ?? error.frag?.url ?? ''})` : '';
    tell.error(error.type, `${error.details}${cause}`, error.fatal);
    hls.destroy();
  });
  hls.on(Hls.Events.MANIFEST_PARSED, (_, manifest) => tell.ready(manifest.audioTracks.length));
  hls.on(Hls.Events.FRAG_CHANGED, (_, { frag }) => {
    if (frag.type === 'main') tell.level(frag.level);
  });
  hls.loadSource(url);
  hls.attachMedia(video);
  return {
    levels: () => hls.levels.map((level) => level.height),
    take: (level) => { hls.nextLevel = level; },
    // How far it is behind the end of the playlist.
    latency_s: () => (hls.levels[hls.currentLevel]?.details?.live ? hls.latency : null),
  };
}
