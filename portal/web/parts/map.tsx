// Sites and the links between their routers, with a dot for each endpoint in the colour of its state.

import { drawn, frame } from '../pure/map';
import type { Site } from '../pure/sites';
import { short } from '../pure/words';

const DOT = 5;
const ROUTER = 10;
/** Few endpoints are not drawn larger than this. */
const ZOOM_MAX = 1.6;

export function SiteMap({ sites }: { sites: Site[] }) {
  const all = drawn(sites);
  const [middle, ...around] = all;
  if (!middle) return null;
  const [left, top, width, height] = frame(all);
  const count = all.reduce((sum, { dots }) => sum + dots.length, 0);
  return (
    <svg class="map panel" viewBox={`${left} ${top} ${width} ${height}`} style={{ maxHeight: `${height * ZOOM_MAX}px` }} role="img" aria-label={`${count} endpoints at ${all.length} sites; the list below names them`}>
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
            return <circle key={`${name} ${endpoint}`} class={`spot ${state}`} cx={left} cy={top} r={DOT}><title>{`${short(name)}: ${endpoint}, ${state}`}</title></circle>;
          })}
        </g>
      ))}
    </svg>
  );
}
