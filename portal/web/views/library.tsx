// What there is: search, upload, cards; and one asset with its player.

import { useEffect, useRef, useState } from 'preact/hooks';
import { ask } from '../api/http';
import { usePoll } from '../api/poll';
import { May } from '../parts/may';
import type { Asset, Chain, Page } from '../api/types';
import { Picture, pictures } from '../parts/sprite';
import { Trash } from '../parts/trash';
import { Upload } from '../parts/upload';
import { below } from '../pure/pages';
import { write } from '../pure/route';
import { type Sprite, moment } from '../pure/sprites';
import { ago, clock } from '../pure/words';
import { AssetPage } from './asset';

const REFRESH_MS = 5000;
/** While another view is looked at. */
const RARELY_MS = 60_000;
const PAGE = 48;
const TYPING_MS = 250;
const TRASH = 'deleted';
const STATES = [['', 'All'], ['ready', 'Ready'], ['registered', 'As uploaded'], ['failed', 'Failed'], [TRASH, 'Trash']] as const;

export const poster = (asset: Asset) => `/~streaming/${encodeURIComponent(asset.id)}/poster.jpg`;

type Shown = { chosen: string | null; docked: boolean; onClose: () => void };

/** `docked`: another view is looked at, and only what plays is still to be seen. */
export function Library({ chosen, docked, onClose }: Shown) {
  return (
    <>
      {chosen !== null && <AssetPage key={chosen} id={chosen} docked={docked} onClose={onClose} />}
      {/* Hidden and not gone: uploads go on, and are still to be seen and stopped. */}
      <div class="views" hidden={docked}><Catalogue chosen={chosen} looked={!docked} /></div>
    </>
  );
}

function Catalogue({ chosen, looked }: { chosen: string | null; looked: boolean }) {
  const [typed, setTyped] = useState('');
  const [words, setWords] = useState('');
  const [state, setState] = useState('');
  const [older, setOlder] = useState<Asset[]>([]);
  const [cursor, setCursor] = useState<string | null | undefined>(undefined);
  const [troubleBelow, setTroubleBelow] = useState('');
  const shown = useRef<Asset[]>([]);
  useEffect(() => {
    const timer = setTimeout(() => setWords(typed.trim()), TYPING_MS);
    return () => clearTimeout(timer);
  }, [typed]);
  useEffect(() => { setOlder([]); setCursor(undefined); shown.current = []; }, [words, state]);

  const query = (more: Record<string, string>) => {
    // What lies in the trash is not searched.
    const wanted: Record<string, string> = state === TRASH ? { deleted: 'true' } : { ...(words && { q: words }), ...(state && { state }) };
    const said = { limit: String(PAGE), ...wanted, ...more };
    return ask<Page<Asset>>(`/~metadata/assets?${new URLSearchParams(said)}`);
  };
  const first = usePoll(() => query({}), looked ? REFRESH_MS : RARELY_MS, words, state, chosen);
  const chains = usePoll(() => ask<Page<Chain>>('/~transcode/chains'), 60_000);
  const newest = first.value?.items ?? [];
  // Whoever asked for more keeps what a newer asset pushes off the first page.
  const assets = [...newest, ...below(cursor === undefined ? older : [...shown.current, ...older], newest, words !== '' || state === TRASH)];
  shown.current = assets;
  const next = cursor === undefined ? first.value?.next_cursor ?? null : cursor;
  const more = async () => {
    try {
      const page = await query({ cursor: next! });
      setOlder([...older, ...page.items]);
      setCursor(page.next_cursor);
      setTroubleBelow('');
    } catch (error) {
      setTroubleBelow((error as Error).message);
    }
  };
  return (
    <>
      <May><Upload chains={(chains.value?.items ?? []).map(({ name }) => name)} onDone={first.again} /></May>
      <section aria-labelledby="assets-title">
        <div class="row spread">
          <h2 id="assets-title">Library</h2>
          <input type="search" placeholder="Search titles and file names" aria-label="Search" value={typed} onInput={(event) => setTyped(event.currentTarget.value)} />
          <div class="choices" role="group" aria-label="State">
            {STATES.map(([value, title]) => (
              <button key={value} type="button" aria-pressed={value === state} onClick={() => setState(value)}>{title}</button>
            ))}
          </div>
        </div>
        <p role="status" class="quiet">{first.trouble || (first.value === null ? 'Asking the catalogue…'
          : assets.length === 0 ? (state === TRASH ? 'The trash is empty.' : words || state ? 'Nothing fits.' : 'Nothing yet: drop a video above, or flame ingest FILE.') : '')}</p>
        {state === TRASH
          ? <Trash assets={assets} onDone={first.again} />
          : <ul id="assets" class="cards">{assets.map((asset) => <Card key={asset.id} asset={asset} chosen={asset.id === chosen} />)}</ul>}
        {troubleBelow && <p class="notice" role="status">{troubleBelow}</p>}
        {next !== null && assets.length > 0 && <button type="button" onClick={more}>Show more</button>}
      </section>
    </>
  );
}

function Card({ asset, chosen }: { asset: Asset; chosen: boolean }) {
  const [bare, setBare] = useState(false);
  const [shown, setShown] = useState<{ sprite: Sprite; width_px: number } | null>(null);
  const looked = useRef(false);
  // From left to right the picture under the pointer goes from the first moment to the last.
  const over = async ({ currentTarget, clientX, pointerType }: PointerEvent) => {
    if (asset.version === null || pointerType !== 'mouse') return;
    looked.current = true;
    const { left, width } = (currentTarget as HTMLElement).getBoundingClientRect();
    const all = await pictures(asset.id, asset.version.name);
    const sprite = moment(all, ((clientX - left) / width) * (all.at(-1)?.end_s ?? 0));
    if (sprite && looked.current) setShown({ sprite, width_px: width });
  };
  const off = () => { looked.current = false; setShown(null); };
  return (
    <li>
      <a class="card" href={write({ view: 'library', asset: asset.id })} aria-current={chosen ? 'true' : undefined}>
        <span class="picture" onPointerMove={over} onPointerLeave={off}>
          {!bare && <img alt="" loading="lazy" src={poster(asset)} onError={() => setBare(true)} />}
          {shown && <Picture of={shown.sprite} width_px={shown.width_px} />}
          {asset.probe && asset.probe.duration_ms > 0 && <span class="length">{clock(asset.probe.duration_ms)}</span>}
        </span>
        <span class="title">{asset.title || asset.id}</span>
        <span class="standing">{standing(asset)}</span>
      </a>
    </li>
  );
}

/** What is not conditioned plays as it was uploaded, if players take it so. */
export function standing(asset: Asset): string {
  if (asset.state === 'failed') return `Conditioning failed: ${asset.error || 'no reason was given'}`;
  return asset.state === 'ready' ? ago(asset.created_at, Date.now()) : 'As it was uploaded';
}
