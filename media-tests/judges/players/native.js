// Chromium's own HLS, for page.js: the element alone. It says nothing of levels and tracks, and takes none by hand.

const TYPE = 'application/vnd.apple.mpegurl';

export function open(video, url, tell) {
  // Media of another origin must allow the page to read it, as it must for the players that are scripts.
  video.crossOrigin = 'anonymous';
  video.addEventListener('loadedmetadata', () => tell.ready(null));
  if (video.canPlayType(TYPE) === '') queueMicrotask(() => tell.error('unsupported', `${TYPE} cannot be played`, true));
  else video.src = url;
  return {
    levels: () => null, take: () => {}, texts: () => null, read: () => {}, listen: () => false, thumbnail: () => null, latency_s: () => null,
  };
}
