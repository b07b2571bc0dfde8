// Where everything runs: each site with its router's distance, and the endpoints behind each name in the state that they are in.

import type { Endpoint, Peer, Standing } from '../api/types';
import { keyOf } from '../pure/rates';
import { sites, standing as said } from '../pure/sites';
import { perSecond, short, tail } from '../pure/words';
import { SiteMap } from './map';
import { May } from './may';

export type Act = (endpoint: Endpoint, what: 'connect' | 'drain' | 'kill') => void;

type Shown = { endpoints: Endpoint[]; standings: Standing[]; rates: ReadonlyMap<string, number>; peers: Peer[]; act: Act };

/** `rates`: answers a second, by endpoint. */
export function Sites({ endpoints, standings, rates, peers, act }: Shown) {
  const all = sites(endpoints, standings, peers);
  return (
    <div class="sites">
      <SiteMap sites={all} rates={rates} />
      {all.map((site) => (
        <section key={site.name} class="site panel" aria-label={`Site ${site.name}`}>
          <h3>{site.name}
            {site.peer && <span class={`tag ${site.peer.state}`}>{site.peer.state}{site.peer.distance_ms !== null && `, ${site.peer.distance_ms.toFixed(1)} ms away`}</span>}
          </h3>
          {site.names.map(({ name, instances }) => (
            <div key={name} class="name">
              <h4>{short(name)}</h4>
              <ul class="plain">
                {instances.map(({ endpoint, standing, own }) => (
                  <li key={endpoint} class="endpoint">
                    <span class={`dot ${standing?.state ?? own?.state ?? ''}`} />
                    <span class="grow"><b title={endpoint}>{tail(endpoint)}</b> <span class="quiet">{said({ endpoint, standing, own })}
                      {busy(rates.get(keyOf({ site: site.name, name, endpoint })))}
                      {standing && standing.open > 0 && `, ${standing.open} open`}
                      {standing?.refused && `: ${standing.refused}`}</span></span>
                    {own && <May scope="admin"><span class="row">
                      {own.state === 'connected'
                        ? <button type="button" onClick={() => act(own, 'drain')} aria-label={`Drain ${endpoint}`}>Drain</button>
                        : own.state !== 'killed' && <button type="button" onClick={() => act(own, 'connect')} aria-label={`Connect ${endpoint}`}>Connect</button>}
                      <button type="button" class="grave" disabled={own.state === 'killed'} onClick={() => act(own, 'kill')} aria-label={`Kill ${endpoint}`}>Kill</button>
                    </span></May>}
                  </li>
                ))}
              </ul>
            </div>
          ))}
        </section>
      ))}
    </div>
  );
}

function busy(rate = 0): string {
  return rate > 0 ? `, ${perSecond(rate)}` : '';
}
