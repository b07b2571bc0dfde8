//! The routing tables that all requests share: a clock and a lock around [`Atlas`], which decides.

mod call;
mod wire;

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use flame_api::peers::Place;
use flame_api::router::{Endpoint, EndpointState};
use flame_credentials::Current;
use flame_naming::health::{Demand, Health, Standing};
use flame_naming::hedge::Limits;
use flame_naming::peers::{Changes, Key};
use flame_naming::search::Surrogate;
use flame_naming::site::{Atlas, RouterAddress, Sites};
use flame_naming::table::{Held, NotTurned, Registered};
use flame_naming::{Choice, Destination, EndpointId, Label, Lease, Lot, Moment, Name, NoChoice, Refused, State};
use tokio::sync::Notify;

use crate::activity::Activity;
use crate::refusals::Refusals;

pub(crate) use call::Call;
pub(crate) use wire::lease;

/// Which endpoints stand behind which names, now. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Registry(Arc<Parts>);

/// What all requests share, in one piece: each holds it, and counting that once is enough.
#[derive(Debug)]
struct Parts {
    known: Mutex<Known>,
    changed: Notify,
    kills: Kills,
    /// This router's certificate, if it has one: then other routers are asked over TLS.
    own: Option<Current>,
    refusals: Refusals,
    activity: Activity,
    began: Instant,
    /// When a router last began, this one or another site's, as far as it was heard: milliseconds since this one did.
    newest_began_ms: AtomicU64,
}

/// What is under the lock: the tables, and what is asked of the files besides.
#[derive(Debug)]
struct Known {
    atlas: Atlas,
    routers: BTreeMap<Label, RouterAddress>,
    repeats: Limits,
}

/// Tells requests that an endpoint was killed.
#[derive(Debug, Default)]
struct Kills {
    count: AtomicU64,
    told: Notify,
}

// === impl Registry ===

impl Registry {
    /// For a router at `site`, and at most `limit` endpoints of each site.
    pub(crate) fn new(site: Label, sites: &Sites, limit: usize, repeats: Limits, own: Option<Current>) -> Self {
        let known = Known { atlas: Atlas::new(site, sites, limit), routers: routers(sites), repeats };
        let (known, changed, kills) = (Mutex::new(known), Notify::new(), Kills::default());
        let (refusals, activity, began) = (Refusals::default(), Activity::default(), Instant::now());
        let newest_began_ms = AtomicU64::new(0);
        Self(Arc::new(Parts { known, changed, kills, own, refusals, activity, began, newest_began_ms }))
    }

    /// What happened to requests on their way.
    pub(crate) fn activity(&self) -> &Activity {
        &self.0.activity
    }

    /// Takes other sites and limits.
    pub(crate) fn rearrange(&self, sites: &Sites, limit: usize, repeats: Limits) {
        let mut known = self.atlas();
        known.atlas.rearrange(sites, limit);
        (known.routers, known.repeats) = (routers(sites), repeats);
    }

    /// Registers an endpoint of the own site; how it is now.
    pub(crate) fn register(&self, name: &Name, id: &EndpointId, lease: Lease) -> Result<Endpoint, Refused> {
        let (mut atlas, now) = (self.atlas(), self.now());
        let registered = atlas.home_mut().register(name, id, lease, now)?;
        let site = atlas.own().clone();
        let endpoint = atlas
            .home()
            .behind(name, now)
            .find(|held| held.endpoint == id)
            .map(|held| wire::endpoint(&site, &held, now, self.newest_began()));
        drop(atlas);
        if registered != Registered::Renewed {
            self.0.changed.notify_one();
            tracing::info!(%name, endpoint = %id, address = %lease.address, "registered");
        }
        Ok(endpoint.expect("it was registered under the same lock"))
    }

    pub(crate) fn remove(&self, name: &Name, id: &EndpointId) -> bool {
        let removed = self.atlas().home_mut().remove(name, id, self.now());
        if removed {
            self.0.changed.notify_one();
        }
        removed
    }

    /// Changes what requests an endpoint of the own site gets. Open requests of one that is killed are told.
    pub(crate) fn turn(&self, name: &Name, id: &EndpointId, state: State) -> Result<(), NotTurned> {
        self.atlas().home_mut().turn(name, id, state, self.now())?;
        if state == State::Killed {
            self.0.kills.tell();
        }
        self.0.changed.notify_one();
        tracing::info!(%name, endpoint = %id, ?state, "told whether it gets requests");
        Ok(())
    }

    /// Endpoints of all sites.
    pub(crate) fn endpoints(&self) -> Vec<Endpoint> {
        let (atlas, now) = (self.atlas(), self.now());
        // Under the lock: whoever does not find those of a router that began anew has to find that it did.
        let began = self.newest_began();
        atlas.held(now).map(|(site, held)| wire::endpoint(site, &held, now, began)).collect()
    }

    /// Looks at all endpoints, with their sites.
    pub(crate) fn look<T>(&self, mut at: impl FnMut(&Label, &Held<'_>, Moment) -> Option<T>) -> Vec<T> {
        let now = self.now();
        self.atlas().held(now).filter_map(|(site, held)| at(site, &held, now)).collect()
    }

    /// Who is to be asked now whether it is there, and whether because it is written down: of those, the ones that this router has from
    /// its own file. Over a long way, and a full one, silence says little; for those of other sites their own router asks.
    pub(crate) fn to_probe(&self, watched: Option<Duration>) -> Vec<((Label, Key), bool)> {
        let (known, now) = (self.atlas(), self.now());
        let due = known.atlas.held(now).filter_map(|(site, held)| {
            let is_own = site == known.atlas.own() || !known.routers.contains_key(site);
            let is_watched = is_own && held.is_written_down() && held.state != State::Killed;
            let key = || Key { name: held.name.clone(), endpoint: held.endpoint.clone() };
            let is_due = held.health.is_probe_due(watched.filter(|_| is_watched), now);
            is_due.then(|| ((site.clone(), key()), is_watched))
        });
        due.collect()
    }

    /// What is registered at the own site: what this router tells its peers.
    pub(crate) fn owned(&self) -> BTreeMap<Key, Place> {
        let atlas = self.atlas();
        let key = |held: &Held<'_>| Key { name: held.name.clone(), endpoint: held.endpoint.clone() };
        atlas.home().held(self.now()).map(|held| (key(&held), wire::place(&held))).collect()
    }

    /// Waits until something changes at the own site. Leases that end are not noticed: look now and then.
    pub(crate) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// Another site's router has begun: until those who stand there have registered again, it does not know who there is.
    pub(crate) fn another_began(&self) {
        let ms = u64::try_from(self.now().0.as_millis()).unwrap_or(u64::MAX);
        self.0.newest_began_ms.fetch_max(ms, Ordering::Relaxed);
    }

    fn newest_began(&self) -> Moment {
        Moment(Duration::from_millis(self.0.newest_began_ms.load(Ordering::Relaxed)))
    }

    /// Takes what is new, different or gone of what is written down of a site.
    pub(crate) fn write_down(&self, site: &Label, changes: Changes<Place>) {
        let written = self.atlas().write_down(site, changes, |place| wire::learned(&place), self.now());
        if let Err(reason) = written {
            tracing::warn!(%site, %reason, "not all that is written down of it is known");
        }
        self.0.changed.notify_one();
    }

    /// Takes what is new, different or gone at another site.
    pub(crate) fn learn(&self, site: &Label, changes: Changes<Place>) {
        let kills = changes.values().flatten().any(|place| place.state == EndpointState::Killed);
        let learned = self.atlas().learn(site, changes, |place| wire::learned(&place), self.now());
        if let Err(reason) = learned {
            tracing::warn!(%site, %reason, "not all of its endpoints are known");
        }
        if kills {
            self.0.kills.tell();
        }
    }

    /// The own site.
    pub(crate) fn site(&self) -> Label {
        self.atlas().own().clone()
    }

    /// How far `site` is, one way.
    pub(crate) fn distance(&self, site: &Label) -> Option<Duration> {
        self.atlas().distance(site)
    }

    /// Whether `site` has a router of its own.
    pub(crate) fn has_router(&self, site: &Label) -> bool {
        self.atlas().has_router(site)
    }

    /// Whether the router of `site` is heard.
    pub(crate) fn hears_router(&self, site: &Label) -> bool {
        self.atlas().hears_router(site)
    }

    /// Notes whether the router of `site` is heard.
    pub(crate) fn router_is_heard(&self, site: &Label, is_heard: bool) {
        self.atlas().router_is_heard(site, is_heard);
    }

    /// Who can be asked for `name` in a search.
    pub(crate) fn surrogates(&self, name: &Name) -> Vec<Surrogate> {
        self.atlas().surrogates(name, self.now())
    }

    /// Chooses an endpoint for a request, and counts the request as open there: by chance and cost, or `key`'s own.
    pub(crate) fn call(
        &self,
        demand: Demand,
        to: &Destination,
        excluded: &[(Label, EndpointId)],
        key: Option<&[u8]>,
    ) -> Result<Call, NoChoice> {
        self.call_as(demand, to, excluded, key, excluded.is_empty())
    }

    /// The same for what is lacking of an answer that was begun: its request was counted before, and earns nothing again.
    pub(crate) fn call_again(&self, to: &Destination, excluded: &[(Label, EndpointId)]) -> Result<Call, NoChoice> {
        self.call_as(Demand::Read, to, excluded, None, false)
    }

    fn call_as(
        &self,
        demand: Demand,
        to: &Destination,
        excluded: &[(Label, EndpointId)],
        key: Option<&[u8]>,
        is_new: bool,
    ) -> Result<Call, NoChoice> {
        let draw = rand::random();
        let (mut atlas, now) = (self.atlas(), self.now());
        let lot = key.map_or(Lot::Drawn(draw), Lot::Key);
        let (site, _, choice) = atlas.choose_for(demand, to, now, excluded, lot)?;
        let repeats = atlas.repeats;
        let mut hedge_after = repeats.hedge_max;
        if let Some(table) = atlas.table_mut(&site) {
            table.note(&to.name, &choice, Health::opened);
            if is_new {
                hedge_after = table.asked(&to.name, &repeats, now);
            }
        }
        drop(atlas);
        Ok(self.begun(&to.name, site, choice, now, hedge_after))
    }

    /// Who a request would get now, with nothing noted.
    pub(crate) fn whom(&self, to: &Destination, key: Option<&[u8]>) -> Result<(Label, Choice), NoChoice> {
        self.atlas().choose(to, self.now(), &[], key.map_or(Lot::Drawn(rand::random()), Lot::Key))
    }

    /// A second endpoint for a request whose answer is late: none of `excluded`, none that rests or has no room, and none
    /// where too many requests were repeated.
    pub(crate) fn hedge(
        &self,
        to: &Destination,
        late: &Call,
        excluded: &[(Label, EndpointId)],
        key: Option<&[u8]>,
    ) -> Option<Call> {
        let mut excluded = excluded.to_vec();
        excluded.push((late.site.clone(), late.choice.endpoint.clone()));
        let (mut atlas, now, draw) = (self.atlas(), self.now(), rand::random());
        let lot = key.map_or(Lot::Drawn(draw), Lot::Key);
        let (site, standing, choice) = atlas.choose_for(Demand::Read, to, now, &excluded, lot).ok()?;
        let repeats = atlas.repeats;
        let table = atlas.table_mut(&site)?;
        if standing != Standing::Fit || !table.spend(&to.name, &repeats, now) {
            return None;
        }
        table.note(&to.name, &choice, Health::opened);
        drop(atlas);
        Some(self.begun(&to.name, site, choice, now, repeats.hedge_max))
    }

    /// The same for one endpoint, if it still gets requests and has room.
    pub(crate) fn call_at(&self, site: &Label, key: &Key) -> Option<Call> {
        self.call_if(site, key, |held| held.state == State::Connected && held.has_room())
    }

    /// The same for a probe, which also goes to one that is full.
    pub(crate) fn probe_at(&self, site: &Label, key: &Key) -> Option<Call> {
        self.call_if(site, key, |_| true)
    }

    fn call_if(&self, site: &Label, key: &Key, fits: impl FnOnce(&Held<'_>) -> bool) -> Option<Call> {
        let (mut atlas, now) = (self.atlas(), self.now());
        let choice = atlas.pick(site, key, now).filter(fits)?.choice();
        atlas.table_mut(site)?.note(&key.name, &choice, Health::opened);
        let hedge_after = atlas.repeats.hedge_max;
        drop(atlas);
        Some(self.begun(&key.name, site.clone(), choice, now, hedge_after))
    }

    /// An endpoint answered with an error what it was asked at `began`, and others did not: it rests.
    pub(crate) fn failed(&self, site: &Label, key: &Key, began: Moment) {
        let (mut atlas, now) = (self.atlas(), self.now());
        if let Some(choice) = atlas.pick(site, key, now).map(|held| held.choice())
            && let Some(table) = atlas.table_mut(site)
        {
            table.note(&key.name, &choice, |health| health.failed(began, now));
        }
    }

    /// Counts a request that nobody was asked for itself: it waited for the answer to another one. Gives the site where it is counted, the
    /// one where it would be sent; `None` where nobody could be asked.
    pub(crate) fn count(&self, to: &Destination) -> Option<Label> {
        let (mut atlas, now) = (self.atlas(), self.now());
        let (site, _) = atlas.choose(to, now, &[], Lot::Drawn(0)).ok()?;
        let repeats = atlas.repeats;
        atlas.table_mut(&site)?.asked(&to.name, &repeats, now);
        Some(site)
    }

    /// Whether a request that failed at `site` may be asked once more of somebody else; pays for it where the request itself
    /// was counted.
    pub(crate) fn may_search(&self, site: &Label, name: &Name) -> bool {
        let (mut atlas, now) = (self.atlas(), self.now());
        let repeats = atlas.repeats;
        atlas.table_mut(site).is_none_or(|table| table.spend_on_search(name, &repeats, now))
    }

    fn begun(&self, name: &Name, site: Label, choice: Choice, began: Moment, hedge_after: Duration) -> Call {
        let kills = self.0.kills.count.load(Ordering::Acquire);
        let (registry, name, is_router, is_wait) = (self.clone(), name.clone(), false, false);
        let has_ended = AtomicBool::new(false);
        Call { registry, name, site, choice, is_router, began, kills, hedge_after, is_wait, has_ended }
    }

    /// The same for the router of another site, to ask it for `name`; `None` where it has none that can be found.
    pub(crate) async fn call_router(&self, site: &Label, name: &Name) -> Option<Call> {
        let (router, hedge_after) = {
            let known = self.atlas();
            (known.routers.get(site)?.as_str().to_owned(), known.repeats.hedge_max)
        };
        let address = match router.parse() {
            Ok(address) => address,
            Err(_) => tokio::net::lookup_host(router).await.ok()?.next()?,
        };
        // No table has it: what is noted of the call changes nothing.
        let endpoint = "router".parse().expect("letters");
        let choice = Choice { endpoint, address, generation: 0, http2: false, tls: self.0.own.is_some() };
        let mut call = self.begun(name, site.clone(), choice, self.now(), hedge_after);
        call.is_router = true;
        Some(call)
    }

    /// Where other sites' routers are, by the site file.
    pub(crate) fn other_routers(&self) -> Vec<RouterAddress> {
        let known = self.atlas();
        let own = known.atlas.own();
        known.routers.iter().filter(|(site, _)| *site != own).map(|(_, router)| router.clone()).collect()
    }

    /// Whether this router has a certificate to show.
    pub(crate) fn has_certificate(&self) -> bool {
        self.0.own.is_some()
    }

    /// Why an endpoint was not believed, if that was not long ago.
    pub(crate) fn refusal(&self, site: &Label, key: &Key) -> Option<String> {
        self.0.refusals.of(site, key, self.now())
    }

    pub(crate) fn now(&self) -> Moment {
        Moment(self.0.began.elapsed())
    }

    fn atlas(&self) -> MutexGuard<'_, Known> {
        // Nothing under the lock panics half-way: what is there is whole.
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn routers(sites: &Sites) -> BTreeMap<Label, RouterAddress> {
    sites.iter().filter_map(|site| Some((site.name.clone(), site.router.clone()?))).collect()
}

// === impl Known ===

impl Deref for Known {
    type Target = Atlas;

    fn deref(&self) -> &Atlas {
        &self.atlas
    }
}

impl DerefMut for Known {
    fn deref_mut(&mut self) -> &mut Atlas {
        &mut self.atlas
    }
}

// === impl Kills ===

impl Kills {
    fn tell(&self) {
        self.count.fetch_add(1, Ordering::Release);
        self.told.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers;

    #[test]
    fn those_who_waited_for_an_answer_to_another_request_pay_for_their_searches_like_everybody() {
        let (site, name): (Label, Name) = ("local".parse().unwrap(), "media".parse().unwrap());
        let repeats = Limits { burst: 10, repeat_percent: 20, ..Limits::default() };
        let registry = Registry::new(site.clone(), &peers::sites(None, &site).unwrap(), 16, repeats, None);
        let to = Destination::from(name.clone());
        assert_eq!(registry.count(&to), None, "there is nobody to search");
        let lease = Lease::new(([127, 0, 0, 1], 9).into(), 1, Duration::from_secs(60));
        registry.register(&name, &"e1".parse().unwrap(), lease).unwrap();
        let paid = (0..1000).filter(|_| {
            let counted = registry.count(&to).unwrap();
            registry.may_search(&counted, &name)
        });
        let (paid, spent_s) = (paid.count(), registry.now().0.as_secs_f64());
        // A fifth of the requests, the burst, and the burst once more in ten seconds.
        assert!(paid >= 190 && paid as f64 <= 200.0 + 10.0 + spent_s + 1.0, "{paid} of 1000");
    }
}
