// Shaka Player, for page.js: DASH and HLS by Media Source Extensions, never by the browser's own HLS.

// Seconds of the buffer that a level taken by hand leaves as they are: enough to fetch a segment meanwhile.
const KEPT_S = 2;
// Where tracks do not begin together (the sound of an encoder begins a frame of sound after its pictures), it steps over what only one of
// them has, before anything is shown: no hole in what is watched. A longer one is told.
const LEAD_S = 0.1;

export function open(video, url, tell, switches, clearKey) {
  const { Category, Code, Severity } = shaka.util.Error;
  const nameOf = (enumeration, value) => Object.keys(enumeration).find((name) => enumeration[name] === value) ?? `${value}`;
  const player = new shaka.Player();
  const fail = (error) => {
    const [category, code] = [nameOf(Category, error.category), nameOf(Code, error.code)];
    // Some data are whole answers.
    const data = (error.data ?? []).map((item) => item?.message ?? item).filter((item) => typeof item !== 'object');
    tell.error(category, [code, ...data].join(' '), error.severity === Severity.CRITICAL);
    player.destroy();
  };
  const levels = () => player.getVideoTracks().sort((one, other) => one.bandwidth - other.bandwidth);
  const playing = () => tell.level(levels().findIndex((level) => level.active));
  player.configure({ streaming: { preferNativeHls: false } });
  if (clearKey) player.configure({ drm: { clearKeys: { [clearKey.id]: clearKey.key } } });
  player.addEventListener('error', ({ detail }) => fail(detail));
  // It goes on after these, where hls.js tells an error.
  player.addEventListener('gapjumped', () => {
    if (tell.shown() && video.currentTime >= LEAD_S) tell.error('gap', `jumped to ${video.currentTime} s`, false);
  });
  player.addEventListener('stalldetected', () => tell.shown() && tell.error('stall', `at ${video.currentTime} s`, false));
  for (const change of ['adaptation', 'variantchanged']) player.addEventListener(change, playing);
  player.attach(video).then(() => player.load(url)).then(() => {
    playing();
    tell.ready(player.getAudioTracks().length);
  }).catch((error) => {
    if (error.code !== Code.LOAD_INTERRUPTED) fail(error);
  });
  return {
    levels: () => levels().map(({ height }) => height),
    take: (level) => {
      player.configure({ abr: { enabled: false } });
      player.selectVideoTrack(levels()[level], true, KEPT_S);
    },
    texts: () => player.getTextTracks().map(({ language }) => language),
    read: (language) => {
      const found = player.getTextTracks().find((track) => track.language === language);
      if (found) player.selectTextTrack(found);
    },
    listen: (is) => {
      const track = player.getAudioTracks().find(({ language }) => is(language));
      if (track) player.selectAudioTrack(track);
      return Boolean(track);
    },
    // Of HLS, which has no word for them, from the index beside the playlist.
    thumbnail: async (time) => {
      if (player.getImageTracks().length === 0) {
        await player.addThumbnailsTrack(new URL('thumbnails.vtt', url).href, 'text/vtt');
      }
      const found = await player.getThumbnails(player.getImageTracks()[0].id, time);
      if (!found) return null;
      const { uris, positionX, positionY, width, height } = found;
      // Where it comes from a WebVTT file, the place is in its URI's fragment.
      return { url: uris[0].split('#')[0], x: positionX, y: positionY, width, height };
    },
    // How far it is behind the wall clock; of HLS without dates, behind the end of the playlist.
    latency_s: () => {
      if (!player.isLive()) return null;
      return player.getStats().liveLatency || player.seekRange().end - video.currentTime;
    },
  };
}
