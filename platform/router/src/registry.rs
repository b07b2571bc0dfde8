//! The routing tables that all requests share: a clock and a lock around [`Atlas`], which decides.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use flame_api::peers::Place;
use flame_api::router::{Endpoint, Registration};
use flame_naming::health::Health;
use flame_naming::hedge::Limits;
use flame_naming::peers::{Changes, Key};
use flame_naming::search::Surrogate;
use flame_naming::site::{Atlas, RouterAddress, Sites};
use flame_naming::table::Held;
use flame_naming::{Choice, Destination, EndpointId, Label, Lease, Moment, Name, NoChoice, Refused, Table};
use tokio::sync::Notify;

/// Which endpoints stand behind which names, now. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    atlas: Arc<Mutex<Atlas>>,
    changed: Arc<Notify>,
    routers: Arc<BTreeMap<Label, RouterAddress>>,
    repeats: Limits,
    began: Instant,
}

/// A request on its way to an endpoint. Dropping it says that it has ended.
#[derive(Debug)]
pub(crate) struct Call {
    registry: Registry,
    name: Name,
    pub(crate) site: Label,
    pub(crate) choice: Choice,
    began: Moment,
    /// After how long its answer is late.
    pub(crate) hedge_after: Duration,
}

// === impl Registry ===

impl Registry {
    /// For a router at `site`, and at most `limit` endpoints of each site.
    pub(crate) fn new(site: Label, sites: &Sites, limit: usize, repeats: Limits) -> Self {
        let atlas = Arc::new(Mutex::new(Atlas::new(site, sites, limit)));
        let routers = sites.iter().filter_map(|site| Some((site.name.clone(), site.router.clone()?)));
        Self { atlas, changed: Arc::default(), routers: Arc::new(routers.collect()), repeats, began: Instant::now() }
    }

    pub(crate) fn register(
        &self,
        name: &Name,
        id: &EndpointId,
        registration: &Registration,
    ) -> Result<Endpoint, Refused> {
        let ttl = Duration::from_millis(registration.ttl_ms);
        let lease = Lease { address: registration.address, generation: registration.generation, ttl };
        if self.atlas().home_mut().register(name, id, lease, self.now())? {
            self.changed.notify_one();
            tracing::info!(%name, endpoint = %id, address = %lease.address, "registered");
        }
        let site = self.site();
        Ok(endpoint(
            &site,
            &Held {
                name,
                endpoint: id,
                address: lease.address,
                generation: lease.generation,
                expires_in: ttl,
                is_draining: false,
                health: &Health::default(),
            },
        ))
    }

    pub(crate) fn remove(&self, name: &Name, id: &EndpointId) -> bool {
        let removed = self.atlas().home_mut().remove(name, id, self.now());
        if removed {
            self.changed.notify_one();
        }
        removed
    }

    /// Lets an endpoint of the own site get no new requests, or get them again; `false` where it is not there.
    pub(crate) fn drain(&self, name: &Name, id: &EndpointId, is_draining: bool) -> bool {
        let is_there = self.atlas().home_mut().drain(name, id, is_draining, self.now());
        if is_there {
            self.changed.notify_one();
            tracing::info!(%name, endpoint = %id, is_draining, "told whether it gets requests");
        }
        is_there
    }

    /// Endpoints of all sites.
    pub(crate) fn endpoints(&self) -> Vec<Endpoint> {
        self.atlas().held(self.now()).map(|(site, held)| endpoint(site, &held)).collect()
    }

    /// Looks at all endpoints, with their sites.
    pub(crate) fn look<T>(&self, mut at: impl FnMut(&Label, &Held<'_>, Moment) -> Option<T>) -> Vec<T> {
        let now = self.now();
        self.atlas().held(now).filter_map(|(site, held)| at(site, &held, now)).collect()
    }

    /// What takes requests at the own site: what this router tells its peers.
    pub(crate) fn owned(&self) -> BTreeMap<Key, Place> {
        let atlas = self.atlas();
        let held = atlas.home().held(self.now()).filter(|held| !held.is_draining);
        held.map(|held| {
            let key = Key { name: held.name.clone(), endpoint: held.endpoint.clone() };
            (key, Place { address: held.address, generation: held.generation })
        })
        .collect()
    }

    /// Waits until something changes at the own site. Leases that end are not noticed: look now and then.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Takes what is new, different or gone at another site, or is written down.
    pub(crate) fn learn(&self, site: &Label, changes: Changes<Place>) {
        let lease = |place: Place| Lease { address: place.address, generation: place.generation, ttl: Duration::MAX };
        let learned = self.atlas().learn(site, changes, lease, self.now());
        if let Err(reason) = learned {
            tracing::warn!(%site, %reason, "not all of its endpoints are known");
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

    /// Notes whether the router of `site` is heard.
    pub(crate) fn router_is_heard(&self, site: &Label, is_heard: bool) {
        self.atlas().router_is_heard(site, is_heard);
    }

    /// Who can be asked for `name` in a search.
    pub(crate) fn surrogates(&self, name: &Name) -> Vec<Surrogate> {
        self.atlas().surrogates(name, self.now())
    }

    /// Chooses an endpoint for a request, and counts the request as open there.
    pub(crate) fn call(&self, to: &Destination, excluded: &[(Label, EndpointId)]) -> Result<Call, NoChoice> {
        let draw = rand::random();
        let (mut atlas, now) = (self.atlas(), self.now());
        let (site, choice) = atlas.choose(to, now, excluded, draw)?;
        let mut hedge_after = self.repeats.hedge_max;
        if let Some(table) = atlas.table_mut(&site) {
            table.note(&to.name, &choice, Health::opened);
            if excluded.is_empty() {
                hedge_after = table.asked(&to.name, &self.repeats, now);
            }
        }
        drop(atlas);
        Ok(Call { registry: self.clone(), name: to.name.clone(), site, choice, began: now, hedge_after })
    }

    /// A second endpoint for a request whose answer is late: none of `excluded`, none that rests, and none where too many
    /// requests were repeated.
    pub(crate) fn hedge(&self, to: &Destination, late: &Call, excluded: &[(Label, EndpointId)]) -> Option<Call> {
        let mut excluded = excluded.to_vec();
        excluded.push((late.site.clone(), late.choice.endpoint.clone()));
        let (mut atlas, now, draw) = (self.atlas(), self.now(), rand::random());
        let (site, choice) = atlas.choose(to, now, &excluded, draw).ok()?;
        let table = atlas.table_mut(&site)?;
        if table.rests(&to.name, &choice, now) || !table.spend(&to.name, &self.repeats, now) {
            return None;
        }
        table.note(&to.name, &choice, Health::opened);
        drop(atlas);
        let (name, hedge_after) = (to.name.clone(), self.repeats.hedge_max);
        Some(Call { registry: self.clone(), name, site, choice, began: now, hedge_after })
    }

    /// The same for one endpoint, if it is still there.
    pub(crate) fn call_at(&self, site: &Label, key: &Key) -> Option<Call> {
        let (mut atlas, now) = (self.atlas(), self.now());
        let choice = atlas.pick(site, key, now)?;
        atlas.table_mut(site)?.note(&key.name, &choice, Health::opened);
        drop(atlas);
        let (name, hedge_after) = (key.name.clone(), self.repeats.hedge_max);
        Some(Call { registry: self.clone(), name, site: site.clone(), choice, began: now, hedge_after })
    }

    /// The same for the router of another site, to ask it for `name`; `None` where it has none that can be found.
    pub(crate) async fn call_router(&self, site: &Label, name: &Name) -> Option<Call> {
        let router = self.routers.get(site)?.as_str();
        let address = match router.parse() {
            Ok(address) => address,
            Err(_) => tokio::net::lookup_host(router).await.ok()?.next()?,
        };
        // No table has it: what is noted of the call changes nothing.
        let endpoint = "router".parse().expect("letters");
        let choice = Choice { endpoint, address, generation: 0 };
        let (began, hedge_after) = (self.now(), self.repeats.hedge_max);
        Some(Call { registry: self.clone(), name: name.clone(), site: site.clone(), choice, began, hedge_after })
    }

    pub(crate) fn now(&self) -> Moment {
        Moment(self.began.elapsed())
    }

    fn atlas(&self) -> MutexGuard<'_, Atlas> {
        // Nothing under the lock panics half-way: what is there is whole.
        self.atlas.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn endpoint(site: &Label, held: &Held<'_>) -> Endpoint {
    let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    Endpoint {
        name: held.name.to_string(),
        endpoint: held.endpoint.to_string(),
        site: site.to_string(),
        address: held.address,
        generation: held.generation,
        expires_in_ms: ms(held.expires_in),
        router_time_unix_ms: ms(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()),
    }
}

// === impl Call ===

impl Call {
    /// The endpoint is there; how long it took says nothing.
    pub(crate) fn succeeded(&self) {
        self.table(|table| table.note(&self.name, &self.choice, Health::revive));
    }

    /// The endpoint answered just now.
    pub(crate) fn answered(&self) {
        let (took, now) = (self.waited(), self.registry.now());
        self.table(|table| table.answered(&self.name, &self.choice, took, now));
    }

    /// The endpoint kept a probe waiting, or did not.
    pub(crate) fn probed(&self, is_back: bool) {
        let (took, now) = (self.waited(), self.registry.now());
        let note = |health: &mut Health| if is_back { health.answered(took, now) } else { health.hangs() };
        self.table(|table| table.note(&self.name, &self.choice, note));
    }

    /// The endpoint could not be reached, or broke off.
    pub(crate) fn failed(&self) {
        let now = self.registry.now();
        self.table(|table| table.note(&self.name, &self.choice, |health| health.failed(now)));
    }

    /// Another one answered what this one did not.
    pub(crate) fn overtaken(&self) {
        let (waited, now) = (self.waited(), self.registry.now());
        self.table(|table| table.note(&self.name, &self.choice, |health| health.overtaken(waited, now)));
    }

    /// Whether the request may be sent there as a repeat; pays for it.
    pub(crate) fn may_repeat(&self) -> bool {
        let (now, repeats) = (self.registry.now(), &self.registry.repeats);
        let mut atlas = self.registry.atlas();
        atlas.table_mut(&self.site).is_none_or(|table| table.spend(&self.name, repeats, now))
    }

    fn waited(&self) -> Duration {
        self.registry.now().0.saturating_sub(self.began.0)
    }

    /// Which endpoint it goes to.
    pub(crate) fn key(&self) -> Key {
        Key { name: self.name.clone(), endpoint: self.choice.endpoint.clone() }
    }

    fn table(&self, note: impl FnOnce(&mut Table)) {
        if let Some(table) = self.registry.atlas().table_mut(&self.site) {
            note(table);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.table(|table| table.note(&self.name, &self.choice, Health::closed));
    }
}
