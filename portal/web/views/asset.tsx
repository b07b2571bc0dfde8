// One asset: it plays, and all that is known of it.

import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { ask, send } from '../api/http';
import { linksOf, useViewerLink } from '../api/link';
import { usePoll } from '../api/poll';
import { chosen, look, way, ways } from '../api/surrogates';
import type { Asset, Clip, Job, Page } from '../api/types';
import { Equivalent } from '../parts/equivalent';
import { May } from '../parts/may';
import { History, Record } from '../parts/record';
import { Player } from '../parts/player';
import { Origin } from '../parts/provenance';
import { Scores } from '../parts/scores';
import { pictures } from '../parts/sprite';
import { type Chapter, named } from '../pure/chapters';
import { request } from '../pure/commands';
import { type ViewerLink, beside, doors } from '../pure/links';
import { write } from '../pure/route';
import type { Search } from '../pure/search';
import type { Sprite } from '../pure/sprites';
import { bytes, clock, quoted, rate } from '../pure/words';
import { poster, standing } from './library';

const REFRESH_MS = 5000;
const WAYS_MS = 5000;

/** `search`: what the library shows, which one comes back to. `onGone`: it was put into the trash. */
type Shown = { id: string; docked: boolean; search: Search; onClose: () => void; onGone: (id: string) => void };

export function AssetPage({ id, docked, search, onClose, onGone }: Shown) {
  const path = `/~metadata/assets/${encodeURIComponent(id)}`;
  const { value, trouble, again } = usePoll(() => ask<Asset>(path), REFRESH_MS, id);
  const jobs = usePoll(() => ask<Page<Job>>(`/~transcode/jobs?asset_id=${encodeURIComponent(id)}&limit=1`), 2000, id);
  const seen = usePoll(look, WAYS_MS);
  const [problem, setProblem] = useState('');
  const heading = useRef<HTMLHeadingElement>(null);
  const isKnown = value !== null;
  const made = value?.version?.name ?? null;
  const isProtected = value?.protected ?? false;
  const { link, refused, again: anew } = useViewerLink(isProtected ? id : null);
  const opened = link && beside(link, 'thumbnails.vtt');
  const [sprites, setSprites] = useState<Sprite[]>([]);
  useEffect(() => {
    let gone = false;
    if (made !== null && (!isProtected || opened)) void pictures(id, made, opened ?? undefined).then((found) => { if (!gone) setSprites(found); });
    return () => { gone = true; };
  }, [id, made, isProtected, opened]);
  useEffect(() => {
    if (docked || !isKnown) return;
    heading.current?.focus();
    scrollTo({ top: 0 });
  }, [id, docked, isKnown]);
  const said = JSON.stringify(value?.record?.hasPart ?? []);
  const chapters = useMemo(() => named(JSON.parse(said) as Clip[]), [said]);
  const asset = value;
  if (asset === null) return <p class="notice" role="status">{trouble || 'Asking the catalogue…'}</p>;

  const through = asset.protected ? 'streaming' : way.value;
  const plain = `${location.origin}/~${through}/${encodeURIComponent(id)}/index.m3u8`;
  const playlist = link ? `${location.origin}${link.path}` : plain;
  const act = async (what: () => Promise<unknown>) => {
    try {
      await what();
      setProblem('');
      again();
    } catch (error) {
      setProblem((error as Error).message);
    }
  };
  const rename = () => {
    const title = prompt('Title', asset.title);
    if (title !== null) void act(() => send('PATCH', path, { title }, matched(asset)));
  };
  const remove = () => {
    if (!confirm(`Put “${asset.title || asset.id}” into the trash?`)) return;
    void act(async () => { await send('DELETE', path); onGone(id); location.hash = write({ view: 'library', asset: null, search }); });
  };
  const job = jobs.value?.items[0];
  const { probe, version } = asset;
  return (
    <section class={docked ? 'dock panel' : 'stage'} aria-labelledby="playing">
      <div class="row spread">
        <h2 id="playing" tabIndex={-1} ref={heading}>{docked ? <a href={write({ view: 'library', asset: id, search })}>{asset.title || id}</a> : asset.title || id}</h2>
        {docked && <button type="button" onClick={onClose}>Close</button>}
      </div>
      {/* A new version is another presentation. */}
      {asset.protected ? <Protected key={version?.name ?? 'source'} playlist={plain} link={link} refused={refused} onShut={anew} pictures={sprites} chapters={chapters} />
        : seen.value !== null && <Player key={version?.name ?? 'source'} url={playlist} poster={poster(asset)} pictures={sprites} chapters={chapters} />}
      {!docked && <>
      {problem && <p class="notice" role="status">{problem}</p>}
      {job && ['queued', 'running'].includes(job.state) && (
        <p class="row">{job.chain}: {job.stage || job.state} <progress max={1} value={job.progress} aria-label="Conditioning" /> {Math.round(job.progress * 100)} %</p>
      )}
      {asset.state !== 'ready' && <p class="quiet">{standing(asset)}</p>}
      <div class="row">
        <May>
          <button type="button" onClick={rename}>Rename</button>
          <button type="button" class="grave" onClick={remove}>Delete</button>
        </May>
        {!asset.protected && ways.value.length > 1 && (
          <label>Through <select value={through} onChange={(event) => { chosen.value = event.currentTarget.value; }}>
            {ways.value.map((name) => <option key={name} value={name}>{name}</option>)}
          </select></label>
        )}
        <May><a class="button" href={write({ view: 'quality', asset: null, of: id })}>Measure</a></May>
        <a class="button" href={write({ view: 'chains', asset: null, pair: { asset: id, left: null, right: null } })}>Compare chains</a>
        <a class="button" href={playlist}>Playlist</a>
        <a class="button" href={playlist.replace('index.m3u8', 'manifest.mpd')}>MPD</a>
      </div>
      <div class="columns">
        {version && (
          <div class="scroll" tabIndex={0} role="region" aria-label="Renditions"><table>
            <caption>Renditions, made by {version.chain}</caption>
            <thead><tr><th scope="col">Track</th><th scope="col">Form</th><th scope="col">Codec</th><th scope="col">Mean</th><th scope="col">Peak</th><th scope="col">Size</th></tr></thead>
            <tbody>{version.tracks.map((track) => (
              <tr key={track.name}>
                <th scope="row">{track.name}</th>
                <td>{track.kind === 'video' ? `${track.width}×${track.height}` : `${track.channels} channels${track.language ? `, ${track.language}` : ''}`}</td>
                <td>{track.codec}</td><td>{rate(track.average_bandwidth_bps)}</td><td>{rate(track.peak_bandwidth_bps)}</td><td>{bytes(track.size_bytes)}</td>
              </tr>
            ))}</tbody>
          </table></div>
        )}
        <dl class="facts">
          <div><dt>Source</dt><dd>{asset.source.file_name ?? '–'}, {bytes(asset.source.size_bytes)}</dd></div>
          {probe && <div><dt>Media</dt><dd>{probe.container}, {clock(probe.duration_ms)}, {rate(probe.bitrate_bps)}</dd></div>}
          {probe?.video && <div><dt>Video</dt><dd>{probe.video.codec}, {probe.video.width}×{probe.video.height}, {probe.video.pixel_format}
            {probe.video.frame_rate && `, ${(probe.video.frame_rate.num / probe.video.frame_rate.den).toFixed(2)} fps`}</dd></div>}
          {probe?.audio && <div><dt>Sound</dt><dd>{probe.audio.codec}, {probe.audio.channels} channels, {probe.audio.sample_rate_hz} Hz</dd></div>}
          {asset.subtitles.length > 0 && <div><dt>Subtitles</dt><dd>{asset.subtitles.map(({ language }) => language).join(', ')}</dd></div>}
          <div><dt>SHA-256</dt><dd><code>{asset.source.sha256}</code></dd></div>
          <div><dt>Identifier</dt><dd><code>{asset.id}</code></dd></div>
          <div><dt>Brought in</dt><dd>{new Date(asset.created_at).toLocaleString()}</dd></div>
        </dl>
      </div>
      <Record record={asset.record ?? {}} custom={asset.custom ?? {}} />
      <Scores id={id} />
      <Origin id={id} />
      <History id={id} revision={asset.revision} onRestored={again} />
      <Equivalent flame={`asset show ${quoted(id)}`} curl={`{origin}${path}`} more={[
        { what: 'Rename', flame: `asset edit ${quoted(id)} --title=${quoted(asset.title || 'TITLE')}`, curl: request('PATCH', path, { title: asset.title }, matched(asset)) },
        { what: 'Delete', flame: `asset rm ${quoted(id)}`, curl: request('DELETE', path) },
        asset.protected ? { what: 'A link that plays it', flame: `asset link ${quoted(id)}`, curl: request('POST', linksOf(id)) } : { what: 'Play', flame: `quality watch ${quoted(id)}`, curl: `'${playlist}'` },
      ]} />
      </>}
    </section>
  );
}

type Locked = { playlist: string; link: ViewerLink | null; refused: string; onShut: () => void; pictures: Sprite[]; chapters: readonly Chapter[] };

/** What only viewers with a signed link play. Whoever may read it has one; where nobody signs them here one can be pasted. */
function Protected({ playlist, link, refused, onShut, pictures, chapters }: Locked) {
  const [typed, setTyped] = useState('');
  const [pasted, setPasted] = useState<string | null>(null);
  if (link) {
    return (
      <>
        <Player url={playlist} doors={doors(link)} onShut={onShut} poster={beside(link, 'poster.jpg')} pictures={pictures} chapters={chapters} />
        <p class="quiet">Protected: only viewers with a signed link play it. Yours ends {new Date(link.expires_at).toLocaleString()}.</p>
      </>
    );
  }
  if (refused === '') return <p class="quiet" role="status">Asking for a link that plays it…</p>;
  return (
    <>
      {pasted === null ? <p class="notice" role="status">It plays for viewers with a signed link only: {refused}</p> : <Player key={pasted} url={pasted} chapters={chapters} />}
      <form class="row" onSubmit={(event) => { event.preventDefault(); setPasted(typed.trim()); }}>
        <label>Signed link <input type="url" required value={typed} onInput={(event) => setTyped(event.currentTarget.value)} placeholder={playlist} /></label>
        <button>Play</button>
      </form>
      <Equivalent flame={`token sign-url ${quoted(playlist)}`} />
    </>
  );
}

function matched({ revision }: Asset): Record<string, string> {
  return { 'if-match': `"${revision}"` };
}
