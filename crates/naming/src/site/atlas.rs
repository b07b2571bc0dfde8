//! The tables of all sites, nearest first: a request stays at its site as long as somebody there takes it.
//!
//! Within a site its table chooses; this only goes from site to site. An endpoint that rests is taken only where nobody
//! awake is left at any site, and then the nearest; before it one that said that it has no room, or cannot write. What is known of other sites has no lease of its own: it is there
//! until its owner, or who listens to the owner, says otherwise.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Sites;
use crate::health::{Demand, Standing};
use crate::name::{Destination, Label, Name};
use crate::peers::{Changes, Key};
use crate::search::Surrogate;
use crate::table::{Choice, EndpointId, Held, Lease, Lot, Moment, NoChoice, Refused, State, Table, WRITTEN_DOWN};

/// As good as for ever: what is known of other sites is taken out, it does not end.
const UNTIL_TOLD: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Who stands behind which name, at which site. The own site comes first.
#[derive(Debug, Clone)]
pub struct Atlas {
    own: Label,
    limit: usize,
    distances: BTreeMap<Label, Duration>,
    /// Other sites' routers, and whether they are heard.
    routers: BTreeMap<Label, bool>,
    /// Nearest first.
    regions: Vec<Region>,
}

/// One site of an atlas.
#[derive(Debug, Clone)]
struct Region {
    site: Label,
    distance: Option<Duration>,
    table: Table,
}

// === impl Atlas ===

impl Atlas {
    /// The atlas of a router at `own`, for at most `limit` endpoints of each site.
    #[must_use]
    pub fn new(own: Label, sites: &Sites, limit: usize) -> Self {
        let routers = sites.iter().filter(|site| site.router.is_some() && site.name != own);
        let routers = routers.map(|site| (site.name.clone(), false)).collect();
        let distances = sites.distances(&own);
        let home = Region { site: own.clone(), distance: Some(Duration::ZERO), table: Table::new(own.clone(), limit) };
        Self { own, limit, distances, routers, regions: vec![home] }
    }

    /// Takes another file of sites, and another most of endpoints. What is known of endpoints stays, also of sites that are
    /// not there any more: who listens to them says when they are gone.
    pub fn rearrange(&mut self, sites: &Sites, limit: usize) {
        let Self { distances, routers, .. } = Self::new(self.own.clone(), sites, limit);
        let heard = |site: &Label| self.routers.get(site).copied().unwrap_or(false);
        self.routers = routers.into_keys().map(|site| (site.clone(), heard(&site))).collect();
        (self.distances, self.limit) = (distances, limit);
        for region in &mut self.regions {
            region.table.set_limit(limit);
        }
        for region in &mut self.regions[1..] {
            region.distance = self.distances.get(&region.site).copied();
        }
        self.regions[1..].sort_by_key(|region| (region.distance.unwrap_or(Duration::MAX), region.site.clone()));
    }

    /// The own site.
    #[must_use]
    pub fn own(&self) -> &Label {
        &self.own
    }

    /// How far `site` is, if a way there is known.
    #[must_use]
    pub fn distance(&self, site: &Label) -> Option<Duration> {
        self.distances.get(site).copied()
    }

    /// Whether another site has a router, which tells what is there.
    #[must_use]
    pub fn has_router(&self, site: &Label) -> bool {
        self.routers.contains_key(site)
    }

    /// Whether another site's router is heard.
    #[must_use]
    pub fn hears_router(&self, site: &Label) -> bool {
        self.routers.get(site).is_some_and(|is_heard| *is_heard)
    }

    /// Notes whether another site's router is heard: only then it is asked for anything.
    pub fn router_is_heard(&mut self, site: &Label, is_heard: bool) {
        if let Some(heard) = self.routers.get_mut(site) {
            *heard = is_heard;
        }
    }

    /// The table of the own site.
    #[must_use]
    pub fn home(&self) -> &Table {
        &self.regions[0].table
    }

    /// The table of the own site.
    pub fn home_mut(&mut self) -> &mut Table {
        &mut self.regions[0].table
    }

    /// The table of a site of which something is known.
    pub fn table_mut(&mut self, site: &Label) -> Option<&mut Table> {
        self.regions.iter_mut().find(|region| region.site == *site).map(|region| &mut region.table)
    }

    /// Takes what is new, different or gone at `site`; the last refusal, if there was one.
    pub fn learn<R>(
        &mut self,
        site: &Label,
        changes: Changes<R>,
        lease: impl Fn(R) -> Lease,
        now: Moment,
    ) -> Result<(), Refused> {
        let table = self.region(site);
        let mut outcome = Ok(());
        for (Key { name, endpoint }, value) in changes {
            let Some(value) = value else {
                table.remove(&name, &endpoint, now);
                continue;
            };
            let lease = Lease { ttl: UNTIL_TOLD, ..lease(value) };
            outcome = table.mirror(&name, &endpoint, lease, now).and(outcome);
        }
        outcome
    }

    /// Takes what is new, different or gone of what is written down of `site`; the last refusal, if there was one. Unlike an
    /// owner's word it says nothing of an endpoint's state: one that was drained or killed stays so when it moves or its terms
    /// change. Who registers itself goes before.
    pub fn write_down<R>(
        &mut self,
        site: &Label,
        changes: Changes<R>,
        lease: impl Fn(R) -> Lease,
        now: Moment,
    ) -> Result<(), Refused> {
        let table = self.region(site);
        let mut outcome = Ok(());
        for (Key { name, endpoint }, value) in changes {
            let held = table.behind(&name, now).find(|held| *held.endpoint == endpoint);
            let held = held.map(|held| (held.generation, held.state));
            match (value, held) {
                (_, Some((generation, _))) if generation != WRITTEN_DOWN => {}
                (None, _) => {
                    table.remove(&name, &endpoint, now);
                }
                (Some(value), held) => {
                    let new = lease(value);
                    let state = held.map_or(new.state, |(_, state)| state);
                    let lease = Lease { generation: WRITTEN_DOWN, ttl: UNTIL_TOLD, state, ..new };
                    match table.register(&name, &endpoint, lease, now) {
                        Ok(_) | Err(Refused::Killed) => {}
                        Err(refused) => outcome = Err(refused),
                    }
                }
            }
        }
        outcome
    }

    /// The endpoint for a request that changes nothing; see [`Atlas::choose_for`].
    pub fn choose(
        &self,
        to: &Destination,
        now: Moment,
        excluded: &[(Label, EndpointId)],
        lot: Lot<'_>,
    ) -> Result<(Label, Choice), NoChoice> {
        self.choose_for(Demand::Read, to, now, excluded, lot).map(|(site, _, choice)| (site, choice))
    }

    /// The endpoint for a request, its site, and how it stands: the nearest site's that has one awake with room, and none of
    /// `excluded`.
    pub fn choose_for(
        &self,
        demand: Demand,
        to: &Destination,
        now: Moment,
        excluded: &[(Label, EndpointId)],
        lot: Lot<'_>,
    ) -> Result<(Label, Standing, Choice), NoChoice> {
        let (mut held, mut none) = (None::<(Label, Standing, Choice)>, NoChoice::Unknown);
        for Region { site, table, .. } in &self.regions {
            // Identifiers are unique at a site only.
            let here = excluded.iter().filter(|(there, _)| there == site);
            let here: Vec<_> = here.map(|(_, endpoint)| endpoint.clone()).collect();
            match table.choose_for(demand, to, now, &here, lot) {
                Ok((Standing::Fit, choice)) => return Ok((site.clone(), Standing::Fit, choice)),
                Ok((standing, choice)) => {
                    if held.as_ref().is_none_or(|(_, nearer, _)| standing < *nearer) {
                        held = Some((site.clone(), standing, choice));
                    }
                }
                Err(reason) => none = none.max(reason),
            }
        }
        held.ok_or(none)
    }

    /// Endpoints that hold a lease at any site.
    pub fn held(&self, now: Moment) -> impl Iterator<Item = (&Label, Held<'_>)> {
        self.regions.iter().flat_map(move |region| region.table.held(now).map(|held| (&region.site, held)))
    }

    /// Those behind `name` who can be asked in a search, in the order of preference within a site: the awake ones first.
    /// Nobody who has as many requests open as it takes.
    pub fn surrogates(&self, name: &Name, now: Moment) -> Vec<Surrogate> {
        let mut all = Vec::new();
        for region in &self.regions {
            let there = region.table.behind(name, now);
            let there = there.filter(|held| held.state == State::Connected && held.has_room());
            let mut there: Vec<_> = there
                .map(|held| Surrogate {
                    key: Key { name: held.name.clone(), endpoint: held.endpoint.clone() },
                    site: region.site.clone(),
                    distance: region.distance,
                    is_authority: false,
                    has_room: held.health.standing(Demand::Read, now) == Standing::Fit,
                    has_router: self.hears_router(&region.site),
                })
                .collect();
            there.sort_by_key(|one| !one.has_room);
            all.append(&mut there);
        }
        all
    }

    /// One endpoint, if it is still there.
    #[must_use]
    pub fn pick(&self, site: &Label, key: &Key, now: Moment) -> Option<Held<'_>> {
        let region = self.regions.iter().find(|region| region.site == *site)?;
        region.table.behind(&key.name, now).find(|held| *held.endpoint == key.endpoint)
    }

    fn region(&mut self, site: &Label) -> &mut Table {
        let at = self.regions.iter().position(|region| region.site == *site).unwrap_or_else(|| {
            let distance = self.distance(site);
            let rank = |distance: Option<Duration>, site: &Label| (distance.unwrap_or(Duration::MAX), site.clone());
            let new = rank(distance, site);
            let after = self.regions[1..].iter().take_while(|region| rank(region.distance, &region.site) < new).count();
            let table = Table::new(site.clone(), self.limit);
            self.regions.insert(1 + after, Region { site: site.clone(), distance, table });
            1 + after
        });
        &mut self.regions[at].table
    }
}
