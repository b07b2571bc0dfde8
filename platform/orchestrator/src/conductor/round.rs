//! One look at a deployment: what is seen of its endpoints, and the next step of each.

use flame_api::router::{EndpointState, Registration, Route};
use flame_service_host::problem::chain;
use tokio::net::TcpStream;

use super::{ConductError, Conductor, PROBE_WAIT, now_ms};
use crate::deployment::{Deployment, Endpoint, Key};
use crate::lifecycle::{self, Action, Stage, failures_after, reconcile};
use crate::policy;
use crate::process::Target;

/// Life of the registration of an endpoint that does not register itself.
const LEASE_MS: u64 = 30_000;
/// After this part of it, it is renewed.
const RENEW_MS: u64 = LEASE_MS / 4;

/// Why a step was not done. It is tried again at the next look.
type StepError = Box<dyn std::error::Error + Send + Sync>;

// === impl Conductor ===

impl Conductor {
    /// Looks at a deployment, and takes the next step of each of its endpoints.
    pub(super) async fn round(&self, key: &Key, routes: &[Route]) {
        let _changing = self.0.changing.lock().await;
        if let Err(error) = self.rest(key).await {
            tracing::warn!(error = chain(&error), sfc = key.1, sfci = key.2, "a policy was not followed");
        }
        let Some(mut one) = self.0.kept().get(key).cloned() else { return };
        let mut seen = Vec::new();
        for endpoint in &mut one.record.endpoints {
            seen.push(self.look(endpoint, routes).await);
        }
        let (terms, now) = (self.0.lifecycle.terms(), now_ms());
        for (at, action, reason) in reconcile(&seen, now, terms) {
            let failures = failures_after(&seen[at], action, now, terms);
            if let Err(error) = self.step(key, &mut one, at, action, failures, routes).await {
                let function = &one.record.endpoints[at].function;
                let error = chain(&*error);
                tracing::warn!(error, function, action = action.as_str(), "a step was not done; it is tried again");
                continue;
            }
            let function = one.record.endpoints[at].function.clone();
            self.note(key, &function, action.as_str(), &reason).await;
        }
        self.renew(&one, routes).await;
        if let Err(error) = self.sweep(key, one).await {
            tracing::warn!(error = chain(&error), sfc = key.1, sfci = key.2, "what is gone was not forgotten");
        }
    }

    /// Follows policies whose cool-down is over.
    async fn rest(&self, key: &Key) -> Result<(), ConductError> {
        let found = self.0.kept().get(key).cloned();
        let Some(one) = found else { return Ok(()) };
        let waiting = one.record.policies.iter().filter(|(_, standing)| standing.waiting.is_some());
        let waiting: Vec<String> = waiting.map(|(id, _)| id.clone()).collect();
        for id in waiting {
            let Some(mut one) = self.0.kept().get(key).cloned() else { return Ok(()) };
            let Some(standing) = one.record.policies.get_mut(&id) else { continue };
            if let Some(verdict) = policy::rested(&one.template, standing, &id, now_ms()) {
                self.follow(key, one, &id, verdict).await?;
            }
        }
        Ok(())
    }

    /// What can be seen of an endpoint.
    async fn look(&self, endpoint: &mut Endpoint, routes: &[Route]) -> lifecycle::Endpoint {
        if endpoint.stage == Stage::Booting && endpoint.process.is_none() {
            // A crash came between the start and its note.
            endpoint.process = self.0.target.find(endpoint);
        }
        let is_alive = endpoint.process.is_some_and(Target::is_alive);
        let own = || registrations(endpoint, routes);
        let is_ready = match endpoint.stage {
            Stage::Booting if is_alive && endpoint.spec.registers_itself => own().count() == endpoint.spec.names.len(),
            Stage::Booting if is_alive => self.answers(endpoint).await,
            _ => is_alive,
        };
        let open = own().map(|(_, route)| route.open).sum();
        if is_alive {
            self.0.target.trim_log(endpoint);
        }
        let silent_ms = if is_alive { self.silent_ms(endpoint) } else { 0 };
        endpoint.seen(is_alive, is_ready, open, silent_ms)
    }

    async fn answers(&self, endpoint: &Endpoint) -> bool {
        let Some(address) = endpoint.address() else { return false };
        match &endpoint.spec.ready_path {
            None => tokio::time::timeout(PROBE_WAIT, TcpStream::connect(address)).await.is_ok_and(|it| it.is_ok()),
            Some(path) => {
                let url = format!("http://{address}/{}", path.trim_start_matches('/'));
                self.0.http.get(url).send().await.is_ok_and(|answer| answer.status().is_success())
            }
        }
    }

    /// Takes one step, and saves where that led.
    async fn step(
        &self,
        key: &Key,
        one: &mut Deployment,
        at: usize,
        action: Action,
        failures: u32,
        routes: &[Route],
    ) -> Result<(), StepError> {
        let mut endpoint = one.record.endpoints[at].clone();
        match action {
            Action::Place => self.0.target.place(&endpoint)?,
            Action::Unplace => self.0.target.unplace(&endpoint)?,
            Action::Boot => {
                endpoint.port = Some(Target::free_port()?);
                endpoint.generation = now_ms().max(endpoint.generation + 1);
                endpoint.process = None;
                self.commit(key, one, at, &mut endpoint, action, failures).await?;
                match self.0.target.boot(&endpoint, key) {
                    Ok(process) => endpoint.process = Some(process),
                    // It is not alive then, which is looked at as every other end.
                    Err(error) => {
                        let function = &endpoint.function;
                        tracing::warn!(error = chain(&error), function, "an endpoint was not started");
                    }
                }
            }
            Action::Rise => {
                if !endpoint.spec.registers_itself {
                    self.register(&endpoint, EndpointState::Booted).await?;
                }
            }
            Action::Connect => self.tell_router(&endpoint, routes, Action::Connect).await?,
            Action::Drain => self.tell_router(&endpoint, routes, Action::Drain).await?,
            Action::Rest | Action::Settle => {}
            Action::Stop | Action::Kill => {
                // Who is told to end, and who hangs: nobody is to be sent there any more.
                if action == Action::Stop || endpoint.stage.runs() {
                    self.leave(&endpoint, routes).await;
                }
                if let Some(process) = endpoint.process {
                    Target::end(process, action == Action::Kill);
                }
            }
            Action::Bury => self.leave(&endpoint, routes).await,
        }
        if matches!(action, Action::Settle | Action::Bury) {
            endpoint.process = None;
        }
        self.commit(key, one, at, &mut endpoint, action, failures).await
    }

    async fn commit(
        &self,
        key: &Key,
        one: &mut Deployment,
        at: usize,
        endpoint: &mut Endpoint,
        action: Action,
        failures: u32,
    ) -> Result<(), StepError> {
        (endpoint.stage, endpoint.since_ms, endpoint.failures) = (action.leads_to(), now_ms(), failures);
        one.record.endpoints[at] = endpoint.clone();
        self.keep(key, one.clone()).await.map_err(Into::into)
    }

    /// Registers an endpoint that does not do it itself.
    async fn register(&self, endpoint: &Endpoint, state: EndpointState) -> Result<(), StepError> {
        let (Some(client), Some(address)) = (&self.0.client, endpoint.address()) else {
            return Err("there is no router to register it with".into());
        };
        for name in &endpoint.spec.names {
            let body = Registration { state, ..Registration::new(address, endpoint.generation, LEASE_MS) };
            client.register(name, &endpoint.id, &body).await?;
        }
        self.renewed(&endpoint.id, now_ms());
        Ok(())
    }

    fn renewed(&self, id: &str, at_ms: u64) {
        let mut renewed = self.0.renewed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        renewed.insert(id.to_owned(), at_ms);
    }

    /// Lets the router send requests to an endpoint, or send none.
    async fn tell_router(&self, endpoint: &Endpoint, routes: &[Route], action: Action) -> Result<(), StepError> {
        let Some(client) = &self.0.client else { return Err("there is no router".into()) };
        let mut told = 0;
        for (name, id) in self.behind(endpoint, routes) {
            let known = match action {
                Action::Connect => client.connect(&name, &id).await?,
                _ => client.drain(&name, &id).await?,
            };
            told += usize::from(known);
        }
        if told < endpoint.spec.names.len() && action == Action::Connect {
            return Err("the router does not know it yet".into());
        }
        Ok(())
    }

    /// Takes an endpoint's names away from it: nobody is sent there any more.
    async fn leave(&self, endpoint: &Endpoint, routes: &[Route]) {
        let Some(client) = &self.0.client else { return };
        for (name, id) in self.behind(endpoint, routes) {
            if let Err(error) = client.deregister(&name, &id).await {
                tracing::debug!(error = chain(&error), name, "it leaves the name when its lease ends");
            }
        }
        self.0.renewed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&endpoint.id);
    }

    /// Its names, and what the router calls it behind each.
    fn behind(&self, endpoint: &Endpoint, routes: &[Route]) -> Vec<(String, String)> {
        if endpoint.spec.registers_itself {
            return registrations(endpoint, routes)
                .map(|(name, route)| (name.to_owned(), route.endpoint.clone()))
                .collect();
        }
        endpoint.spec.names.iter().map(|name| (name.clone(), endpoint.id.clone())).collect()
    }

    /// Renews registrations of those who do not do it themselves, and takes those who do back in where the router forgot.
    async fn renew(&self, one: &Deployment, routes: &[Route]) {
        let now = now_ms();
        for endpoint in &one.record.endpoints {
            let state = match endpoint.stage {
                Stage::Booted => EndpointState::Booted,
                Stage::Connected => EndpointState::Connected,
                Stage::Draining => EndpointState::Draining,
                _ => continue,
            };
            if endpoint.spec.registers_itself {
                let forgot = registrations(endpoint, routes)
                    .any(|(_, route)| route.state == flame_api::router::RouteState::Booted);
                let settled = now.saturating_sub(endpoint.since_ms) > RENEW_MS;
                if endpoint.stage == Stage::Connected && forgot && settled {
                    let told = self.tell_router(endpoint, routes, Action::Connect).await;
                    if let Err(error) = told {
                        tracing::warn!(
                            error = chain(&*error),
                            function = endpoint.function,
                            "it is not connected again yet"
                        );
                    }
                }
                continue;
            }
            let last = {
                let renewed = self.0.renewed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                renewed.get(&endpoint.id).copied()
            };
            if last.is_none_or(|last| now.saturating_sub(last) >= RENEW_MS)
                && let Err(error) = self.register(endpoint, state).await
            {
                tracing::warn!(
                    error = chain(&*error),
                    function = endpoint.function,
                    "a registration was not renewed yet"
                );
            }
        }
    }

    /// Forgets endpoints that are gone, and the deployment once all are that leaves.
    async fn sweep(&self, key: &Key, mut one: Deployment) -> Result<(), ConductError> {
        let before = one.record.endpoints.len();
        one.record.endpoints.retain(|endpoint| !(endpoint.is_retired && endpoint.stage == Stage::Unplaced));
        if one.record.is_leaving && one.record.endpoints.is_empty() {
            if one.record.request.alerts.is_some()
                && let Some(client) = &self.0.client
            {
                let removed = client.for_tenant(&key.0).remove_alerts(&key.1, &key.2).await;
                removed.map_err(|error| ConductError::Alerts(chain(&error)))?;
            }
            self.0.store.remove(key).await?;
            self.0.kept().remove(key);
            self.note(key, "template", "forget", "all its endpoints are gone").await;
            return Ok(());
        }
        if one.record.endpoints.len() < before {
            self.keep(key, one).await?;
        }
        Ok(())
    }
}

/// What the router knows of an endpoint: its names, and how each is.
fn registrations<'a>(endpoint: &'a Endpoint, routes: &'a [Route]) -> impl Iterator<Item = (&'a str, &'a Route)> {
    let address = endpoint.address();
    endpoint.spec.names.iter().filter_map(move |name| {
        let found = routes.iter().find(|route| {
            let is_named = route.name == *name;
            let is_own = if endpoint.spec.registers_itself {
                Some(route.address) == address
            } else {
                route.endpoint == endpoint.id
            };
            is_named && is_own
        });
        Some((name.as_str(), found?))
    })
}
