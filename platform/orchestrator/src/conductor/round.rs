//! One look at a deployment: what is seen of its endpoints, and the next step of each.

use flame_api::router::{Route, RouteState};
use flame_service_host::problem::chain;

use super::leases::RENEW;
use super::probes::Ready;
use super::{ConductError, Conductor};
use crate::deployment::{Deployment, Desired, Endpoint, Key, own_name};
use crate::lifecycle::{self, Action, Stage, failures_after, reconcile};
use crate::policy;
use crate::process::Target;

/// How the problem of an endpoint begins that could not be started.
const NOT_STARTED: &str = "it was not started";

/// Why a step was not done. It is tried again after a rest.
pub(super) type StepError = Box<dyn std::error::Error + Send + Sync>;

// === impl Conductor ===

impl Conductor {
    /// Looks at a deployment, and takes the next step of each of its endpoints.
    pub(super) async fn round(&self, key: &Key, routes: &[Route], ready: &Ready) {
        let _changing = self.0.changing.lock().await;
        if let Err(error) = self.rest(key).await {
            tracing::warn!(error = chain(&error), sfc = key.1, sfci = key.2, "a policy was not followed");
        }
        let Some(mut one) = self.0.kept().get(key).cloned() else { return };
        let mut seen = Vec::new();
        for endpoint in &mut one.record.endpoints {
            seen.push(self.look(endpoint, routes, ready));
        }
        let (terms, now) = (self.0.lifecycle.terms(), self.now_ms());
        for (at, action, reason) in reconcile(&seen, now, terms) {
            let failures = failures_after(&seen[at], action, now, terms);
            let reason = self.whole_reason(&mut one.record.endpoints[at], action, reason);
            if let Err(error) = self.step(key, &mut one, at, action, failures, routes).await {
                self.failed(key, &mut one, at, action, &chain(&*error)).await;
                continue;
            }
            let function = one.record.endpoints[at].function.clone();
            self.note(key, &function, action.as_str(), &reason).await;
        }
        self.take_back(&one, routes).await;
        self.open_own(key, &one, routes).await;
        if let Err(error) = self.sweep(key, one).await {
            tracing::warn!(error = chain(&error), sfc = key.1, sfci = key.2, "what is gone was not forgotten");
        }
    }

    /// Why something happens to an endpoint, with what is known of how it failed, which is kept until something is well again.
    fn whole_reason(&self, endpoint: &mut Endpoint, action: Action, reason: String) -> String {
        let reason = match (action, endpoint.process, &endpoint.problem) {
            (Action::Bury, None, Some(problem)) if problem.starts_with(NOT_STARTED) => problem.clone(),
            (Action::Bury, Some(_), _) => match self.0.target.ended(endpoint) {
                Some(status) => format!("{reason} ({status})"),
                None => reason,
            },
            _ => reason,
        };
        let ends = matches!(action, Action::Bury | Action::Stop | Action::Kill);
        if ends && endpoint.stage.runs() && endpoint.desired >= Desired::Booted {
            endpoint.problem = Some(reason.clone());
        }
        reason
    }

    /// Notes that a step was not done, once as long as the reason is the same, and lets it rest.
    async fn failed(&self, key: &Key, one: &mut Deployment, at: usize, action: Action, error: &str) {
        // What was saved last is what is: a step may have come half the way.
        let id = one.record.endpoints[at].id.clone();
        let saved =
            self.0.kept().get(key).and_then(|kept| kept.record.endpoints.iter().find(|one| one.id == id).cloned());
        let Some(mut endpoint) = saved else { return };
        let problem = format!("it could not be done ({}): {error}", action.as_str());
        let is_new = endpoint.problem.as_ref() != Some(&problem);
        endpoint.failures = endpoint.failures.saturating_add(1);
        (endpoint.tried, endpoint.problem) = (Some((action, self.now_ms())), Some(problem.clone()));
        let function = endpoint.function.clone();
        one.record.endpoints[at] = endpoint;
        if is_new {
            tracing::warn!(error, function, action = action.as_str(), "a step was not done; it is tried again");
            self.note(key, &function, action.as_str(), &problem).await;
        }
        if let Err(error) = self.keep(key, one.clone()).await {
            tracing::debug!(error = chain(&error), function, "its failure is not saved");
            self.0.kept().insert(key.clone(), one.clone());
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
            if let Some(verdict) = policy::rested(&one.template, standing, &id, self.now_ms()) {
                self.follow(key, one, &id, verdict).await?;
            }
        }
        Ok(())
    }

    /// What can be seen of an endpoint.
    fn look(&self, endpoint: &mut Endpoint, routes: &[Route], ready: &Ready) -> lifecycle::Endpoint {
        if endpoint.stage == Stage::Booting && endpoint.process.is_none() {
            // A crash came between the start and its note.
            endpoint.process = self.0.target.find(endpoint);
        }
        let is_alive = endpoint.process.is_some_and(Target::is_alive);
        let own = || registrations(endpoint, routes);
        let is_ready = match endpoint.stage {
            Stage::Booting if is_alive && endpoint.spec.registers_itself => own().count() == endpoint.spec.names.len(),
            Stage::Booting if is_alive => ready.contains(&(endpoint.id.clone(), endpoint.generation)),
            _ => is_alive,
        };
        let open = own().map(|(_, route)| route.open).sum();
        if is_alive {
            self.0.target.trim_log(endpoint);
        }
        let silent_ms = if is_alive { self.silent_ms(endpoint) } else { 0 };
        endpoint.seen(is_alive, is_ready, open, silent_ms)
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
                endpoint.generation = self.now_ms().max(endpoint.generation + 1);
                endpoint.process = None;
                self.commit(key, one, at, &mut endpoint, action, failures).await?;
                match self.0.target.boot(&endpoint, key) {
                    Ok(process) => endpoint.process = Some(process),
                    // It is not alive then, which is looked at as every other end.
                    Err(error) => endpoint.problem = Some(format!("{NOT_STARTED}: {}", chain(&error))),
                }
            }
            Action::Rise => {
                if !endpoint.spec.registers_itself {
                    self.enter(&endpoint).await?;
                }
            }
            Action::Connect => self.tell_router(&endpoint, routes, Action::Connect).await?,
            Action::Drain => self.tell_router(&endpoint, routes, Action::Drain).await?,
            Action::Rest => {}
            Action::Settle => drop(self.0.target.ended(&endpoint)),
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
            self.0.target.sweep(&endpoint);
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
        (endpoint.stage, endpoint.since_ms, endpoint.failures) = (action.leads_to(), self.now_ms(), failures);
        endpoint.tried = None;
        if action.is_well() {
            endpoint.problem = None;
        }
        one.record.endpoints[at] = endpoint.clone();
        self.keep(key, one.clone()).await.map_err(Into::into)
    }

    /// Lets the router send requests to an endpoint, or send none.
    async fn tell_router(&self, endpoint: &Endpoint, routes: &[Route], action: Action) -> Result<(), StepError> {
        let Some(client) = self.0.routers.of(&endpoint.site) else { return Err("there is no router".into()) };
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
        self.let_go(&endpoint.id);
        for (name, id) in self.behind(endpoint, routes) {
            self.deregister((&endpoint.site, &id), &[name]).await;
        }
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

    /// Takes those that register themselves back in where the router forgot that they were connected.
    async fn take_back(&self, one: &Deployment, routes: &[Route]) {
        let settles_ms = u64::try_from(RENEW.as_millis()).unwrap_or(u64::MAX);
        let now_ms = self.now_ms();
        for endpoint in one.record.endpoints.iter().filter(|one| one.spec.registers_itself) {
            let forgot = registrations(endpoint, routes).any(|(_, route)| route.state == RouteState::Booted);
            let has_settled = now_ms.saturating_sub(endpoint.since_ms) > settles_ms;
            if endpoint.stage == Stage::Connected
                && forgot
                && has_settled
                && let Err(error) = self.tell_router(endpoint, routes, Action::Connect).await
            {
                tracing::warn!(error = chain(&*error), function = endpoint.function, "it is not connected again yet");
            }
        }
    }

    /// Connects the own API of those that register themselves: what stands by is what viewers are served by, not what is asked how it does.
    async fn open_own(&self, key: &Key, one: &Deployment, routes: &[Route]) {
        let runs = |endpoint: &&Endpoint| matches!(endpoint.stage, Stage::Booted | Stage::Connected);
        let own = one.record.endpoints.iter().filter(|one| one.spec.registers_itself).filter(runs);
        for endpoint in own {
            let Some(client) = self.0.routers.of(&endpoint.site) else { return };
            let name = own_name(&endpoint.spec.image, &endpoint.function, &key.2, &key.0);
            let waits = |route: &&Route| route.name == name && route.state == RouteState::Booted;
            for route in routes.iter().filter(waits).filter(|route| !endpoint.spec.names.contains(&route.name)) {
                if let Err(error) = client.connect(&name, &route.endpoint).await {
                    tracing::debug!(error = chain(&error), name, "the own API of an endpoint is not connected yet");
                }
            }
        }
    }

    /// Forgets endpoints that are gone, and the deployment once all are that leaves.
    async fn sweep(&self, key: &Key, mut one: Deployment) -> Result<(), ConductError> {
        let before = one.record.endpoints.len();
        one.record.endpoints.retain(|endpoint| !(endpoint.is_retired && endpoint.stage == Stage::Unplaced));
        if one.record.is_leaving && one.record.endpoints.is_empty() {
            if one.record.request.alerts.is_some()
                && let Some(client) = self.0.routers.own()
            {
                let removed = client.for_tenant(&key.0).remove_alerts(&key.1, &key.2).await;
                removed.map_err(|error| ConductError::Alerts(chain(&error)))?;
            }
            self.0.store.remove(key).await?;
            self.0.kept().remove(key);
            self.note(key, "template", "forget", "all its endpoints are gone").await;
            self.forget_old().await;
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
