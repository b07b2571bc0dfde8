// dash.js, for page.js.

// Seconds of buffer where levels are taken by hand: what is there is played first. To replace it (`forceReplace`) leaves
// a still picture before the next segment, and now and then a hole.
const SWITCHING_BUFFER_S = 4;

// As EME writes octets.
const base64 = (hex) => btoa(String.fromCharCode(...hex.match(/../g).map((octet) => parseInt(octet, 16))))
  .replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');

export function open(video, url, tell, switches, clearKey) {
  const { events, errors } = dashjs.MediaPlayer;
  const nameOf = (code) => Object.keys(errors).find((name) => name.endsWith('_CODE') && errors[name] === code) ?? `${code}`;
  const player = dashjs.MediaPlayer().create();
  const levels = () => player.getRepresentationsByType('video');
  player.updateSettings({ debug: { logLevel: dashjs.Debug.LOG_LEVEL_NONE } });
  if (switches) {
    player.updateSettings({ streaming: { buffer: {
      fastSwitchEnabled: false, bufferTimeDefault: SWITCHING_BUFFER_S, bufferTimeAtTopQuality: SWITCHING_BUFFER_S,
      bufferTimeAtTopQualityLongForm: SWITCHING_BUFFER_S,
    } } });
  }
  player.on(events.ERROR, ({ error }) => {
    tell.error(nameOf(error.code), error.message, true);
    player.destroy();
  });
  player.on(events.STREAM_INITIALIZED, () => tell.ready(player.getTracksFor('audio').length));
  player.on(events.QUALITY_CHANGE_RENDERED, ({ mediaType, newRepresentation }) => {
    if (mediaType === 'video') tell.level(levels().findIndex(({ id }) => id === newRepresentation.id));
  });
  // It looks at the clock five times a second. Where it sees the end before the element tells of it, it jumps back
  // a little and pauses, and the element never does.
  player.on(events.PLAYBACK_ENDED, ({ isLast }) => { if (isLast) tell.ended(); });
  player.initialize(video, url, false);
  if (clearKey) {
    player.setProtectionData({ 'org.w3.clearkey': { clearkeys: { [base64(clearKey.id)]: base64(clearKey.key) } } });
  }
  // Its default is a server on the Internet; clocks come from the MPD's UTCTiming or are the machine's.
  player.clearDefaultUTCTimingSources();
  return {
    levels: () => levels().map(({ height }) => height),
    take: (level) => {
      player.updateSettings({ streaming: { abr: { autoSwitchBitrate: { video: false } } } });
      player.setRepresentationForTypeByIndex('video', level);
    },
    texts: () => player.getTracksFor('text').map(({ lang }) => lang ?? ''),
    read: (language) => {
      const found = player.getTracksFor('text').findIndex(({ lang }) => lang === language);
      player.enableText(found >= 0);
      player.setTextTrack(found);
    },
    listen: (is) => {
      const track = player.getTracksFor('audio').find(({ lang }) => is(lang));
      if (track) player.setCurrentTrack(track);
      return Boolean(track);
    },
    thumbnail: (time) => new Promise((resolve) => { player.provideThumbnail(time, resolve); }),
    // How far it is behind the wall clock.
    latency_s: () => (player.isReady() && player.isDynamic() ? player.getCurrentLiveLatency() : null),
  };
}
