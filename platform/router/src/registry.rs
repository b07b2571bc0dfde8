//! The routing table that all requests share: a clock and a lock around [`Table`], which decides.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use flame_api::router::{Endpoint, Registration};
use flame_naming::table::Held;
use flame_naming::{Choice, Destination, EndpointId, Label, Lease, Moment, Name, NoChoice, Refused, Table};

/// Which endpoints stand behind which names, now. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    table: Arc<Mutex<Table>>,
    began: Instant,
}

/// A request on its way to an endpoint. Dropping it says that it has ended.
#[derive(Debug)]
pub(crate) struct Call {
    registry: Registry,
    name: Name,
    pub(crate) choice: Choice,
}

// === impl Registry ===

impl Registry {
    pub(crate) fn new(site: Label, limit: usize) -> Self {
        Self { table: Arc::new(Mutex::new(Table::new(site, limit))), began: Instant::now() }
    }

    pub(crate) fn register(
        &self,
        name: &Name,
        id: &EndpointId,
        registration: &Registration,
    ) -> Result<Endpoint, Refused> {
        let ttl = Duration::from_millis(registration.ttl_ms);
        let lease = Lease { address: registration.address, generation: registration.generation, ttl };
        if self.table().register(name, id, lease, self.now())? {
            tracing::info!(%name, endpoint = %id, address = %lease.address, "registered");
        }
        Ok(endpoint(&Held {
            name,
            endpoint: id,
            address: lease.address,
            generation: lease.generation,
            expires_in: ttl,
        }))
    }

    pub(crate) fn remove(&self, name: &Name, id: &EndpointId) -> bool {
        self.table().remove(name, id, self.now())
    }

    pub(crate) fn endpoints(&self) -> Vec<Endpoint> {
        self.table().held(self.now()).map(|held| endpoint(&held)).collect()
    }

    /// Chooses an endpoint for a request, and counts the request as open there.
    pub(crate) fn call(&self, to: &Destination, excluded: &[EndpointId]) -> Result<Call, NoChoice> {
        let draw = rand::random();
        let mut table = self.table();
        let choice = table.choose(to, self.now(), excluded, draw)?;
        table.opened(&to.name, &choice);
        drop(table);
        Ok(Call { registry: self.clone(), name: to.name.clone(), choice })
    }

    fn now(&self) -> Moment {
        Moment(self.began.elapsed())
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing under the lock panics half-way: what is there is whole.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn endpoint(held: &Held<'_>) -> Endpoint {
    let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    Endpoint {
        name: held.name.to_string(),
        endpoint: held.endpoint.to_string(),
        address: held.address,
        generation: held.generation,
        expires_in_ms: ms(held.expires_in),
        router_time_unix_ms: ms(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()),
    }
}

// === impl Call ===

impl Call {
    pub(crate) fn succeeded(&self) {
        self.registry.table().succeeded(&self.name, &self.choice);
    }

    pub(crate) fn failed(&self) {
        self.registry.table().failed(&self.name, &self.choice, self.registry.now());
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.registry.table().closed(&self.name, &self.choice);
    }
}
