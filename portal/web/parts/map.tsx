// Sites and the links between their routers, with a dot for each endpoint in the colour of its state; who answers just now has a ring that
// goes out from it.

import { drawn, frame } from '../pure/map';
import { keyOf } from '../pure/rates';
import type { Site } from '../pure/sites';
import { surrogates } from '../pure/surrogates';
import { perSecond, short } from '../pure/words';

const DOT = 5;
const ROUTER = 10;
/** Few endpoints are not drawn larger than this. */
const ZOOM_MAX = 1.6;

/** `rates`: answers a second, by the keys of [`keyOf`]. */
export function SiteMap({ sites, rates }: { sites: Site[]; rates: ReadonlyMap<string, number> }) {
  const all = drawn(sites);
  const [middle, ...around] = all;
  if (!middle) return null;
  const [left, top, width, height] = frame(all);
  const edges = surrogates(sites.flatMap(({ names }) => names.flatMap(({ name, instances }) => instances.map(({ endpoint }) => ({ name, endpoint })))));
  const count = all.reduce((sum, { dots }) => sum + dots.length, 0);
  return (
    <figure class="map panel">
    <svg viewBox={`${left} ${top} ${width} ${height}`} style={{ maxHeight: `${height * ZOOM_MAX}px` }} role="img" aria-label={`${count} endpoints at ${all.length} sites; the list below names them`}>
      {around.map(({ site, x, y }) => (
        <g key={site.name} class={`link ${site.peer?.state ?? ''}`}>
          <line x1={middle.x} y1={middle.y} x2={x} y2={y} />
          {site.peer?.distance_ms != null && <text x={(middle.x + x) / 2} y={(middle.y + y) / 2 - 4}>{site.peer.distance_ms.toFixed(1)} ms</text>}
        </g>
      ))}
      {all.map(({ site, x, y, radius, dots }) => (
        <g key={site.name}>
          <circle class="place" cx={x} cy={y} r={radius} />
          <rect class={`router ${site.peer?.state ?? 'own'}`} x={x - ROUTER / 2} y={y - radius - ROUTER / 2} width={ROUTER} height={ROUTER}><title>{`Router of ${site.name}${site.peer ? `, ${site.peer.state}` : ''}`}</title></rect>
          <text x={x} y={y + radius + 14}>{site.name}</text>
          {dots.map(({ name, instance: { endpoint, standing, own }, x: left, y: top }) => {
            const state = standing?.state ?? own?.state ?? '';
            const rate = rates.get(keyOf({ site: site.name, name, endpoint })) ?? 0;
            const isEdge = edges.has(endpoint);
            return (
              <g key={`${name} ${endpoint}`}>
                {rate > 0 && <circle class="pulse" cx={left} cy={top} r={DOT} />}
                {isEdge && <circle class={`edge-ring ${state}`} cx={left} cy={top} r={DOT + 2} />}
                <circle class={`spot ${state}`} cx={left} cy={top} r={isEdge ? DOT - 1 : DOT}><title>{`${short(name)}: ${endpoint}${isEdge ? ', a surrogate' : ''}, ${state}${rate > 0 ? `, ${perSecond(rate)}` : ''}`}</title></circle>
              </g>
            );
          })}
        </g>
      ))}
    </svg>
    <figcaption class="legend">
      <span><i class="ground" />router</span><span><i />serving</span><span><i class="waits" />standing by, draining or full</span><span><i class="gone" />killed or hung</span>
      <span><i class="ring" />a surrogate</span><span><i class="pulsing" />answers this router just now</span>
    </figcaption>
    </figure>
  );
}
