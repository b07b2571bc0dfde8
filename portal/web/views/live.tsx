// Live channels: make one, see where to publish, watch it, end it.

import { useEffect, useMemo, useState } from 'preact/hooks';
import { ask, send } from '../api/http';
import { keep, key } from '../api/keys';
import { usePoll } from '../api/poll';
import { look, way } from '../api/surrogates';
import type { Channel, Doors, Page } from '../api/types';
import { Equivalent } from '../parts/equivalent';
import { May } from '../parts/may';
import { Player } from '../parts/player';
import { operands, request } from '../pure/commands';
import { identifier } from '../pure/identifier';
import { write } from '../pure/route';
import { ago } from '../pure/words';

const REFRESH_MS = 2000;
const WAYS_MS = 5000;
const SAID_MS = 2000;

export function Live() {
  const channels = usePoll(() => ask<Page<Channel>>('/~streaming/channels'), REFRESH_MS);
  const doors = usePoll(() => ask<Doors>('/~ingest/doors'), 60_000);
  const [title, setTitle] = useState('');
  const wanted = title.trim() || 'Live';
  // The command stays as it is while somebody marks it, and another channel is another one.
  const example = useMemo(identifier, [wanted]);
  const [watched, setWatched] = useState<Channel | null>(null);
  usePoll(look, WAYS_MS);
  const [problem, setProblem] = useState('');
  const act = async (what: () => Promise<void>) => {
    try {
      await what();
      setProblem('');
      channels.again();
    } catch (error) {
      setProblem((error as Error).message);
    }
  };
  const create = () => act(async () => {
    const { id, key } = await (await send('POST', '/~streaming/channels', { id: identifier(), title: wanted })).json() as Channel;
    if (key) keep(id, key);
    setTitle('');
  });
  const renew = (id: string) => act(async () => {
    const { key } = await (await send('POST', `/~streaming/channels/${id}/key`)).json() as { key: string };
    keep(id, key);
  });
  const [ended, setEnded] = useState<Channel | null>(null);
  const end = (channel: Channel) => act(async () => {
    if (!confirm('End this channel? What was sent stays playable.')) return;
    await send('POST', `/~streaming/channels/${channel.id}/end`);
    // Of a channel that nobody published to there is no recording.
    setEnded(channel.state === 'idle' ? null : channel);
  });
  const all = channels.value?.items ?? [];
  // Whoever watches keeps the picture when the encoder goes, and when somebody ends the channel.
  const over = watched && channels.value && !all.some(({ id }) => id === watched.id) ? watched : null;
  const told = ended ?? over;
  return (
    <section aria-labelledby="live-title">
      <h2 id="live-title">Live channels</h2>
      <p class="quiet">A channel takes what an encoder sends, such as OBS, ffmpeg or a browser, and plays it within seconds. What was sent stays as a recording.</p>
      <May><form class="row" onSubmit={(event) => { event.preventDefault(); void create(); }}>
        <label>Title <input value={title} onInput={(event) => setTitle(event.currentTarget.value)} placeholder="What it is called" /></label>
        <button>Make a channel</button>
      </form></May>
      <Equivalent flame={`channel create ${operands(wanted)}`} curl={request('POST', '/~streaming/channels', { id: example, title: wanted })} more={[
        { what: 'List', flame: 'channel list', curl: '{origin}/~streaming/channels' },
        ...all.slice(0, 1).flatMap(({ id, state }) => [
          ...(state === 'idle' ? [] : [{ what: 'Watch', flame: `quality watch ${location.origin}/~${way.value}/${id}/index.m3u8`, curl: `{origin}/~${way.value}/${id}/index.m3u8` }]),
          { what: 'New key', flame: `channel key ${id}`, curl: request('POST', `/~streaming/channels/${id}/key`) },
          { what: 'End', flame: `channel end ${id}`, curl: request('POST', `/~streaming/channels/${id}/end`) },
        ]),
      ]} />
      {(problem || channels.trouble) && <p class="notice" role="status">{problem || channels.trouble}</p>}
      {told && <p class="notice" role="status">{told.title} has ended; <a href={write({ view: 'library', asset: told.id })}>its recording</a> is in the library.</p>}
      {watched && (
        <div class="stage">
          <div class="row spread"><h3>{watched.title}</h3><button type="button" onClick={() => setWatched(null)}>Close</button></div>
          <Player key={watched.id} url={`/~${way.value}/${watched.id}/index.m3u8`} live />
        </div>
      )}
      {channels.value && all.length === 0 && <p class="quiet">No channel is open.</p>}
      <ul class="plain">
        {all.map((channel) => (
          <li key={channel.id} class="panel">
            <div class="row spread">
              <h3>{channel.title} <span class={`tag ${channel.state}`}>{channel.state}</span></h3>
              <span class="quiet">made {ago(channel.created_at, Date.now())}</span>
              <span class="row">
                <button type="button" disabled={channel.state === 'idle'} onClick={() => { setEnded(null); setWatched(channel); }}>Watch</button>
                <May>
                  <button type="button" onClick={() => renew(channel.id)}>New key</button>
                  <button type="button" class="grave" onClick={() => end(channel)}>End</button>
                </May>
              </span>
            </div>
            {key(channel.id) ? <Addresses doors={doors.value} keyOfChannel={key(channel.id)!} />
              : <p class="quiet">The key was said when the channel was made. “New key” gives another one; who publishes now may go on.</p>}
          </li>
        ))}
      </ul>
    </section>
  );
}

function Copy({ text, what }: { text: string; what: string }) {
  const [said, setSaid] = useState('');
  useEffect(() => {
    const timer = said === '' ? undefined : setTimeout(() => setSaid(''), SAID_MS);
    return () => clearTimeout(timer);
  }, [said]);
  // A page that was opened by another name than localhost may not write there (secure contexts only).
  const copy = () => (navigator.clipboard?.writeText(text) ?? Promise.reject(new Error())).then(() => setSaid('Copied'), () => setSaid('Mark it, and copy it by hand'));
  return <><button type="button" onClick={copy} aria-label={`Copy ${what}`}>Copy</button> <span class="quiet" role="status">{said}</span></>;
}

function Addresses({ doors, keyOfChannel }: { doors: Doors | null; keyOfChannel: string }) {
  if (doors === null) return null;
  const host = (address: string) => address.replace(/^0\.0\.0\.0|^\[::\]/, location.hostname);
  const all: [string, string][] = [];
  if (doors.rtmp) {
    const server = `rtmp://${host(doors.rtmp)}/live`;
    all.push(['RTMP', `${server}/${keyOfChannel}`], ['OBS: server', server], ['OBS: stream key', keyOfChannel]);
  }
  if (doors.srt) all.push(['SRT', `srt://${host(doors.srt)}?streamid=${keyOfChannel}`]);
  if (doors.whip) all.push(['WHIP (WebRTC)', `${location.origin}/~ingest/whip/${keyOfChannel}`]);
  if (doors.push) all.push(['HTTP push (CMAF or HLS)', `${location.origin}/~ingest/push/${keyOfChannel}/index.m3u8`]);
  return (
    <dl class="facts addresses">
      {all.map(([what, address]) => (
        <div key={what}><dt>{what}</dt><dd class="row"><code>{address}</code> <Copy text={address} what={what} /></dd></div>
      ))}
    </dl>
  );
}
