// What there is: search, upload, cards; and one asset with its player.

import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { ask } from '../api/http';
import { usePoll } from '../api/poll';
import { May } from '../parts/may';
import type { Asset, Chain, Page } from '../api/types';
import { Equivalent } from '../parts/equivalent';
import { Facets } from '../parts/facets';
import { Picture, pictures } from '../parts/sprite';
import { Trash } from '../parts/trash';
import { Upload } from '../parts/upload';
import { below } from '../pure/pages';
import { request } from '../pure/commands';
import { write } from '../pure/route';
import { SORTS, type Search, TRASH, asked, command, write as keyed } from '../pure/search';
import { type Sprite, moment } from '../pure/sprites';
import { ago, clock } from '../pure/words';
import { AssetPage } from './asset';

const REFRESH_MS = 5000;
/** While another view is looked at. */
const RARELY_MS = 60_000;
const PAGE = 48;
const TYPING_MS = 250;
/** How far below the window the end may be before more is asked for. */
const NEAR = '800px';
const STATES = [['', 'All'], ['ready', 'Ready'], ['registered', 'As uploaded'], ['failed', 'Failed'], [TRASH, 'Trash']] as const;

export const poster = (asset: Asset) => `/~streaming/${encodeURIComponent(asset.id)}/poster.jpg`;

/** `isTyped`: on the way to something, and so nothing that one would go back to. */
type Looking = { search: Search; onSearch: (search: Search, isTyped: boolean) => void };
type Shown = Looking & { chosen: string | null; docked: boolean; onClose: () => void };

/** `docked`: another view is looked at, and only what plays is still to be seen. */
export function Library({ chosen, docked, search, onSearch, onClose }: Shown) {
  // What the viewer took out of the list that is shown; a service that is asked for its next page does not say so.
  const gone = useRef(new Set<string>());
  return (
    <>
      {chosen !== null && <AssetPage key={chosen} id={chosen} docked={docked} search={search} onClose={onClose} onGone={(id) => gone.current.add(id)} />}
      {/* Hidden and not gone: uploads go on, and are still to be seen and stopped. */}
      <div class="views" hidden={docked}><Catalogue chosen={chosen} looked={!docked} search={search} onSearch={onSearch} gone={gone.current} /></div>
    </>
  );
}

function Catalogue({ chosen, looked, search, onSearch, gone }: Looking & { chosen: string | null; looked: boolean; gone: Set<string> }) {
  const { words, state, sort } = search;
  const [typed, setTyped] = useState(words);
  const [older, setOlder] = useState<Asset[]>([]);
  const [cursor, setCursor] = useState<string | null | undefined>(undefined);
  const [troubleBelow, setTroubleBelow] = useState('');
  const shown = useRef<Asset[]>([]);
  const asking = useRef(false);
  const key = keyed(search);
  const now = useRef({ search, key, onSearch });
  now.current = { search, key, onSearch };
  // Words that were searched for last: what comes back of them is no news to whoever types on.
  const sent = useRef(words);
  useEffect(() => {
    // Whoever looks at something else is not brought back; what was typed is searched for when they come back.
    if (!looked) return;
    const timer = setTimeout(() => {
      const { search, onSearch } = now.current;
      if (typed.trim() === search.words) return;
      sent.current = typed.trim();
      onSearch({ ...search, words: sent.current }, true);
    }, TYPING_MS);
    return () => clearTimeout(timer);
  }, [typed, looked, chosen]);
  // A link, or the way back, has other words than those that are typed.
  useEffect(() => {
    if (words === sent.current) return;
    sent.current = words;
    setTyped(words);
  }, [words]);
  useEffect(() => { setOlder([]); setCursor(undefined); setTroubleBelow(''); shown.current = []; gone.clear(); }, [key]);

  const query = (more: Record<string, string>) => ask<Page<Asset>>(`/~metadata/assets?${new URLSearchParams({ limit: String(PAGE), ...asked(search), ...more })}`);
  // What was asked for before another search is no page of this one.
  const first = usePoll(async () => ({ key, page: await query({}) }), looked ? REFRESH_MS : RARELY_MS, key, chosen);
  const chains = usePoll(() => ask<Page<Chain>>('/~transcode/chains'), 60_000);
  const page = first.value?.key === key ? first.value.page : null;
  const newest = page?.items ?? [];
  // Whoever asked for more keeps what a newer asset pushes off the first page.
  const assets = [...newest, ...below(cursor === undefined ? older : [...shown.current, ...older], newest, words !== '' || sort !== '' || state === TRASH, gone)];
  shown.current = assets;
  const next = cursor === undefined ? page?.next_cursor ?? null : cursor;
  const more = async () => {
    if (asking.current || next === null) return;
    asking.current = true;
    try {
      const page = await query({ cursor: next });
      if (now.current.key !== key) return;
      setOlder((older) => [...older, ...page.items]);
      setCursor(page.next_cursor);
      setTroubleBelow('');
    } catch (error) {
      if (now.current.key === key) setTroubleBelow((error as Error).message);
    } finally {
      asking.current = false;
    }
  };
  return (
    <>
      {chosen === null && (
        <p class="lead">FLAME brings video to where it is watched. Drop one: it is made into several sizes, and plays through <a href={write({ view: 'platform', asset: null })}>surrogates near its
          viewers</a>, on and on when one of them dies. <a href={write({ view: 'live', asset: null })}>Go live</a>, or <a href={write({ view: 'quality', asset: null })}>measure what was made</a>.</p>
      )}
      <May><Upload chains={(chains.value?.items ?? []).map(({ name }) => name)} onDone={first.again} /></May>
      <section aria-labelledby="assets-title">
        <div class="row spread">
          <h2 id="assets-title">Library</h2>
          <input type="search" placeholder="Search titles and file names" aria-label="Search" value={typed} onInput={(event) => setTyped(event.currentTarget.value)} />
          <div class="choices" role="group" aria-label="State">
            {STATES.map(([value, title]) => (
              <button key={value} type="button" aria-pressed={value === state} onClick={() => onSearch({ ...search, state: value }, false)}>{title}</button>
            ))}
          </div>
          {state !== TRASH && <label>Order <select value={sort} onChange={(event) => onSearch({ ...search, sort: event.currentTarget.value }, false)}>
            {SORTS.map(([value, title]) => <option key={value} value={value}>{words && value === '' ? 'Best match' : title}</option>)}
          </select></label>}
        </div>
        <Facets search={search} looked={looked} onSearch={(search) => onSearch(search, false)} />
        <p role="status" class="quiet">{first.trouble || (page === null ? 'Asking the catalogue…'
          : assets.length === 0 && next === null ? (state === TRASH ? 'The trash is empty.' : key ? 'Nothing fits.' : 'Nothing yet: drop a video above, or flame ingest FILE.') : '')}</p>
        {state === TRASH
          ? <Trash assets={assets} onDone={(id) => { gone.add(id); first.again(); }} />
          : <ul id="assets" class="cards">{assets.map((asset) => <Card key={asset.id} asset={asset} chosen={asset.id === chosen} search={search} />)}</ul>}
        {troubleBelow && <p class="notice" role="status">{troubleBelow}</p>}
        {next !== null && <More more={more} count={assets.length} />}
        <Equivalent flame={command(search)} curl={request('GET', `/~metadata/assets${key && `?${new URLSearchParams(asked(search))}`}`)} />
      </section>
    </>
  );
}

/** Asks for more where one comes near to the end; the button is for whoever does not scroll, and after a failure. */
function More({ more, count }: { more: () => Promise<void>; count: number }) {
  const place = useRef<HTMLButtonElement>(null);
  const latest = useRef(more);
  latest.current = more;
  useEffect(() => {
    const near = new IntersectionObserver((seen) => { if (seen.some(({ isIntersecting }) => isIntersecting)) void latest.current(); }, { rootMargin: NEAR });
    near.observe(place.current!);
    return () => near.disconnect();
  }, [count]);
  return <button ref={place} type="button" onClick={() => void more()}>Show more</button>;
}

type Drawn = { asset: Asset; chosen: boolean; search: Search };

/** Drawn anew only where something of it is new: there are thousands, and each key that is typed draws the list. */
function Card({ asset, chosen, search }: Drawn) {
  return useMemo(() => <Face asset={asset} chosen={chosen} search={search} />, [asset, chosen, search]);
}

function Face({ asset, chosen, search }: Drawn) {
  const [bare, setBare] = useState(false);
  const [shown, setShown] = useState<{ sprite: Sprite; width_px: number } | null>(null);
  const looked = useRef(false);
  // From left to right the picture under the pointer goes from the first moment to the last.
  const over = async ({ currentTarget, clientX, pointerType }: PointerEvent) => {
    if (asset.version === null || asset.protected || pointerType !== 'mouse') return;
    looked.current = true;
    const { left, width } = (currentTarget as HTMLElement).getBoundingClientRect();
    const all = await pictures(asset.id, asset.version.name);
    const sprite = moment(all, ((clientX - left) / width) * (all.at(-1)?.end_s ?? 0));
    if (sprite && looked.current) setShown({ sprite, width_px: width });
  };
  const off = () => { looked.current = false; setShown(null); };
  return (
    <li>
      <a class="card" href={write({ view: 'library', asset: asset.id, search })} aria-current={chosen ? 'true' : undefined}>
        <span class="picture" onPointerMove={over} onPointerLeave={off}>
          {!bare && !asset.protected && <img alt="" loading="lazy" src={poster(asset)} onError={() => setBare(true)} />}
          {shown && <Picture of={shown.sprite} width_px={shown.width_px} />}
          {asset.protected && <span class="locked">Protected</span>}
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
