//! Registrations of endpoints that do not register themselves: renewed beside the loop that takes steps, so that whatever holds that
//! up lets none of them end. It changes no endpoint's state.

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use flame_api::router::{EndpointState, Registration};
use flame_naming::Name;
use flame_service_host::problem::chain;
use futures_util::{StreamExt, stream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Conductor;
use super::round::StepError;
use crate::deployment::{Deployment, Endpoint, Key};
use crate::lifecycle::Stage;

/// Life of the registration of an endpoint that does not register itself.
const LEASE: Duration = Duration::from_secs(30);
/// After a quarter of it, it is renewed.
pub(super) const RENEW: Duration = Duration::from_millis(7_500);
/// How often is looked at what is to be renewed.
const LOOK: Duration = Duration::from_secs(1);

/// Leases by endpoint: of all that may stand behind their names. Whoever is taken out of here is not renewed any more.
pub(super) type Leases = BTreeMap<String, Lease>;

/// A registration that is held.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lease {
    /// The start of the endpoint that it is for.
    generation: u64,
    /// When it was renewed last, by this orchestrator.
    renewed: Option<Instant>,
    /// Whether the last try failed, which is logged once.
    fails: bool,
}

/// The leases that are held of what was deployed before.
pub(super) fn held(kept: &BTreeMap<Key, Deployment>) -> Leases {
    let endpoints = kept.values().flat_map(|one| &one.record.endpoints);
    let held = endpoints.filter(|one| !one.spec.registers_itself && state(one).is_some());
    held.map(|one| (one.id.clone(), Lease::of(one))).collect()
}

/// As what an endpoint is registered.
fn state(endpoint: &Endpoint) -> Option<EndpointState> {
    match endpoint.stage {
        Stage::Booted => Some(EndpointState::Booted),
        Stage::Connected => Some(EndpointState::Connected),
        Stage::Draining => Some(EndpointState::Draining),
        Stage::Unplaced | Stage::Placed | Stage::Booting | Stage::Stopping => None,
    }
}

// === impl Lease ===

impl Lease {
    fn of(endpoint: &Endpoint) -> Self {
        Self { generation: endpoint.generation, renewed: None, fails: false }
    }
}

// === impl Conductor ===

impl Conductor {
    /// Renews registrations, until `stop`.
    pub async fn renew(self, stop: CancellationToken) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(looks.tick()).await.is_some() {
            let due = self.due().into_iter().map(|(endpoint, state)| self.renew_one(endpoint, state));
            let renewed = stream::iter(due.collect::<Vec<_>>()).buffer_unordered(self.0.lifecycle.at_once.max(1));
            if stop.run_until_cancelled(renewed.collect::<()>()).await.is_none() {
                break;
            }
        }
    }

    fn due(&self) -> Vec<(Endpoint, EndpointState)> {
        let kept = self.0.kept();
        let leases = self.leases();
        let is_due = |endpoint: &&Endpoint| {
            let lease = leases.get(&endpoint.id).filter(|lease| lease.generation == endpoint.generation);
            lease.is_some_and(|lease| lease.renewed.is_none_or(|at| at.elapsed() >= RENEW))
        };
        let endpoints = kept.values().flat_map(|one| &one.record.endpoints).filter(is_due);
        endpoints.filter_map(|endpoint| Some((endpoint.clone(), state(endpoint)?))).collect()
    }

    async fn renew_one(&self, endpoint: Endpoint, state: EndpointState) {
        let renewed = self.register(&endpoint, state).await;
        let had_failed = {
            let mut leases = self.leases();
            let lease = leases.get_mut(&endpoint.id).filter(|lease| lease.generation == endpoint.generation);
            lease.map(|lease| std::mem::replace(&mut lease.fails, renewed.is_err()))
        };
        match (had_failed, renewed) {
            // It left meanwhile, and this came after.
            (None, _) => self.deregister((&endpoint.site, &endpoint.id), &endpoint.spec.names).await,
            (Some(false), Err(error)) => {
                let (error, function) = (chain(&*error), endpoint.function);
                tracing::warn!(error, function, "a registration was not renewed; it is tried again");
            }
            (Some(_), _) => {}
        }
    }

    /// Registers an endpoint that has just come up, and renews that from now on.
    pub(super) async fn enter(&self, endpoint: &Endpoint) -> Result<(), StepError> {
        self.leases().insert(endpoint.id.clone(), Lease::of(endpoint));
        self.register(endpoint, EndpointState::Booted).await
    }

    /// Renews the registration of an endpoint no more.
    pub(super) fn let_go(&self, id: &str) {
        self.leases().remove(id);
    }

    async fn register(&self, endpoint: &Endpoint, state: EndpointState) -> Result<(), StepError> {
        let (Some(client), Some(address)) = (self.0.routers.of(&endpoint.site), endpoint.address()) else {
            return Err("there is no router to register it with".into());
        };
        let asked = Instant::now();
        let ttl_ms = u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX);
        for name in &endpoint.spec.names {
            let body = Registration { state, ..Registration::new(address, endpoint.generation, ttl_ms) };
            // Behind names of a tenant stands who acts for it.
            let owner = name.parse::<Name>().map(|name| client.for_tenant(name.tenant().as_str()));
            owner.as_ref().unwrap_or(client).register(name, &endpoint.id, &body).await?;
        }
        if let Some(lease) = self.leases().get_mut(&endpoint.id) {
            lease.renewed = Some(asked);
        }
        Ok(())
    }

    /// Takes names from an endpoint of a site.
    pub(super) async fn deregister(&self, (site, id): (&str, &str), names: &[String]) {
        let Some(client) = self.0.routers.of(site) else { return };
        for name in names {
            if let Err(error) = client.deregister(name, id).await {
                tracing::debug!(error = chain(&error), name, "it leaves the name when its lease ends");
            }
        }
    }

    fn leases(&self) -> MutexGuard<'_, Leases> {
        self.0.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
