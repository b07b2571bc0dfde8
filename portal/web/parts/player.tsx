// Plays an HLS URL with hls.js, or with the browser's own player where Media Source Extensions are missing, and shows what
// is going on inside: rendition, buffer, delay, and which surrogate the last segment came from.

import type Hls from 'hls.js';
import { useEffect, useRef, useState } from 'preact/hooks';
import { type Chapter, type Range, marked } from '../pure/chapters';
import { Doorkeeper, opened } from '../pure/links';
import { pace } from '../pure/pace';
import { hops } from '../pure/surrogates';
import type { Sprite } from '../pure/sprites';
import { rate } from '../pure/words';
import { Chapters } from './chapters';
import { LiveBar } from './live_bar';
import { Scrubber } from './scrubber';
import { Trace } from './trace';

type Level = { height: number; bitrate: number };
type Named = { name: string };
type Insight = {
  height: number; bitrate: number; buffered_s: number; dropped: number; latency_s: number | null; cache: string; load_ms: number | null;
  stalls: number;
};
const LOOK_MS = 500;
/** How often a live picture's lateness is looked at. */
const PACE_MS = 200;
/** Whoever is later than asked for by this has gone back on purpose. */
const BACK_S = 2;
/** As much as is fetched ahead: what nobody watches is not to be sent. */
const BUFFER_S = 30;
/** What cannot be decoded stays so. */
const RECOVERIES_MAX = 2;
/** How soon is asked again: a channel that has nothing to play yet, and who does not answer any more. */
const AGAIN_MS = 1000;
/** How often in a row somebody is asked again who does not answer any more. */
const LOST_MAX = 30;
const NONE: readonly Chapter[] = [];
const OPEN: readonly string[] = [];

type Played = {
  url: string; doors?: readonly string[]; onShut?: () => void; poster?: string; pictures?: Sprite[]; chapters?: readonly Chapter[]; live?: boolean;
};

/**
 * `doors`: signed paths to the playlist of `url`, for what is protected. Whatever it is asked for is asked for through the first one, and through the
 * next one when nobody answers there; others take their place without a word, as links are renewed. `onShut`: nothing can be had through any of them.
 * `chapters`: those that are known of it; without any, what the playlist marks stands for them.
 */
export function Player({ url, doors = OPEN, onShut, poster, pictures = [], chapters = NONE, live = false }: Played) {
  const video = useRef<HTMLVideoElement>(null);
  const hls = useRef<Hls | null>(null);
  // Where another way to the same media goes on: the element forgets it with the one before.
  const left = useRef({ at_s: 0, paused: false, began: false });
  // What was fetched last.
  const asked = useRef(url);
  const ways = useRef({ doors, onShut });
  ways.current = { doors, onShut };
  const [keeper] = useState(() => new Doorkeeper());
  const [levels, setLevels] = useState<Level[]>([]);
  const [level, setLevel] = useState(-1);
  const [sounds, setSounds] = useState<Named[]>([]);
  const [sound, setSound] = useState(-1);
  const [texts, setTexts] = useState<Named[]>([]);
  const [text, setText] = useState(-1);
  const [marks, setMarks] = useState<readonly Chapter[]>(NONE);
  const [trouble, setTrouble] = useState('');
  const [insight, setInsight] = useState<Insight | null>(null);

  useEffect(() => {
    const element = video.current!;
    let gone = false;
    let again: ReturnType<typeof setTimeout> | undefined;
    const last = { cache: '', load_ms: null as number | null, stalls: 0, began: false, recoveries: 0, lost: 0 };
    const isProtected = ways.current.doors.length > 0;
    const shut = (request: XMLHttpRequest | null | undefined) => keeper.failed(request, ways.current.doors.length);
    // Each request goes through the door that is open when it is sent: also the second attempt of one that failed.
    const through = (xhr: XMLHttpRequest, wanted: string) => {
      const at = keeper.sends(xhr, ways.current.doors.length);
      xhr.open('GET', opened(wanted, ways.current.doors[at]!, location.origin));
      xhr.addEventListener('error', () => shut(xhr));
      xhr.addEventListener('load', () => { if (xhr.status >= 400) shut(xhr); });
    };
    const waits = () => { if (last.began && !element.seeking) last.stalls += 1; };
    const plays = () => { last.began = true; };
    element.addEventListener('waiting', waits);
    element.addEventListener('playing', plays);
    const { at_s, paused, began } = left.current;
    const from_s = live || at_s === 0 ? -1 : at_s;
    setTrouble('');
    // Another presentation is offered anew, and nothing of it is chosen yet.
    setLevels([]);
    setLevel(-1);
    setSounds([]);
    setSound(-1);
    setTexts([]);
    setText(-1);
    setMarks(NONE);
    let ranges = '';
    import('hls.js').then(({ default: Player }) => {
      if (gone) return;
      if (!Player.isSupported()) {
        if (element.canPlayType('application/vnd.apple.mpegurl') === '') return setTrouble('This browser plays no HLS.');
        element.src = isProtected ? ways.current.doors[0]! : url;
        return;
      }
      const player = new Player({
        lowLatencyMode: live, backBufferLength: 60, enableWorker: false, cmcd: { version: 2 }, startPosition: from_s, maxMaxBufferLength: BUFFER_S,
        // The player would ask a silent door for the playlist three times, 20 s each, and say nothing.
        ...(isProtected && { xhrSetup: through, manifestLoadPolicy: { default: { ...Player.DefaultConfig.manifestLoadPolicy.default, timeoutRetry: null } } }),
      });
      hls.current = player;
      player.on(Player.Events.MANIFEST_PARSED, () => {
        setTrouble('');
        setLevels(player.levels.map(({ height, bitrate }) => ({ height, bitrate })));
        // Whoever paused it before it came another way is not made to hear it.
        if (!(began && paused)) element.play().catch(() => {});
      });
      player.on(Player.Events.AUDIO_TRACKS_UPDATED, () => setSounds(player.audioTracks.map(({ name }) => ({ name }))));
      player.on(Player.Events.AUDIO_TRACK_SWITCHED, () => setSound(player.audioTrack));
      player.on(Player.Events.SUBTITLE_TRACKS_UPDATED, () => setTexts(player.subtitleTracks.map(({ name }) => ({ name }))));
      player.on(Player.Events.SUBTITLE_TRACK_SWITCH, () => {
        setText(player.subtitleTrack);
        setTimeout(() => revive(element.textTracks));
      });
      player.on(Player.Events.LEVEL_UPDATED, (_, { details }) => {
        const all = Object.values(details.dateRanges).filter((range) => range !== undefined);
        const found = marked(all.map(({ id, class: kind, startTime, duration, plannedDuration, attr }): Range => (
          { id, class: kind ?? '', startTime, duration, plannedDuration, attr: attr as unknown as Range['attr'] })));
        // A live playlist is read anew all the time, and says the same.
        const said = JSON.stringify(found);
        if (said !== ranges) setMarks(found);
        ranges = said;
      });
      player.on(Player.Events.FRAG_LOADED, (_, { frag, networkDetails }) => {
        const { start, end } = frag.stats.loading;
        const answer = networkDetails as XMLHttpRequest | null;
        last.load_ms = end - start;
        asked.current = answer?.responseURL || frag.url;
        last.cache = answer?.getResponseHeader?.('cache-status') ?? '';
        if (last.lost > 0) setTrouble('');
        last.lost = 0;
      });
      player.on(Player.Events.ERROR, (_, { fatal, details, type, networkDetails }) => {
        // Whoever is silent is let go by the player, and no request of it says so. Several that waited for the same one leave it once.
        if (isProtected && details.endsWith('TimeOut')) shut(networkDetails as XMLHttpRequest | null | undefined);
        if (!fatal) return;
        const decodes = details !== Player.ErrorDetails.MANIFEST_INCOMPATIBLE_CODECS_ERROR;
        if (type === Player.ErrorTypes.MEDIA_ERROR && decodes && last.recoveries < RECOVERIES_MAX) {
          last.recoveries += 1;
          player.recoverMediaError();
        } else if (live && type === Player.ErrorTypes.NETWORK_ERROR && !last.began) {
          // It is live from its encoder's first word; its first segment comes seconds later.
          setTrouble('Waiting for the first pictures.');
          again = setTimeout(() => player.loadSource(url), AGAIN_MS);
        } else if (type === Player.ErrorTypes.NETWORK_ERROR && (last.began || isProtected) && last.lost < LOST_MAX) {
          // A router that begins again, or a link that opens nothing any more: it goes on where it was.
          last.lost += 1;
          setTrouble('Nobody answers just now: asking again.');
          ways.current.onShut?.();
          clearTimeout(again);
          again = setTimeout(() => (player.levels.length > 0 ? player.startLoad() : player.loadSource(url)), AGAIN_MS);
        } else {
          setTrouble(decodes ? `Playback ended: ${details}` : 'This browser decodes none of the codecs that it is offered in.');
        }
      });
      player.loadSource(url);
      player.attachMedia(element);
    }, () => setTrouble('The player could not be loaded.'));
    const ahead_s = () => {
      const at = [...Array(element.buffered.length).keys()].find((at) => element.buffered.end(at) >= element.currentTime);
      return at === undefined ? 0 : element.buffered.end(at) - element.currentTime;
    };
    // The rate that was set here last: any other is the viewer's own, and stays.
    let paced = 1;
    let joined = false;
    const pacing = live ? setInterval(() => {
      const player = hls.current;
      if (!player || element.playbackRate !== paced) return;
      const part_s = player.latestLevelDetails?.partTarget ?? 0;
      // Without parts there is no moment to come near to. Much further behind than asked for, the viewer has gone back on purpose.
      const target_s = part_s > 0 ? player.targetLatency ?? 0 : 0;
      // Of a channel that has only begun the player takes the first moment: nobody has chosen to be that late.
      if (!joined && last.began && part_s > 0) {
        joined = true;
        if (player.latency > target_s + BACK_S && player.liveSyncPosition !== null) element.currentTime = player.liveSyncPosition;
      }
      const catches = !element.paused && !element.seeking && player.latency <= target_s + BACK_S;
      paced = catches ? pace({ behind_s: player.latency, target_s, ahead_s: ahead_s() }, paced, 1.5 * part_s) : 1;
      if (paced !== element.playbackRate) element.playbackRate = paced;
    }, PACE_MS) : undefined;
    const timer = setInterval(() => {
      const player = hls.current;
      const current = player?.levels[player.currentLevel];
      setInsight({
        height: element.videoHeight, bitrate: current?.bitrate ?? 0,
        buffered_s: ahead_s(),
        dropped: element.getVideoPlaybackQuality().droppedVideoFrames,
        latency_s: live && player ? player.latency : null, cache: last.cache, load_ms: last.load_ms, stalls: last.stalls,
      });
    }, LOOK_MS);
    return () => {
      gone = true;
      clearTimeout(again);
      clearInterval(timer);
      clearInterval(pacing);
      element.removeEventListener('waiting', waits);
      element.removeEventListener('playing', plays);
      // Before it is taken away, and its time with it. One that never began leaves what was there before. What has ended stands paused, and at
      // its beginning then: another way to it is nobody's wish to see it again.
      if (last.began) left.current = { at_s: element.ended ? 0 : element.currentTime, paused: element.paused, began: true };
      hls.current?.destroy();
      hls.current = null;
    };
  }, [url, live]);

  const choose = (at: number) => {
    setLevel(at);
    if (hls.current) hls.current.nextLevel = at;
  };
  const shown = chapters.length > 0 ? chapters : marks;
  return (
    <div class="player">
      <video ref={video} controls playsInline muted={live} poster={poster} onError={() => setTrouble(video.current?.error?.message ?? 'It cannot be played here.')} />
      {live ? <LiveBar video={video} hls={hls} /> : <Scrubber video={video} pictures={pictures} chapters={shown} />}
      {trouble !== '' && <p class="notice" role="status">{trouble}</p>}
      <div class="row">
        {levels.length > 1 && (
          <label>Quality <select value={level} onChange={(event) => choose(Number(event.currentTarget.value))}>
            <option value={-1}>Automatic</option>
            {levels.map(({ height, bitrate }, at) => <option key={at} value={at}>{height}p, {rate(bitrate)}</option>)}
          </select></label>
        )}
        {sounds.length > 1 && (
          <label>Sound <select value={sound} onChange={(event) => { if (hls.current) hls.current.audioTrack = Number(event.currentTarget.value); }}>
            {sounds.map(({ name }, at) => <option key={at} value={at}>{name}</option>)}
          </select></label>
        )}
        {texts.length > 0 && (
          <label>Subtitles <select value={text} onChange={(event) => { if (hls.current) hls.current.subtitleTrack = Number(event.currentTarget.value); }}>
            <option value={-1}>Off</option>
            {texts.map(({ name }, at) => <option key={at} value={at}>{name}</option>)}
          </select></label>
        )}
      </div>
      <Chapters video={video} chapters={shown} />
      {insight && (
        <dl class="insight" aria-label="Playback statistics">
          <div><dt>Rendition</dt><dd>{insight.height}p{insight.bitrate > 0 && `, ${rate(insight.bitrate)}`}</dd></div>
          <div><dt>Buffer</dt><dd>{insight.buffered_s.toFixed(1)} s</dd></div>
          {insight.latency_s !== null && <div><dt>Behind live</dt><dd>{insight.latency_s.toFixed(1)} s</dd></div>}
          <div><dt>Last segment</dt><dd>{insight.load_ms === null ? '–' : `${Math.round(insight.load_ms)} ms`}</dd></div>
          <div><dt>Stalls</dt><dd>{insight.stalls}</dd></div>
          <div><dt>Dropped frames</dt><dd>{insight.dropped}</dd></div>
          {insight.cache !== '' && <div class="wide"><dt>Came from</dt><dd>{hops(insight.cache).map(({ name, how }) => `${name}${how && ` (${how})`}`).join(' → ')}</dd></div>}
          <Trace url={() => asked.current} />
        </dl>
      )}
    </div>
  );
}

/** A track that was put away and is shown again shows nothing in Chromium (156) until its texts are added anew. */
function revive(tracks: TextTrackList) {
  for (const track of tracks) {
    if (track.mode !== 'showing') continue;
    for (const cue of [...(track.cues ?? [])]) {
      track.removeCue(cue);
      track.addCue(cue);
    }
  }
}
