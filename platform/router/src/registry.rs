//! The routing tables that all requests share: a clock and a lock around [`Atlas`], which decides.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use flame_api::peers::Place;
use flame_api::router::{Endpoint, Registration};
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
    began: Instant,
}

/// A request on its way to an endpoint. Dropping it says that it has ended.
#[derive(Debug)]
pub(crate) struct Call {
    registry: Registry,
    name: Name,
    pub(crate) site: Label,
    pub(crate) choice: Choice,
}

// === impl Registry ===

impl Registry {
    /// For a router at `site`, and at most `limit` endpoints of each site.
    pub(crate) fn new(site: Label, sites: &Sites, limit: usize) -> Self {
        let atlas = Arc::new(Mutex::new(Atlas::new(site, sites, limit)));
        let routers = sites.iter().filter_map(|site| Some((site.name.clone(), site.router.clone()?)));
        Self { atlas, changed: Arc::default(), routers: Arc::new(routers.collect()), began: Instant::now() }
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
            &Held { name, endpoint: id, address: lease.address, generation: lease.generation, expires_in: ttl },
        ))
    }

    pub(crate) fn remove(&self, name: &Name, id: &EndpointId) -> bool {
        let removed = self.atlas().home_mut().remove(name, id, self.now());
        if removed {
            self.changed.notify_one();
        }
        removed
    }

    /// Endpoints of all sites.
    pub(crate) fn endpoints(&self) -> Vec<Endpoint> {
        self.atlas().held(self.now()).map(|(site, held)| endpoint(site, &held)).collect()
    }

    /// What is registered at the own site: what this router tells its peers.
    pub(crate) fn owned(&self) -> BTreeMap<Key, Place> {
        let atlas = self.atlas();
        let held = atlas.home().held(self.now());
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
        let mut atlas = self.atlas();
        let (site, choice) = atlas.choose(to, self.now(), excluded, draw)?;
        if let Some(table) = atlas.table_mut(&site) {
            table.opened(&to.name, &choice);
        }
        drop(atlas);
        Ok(Call { registry: self.clone(), name: to.name.clone(), site, choice })
    }

    /// The same for one endpoint, if it is still there.
    pub(crate) fn call_at(&self, site: &Label, key: &Key) -> Option<Call> {
        let mut atlas = self.atlas();
        let choice = atlas.pick(site, key, self.now())?;
        atlas.table_mut(site)?.opened(&key.name, &choice);
        drop(atlas);
        Some(Call { registry: self.clone(), name: key.name.clone(), site: site.clone(), choice })
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
        Some(Call { registry: self.clone(), name: name.clone(), site: site.clone(), choice })
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
    pub(crate) fn succeeded(&self) {
        self.table(|table| table.succeeded(&self.name, &self.choice));
    }

    pub(crate) fn failed(&self) {
        let now = self.registry.now();
        self.table(|table| table.failed(&self.name, &self.choice, now));
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
        self.table(|table| table.closed(&self.name, &self.choice));
    }
}
