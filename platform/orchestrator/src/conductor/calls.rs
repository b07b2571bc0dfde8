//! What callers ask for: to deploy, to plan, to let go; and what CLMC tells. Nothing is kept before all of it is right.

use std::collections::BTreeMap;

use flame_api::orchestrator::{self as wire, NewDeployment};
use flame_service_host::problem::chain;
use flame_tosca::Template;
use flame_tosca::template::{Function, Move};

use super::{ConductError, Conductor, now_ms};
use crate::deployment::{self, Deployment, Desired, Key, Record};
use crate::plan::{Plan, Taken, plan};
use crate::policy::{self, Verdict};

/// What a decision about all of a template is about.
const TEMPLATE: &str = "template";

/// A message of CLMC.
#[derive(Debug)]
pub struct Told<'a> {
    pub tenant: &'a str,
    pub sfc: &'a str,
    /// Nothing where the message does not say.
    pub sfci: Option<&'a str>,
    pub policy: &'a str,
    pub alert: &'a str,
    pub holds: bool,
}

// === impl Conductor ===

impl Conductor {
    /// Deploys a template, or changes what is deployed of it. The second value says which.
    pub async fn deploy(&self, tenant: &str, request: NewDeployment) -> Result<(wire::Deployment, bool), ConductError> {
        let template = deployment::read(&request).map_err(ConductError::Document)?;
        let key = (tenant.to_owned(), template.sfc.clone(), template.sfci.clone());
        let _changing = self.0.changing.lock().await;
        let before = self.0.kept().get(&key).cloned();
        let plan = self.place(&key, &template)?;
        if before.as_ref().is_some_and(|one| one.record.is_leaving) {
            return Err(ConductError::Leaving(format!("{}/{}", key.1, key.2)));
        }
        if before.is_none() && self.0.kept().len() >= self.0.deployments_max {
            let most = self.0.deployments_max;
            return Err(ConductError::Refused(format!(
                "{most} templates are deployed, and there may be no more: undeploy one, or set `store.deployments`"
            )));
        }
        self.tell_clmc(&key, request.alerts.as_deref(), before.as_ref()).await?;
        let is_new = before.is_none();
        let mut record = before.map_or_else(
            || Record { request: request.clone(), is_leaving: false, endpoints: Vec::new(), policies: BTreeMap::new() },
            |one| Record { request: request.clone(), ..one.record },
        );
        record.follow(&template, tenant, &plan, &self.0.estate.clusters, now_ms());
        let one = Deployment { record, template };
        self.keep(&key, one.clone()).await?;
        let functions = one.record.endpoints.iter().filter(|endpoint| !endpoint.is_retired).count();
        let action = if is_new { "deploy" } else { "update" };
        self.note(&key, TEMPLATE, action, &format!("somebody asked for it: {functions} functions are to be there"))
            .await;
        for place in &plan.places {
            let cluster = &self.0.estate.clusters[place.cluster].name;
            self.note(&key, &place.function, "plan", &format!("to {cluster}: {}", place.reason)).await;
        }
        self.0.wake.notify_one();
        Ok((one.shown(), is_new))
    }

    /// Where a template would go.
    pub fn plan(&self, tenant: &str, request: &NewDeployment) -> Result<wire::Plan, ConductError> {
        let template = deployment::read(request).map_err(ConductError::Document)?;
        let key = (tenant.to_owned(), template.sfc.clone(), template.sfci.clone());
        let plan = self.place(&key, &template)?;
        let mut left = self.taken(|_| true).resources;
        let places = plan.places.iter().map(|place| {
            let cluster = &self.0.estate.clusters[place.cluster];
            if let Some(function) = template.function(&place.function) {
                let taken = left.entry(cluster.name.clone()).or_default();
                *taken = taken.and(function.takes);
            }
            wire::PlannedPlace {
                function: place.function.clone(),
                cluster: cluster.name.clone(),
                begins: template.initial(&place.function).as_str().to_owned(),
                reason: place.reason.clone(),
            }
        });
        let places = places.collect();
        let clusters = self.0.estate.clusters.iter().map(|cluster| {
            let room = cluster.has.without(left.get(&cluster.name).copied().unwrap_or_default());
            let (cpus, memory_bytes, disk_bytes) = (room.cpus, room.memory_bytes, room.disk_bytes);
            wire::ClusterRoom {
                cluster: cluster.name.clone(),
                site: cluster.site.clone(),
                cpus,
                memory_bytes,
                disk_bytes,
            }
        });
        let clusters = clusters.collect();
        Ok(wire::Plan { places, cost: plan.cost, bound: plan.bound, is_exact: plan.is_exact, clusters })
    }

    /// Places all functions of a template that are ever used. What is there unchanged stays where it is.
    fn place(&self, key: &Key, template: &Template) -> Result<Plan, ConductError> {
        if let Some(name) = deployment::foreign_name(template, &key.0) {
            return Err(ConductError::Refused(format!("the name {name} is another tenant's")));
        }
        let mut functions: Vec<Function> =
            template.functions.iter().filter(|function| template.is_used(&function.name)).cloned().collect();
        for function in &functions {
            self.0.target.program(&function.image).map_err(|error| {
                ConductError::Document(vec![function.at.wrong(format!("`{}`: {error}", function.name))])
            })?;
        }
        let mut taken = self.taken(|other| other != key);
        let mut staying = Vec::new();
        if let Some(one) = self.0.kept().get(key) {
            for endpoint in &one.record.endpoints {
                let same = functions.iter_mut().find(|function| {
                    let named = function.cluster.as_ref().is_none_or(|cluster| *cluster == endpoint.cluster);
                    !endpoint.is_retired
                        && function.name == endpoint.function
                        && named
                        && endpoint.is_of(function, &template.sfci, &key.0)
                });
                match same {
                    Some(function) => {
                        function.cluster = Some(endpoint.cluster.clone());
                        staying.push(function.name.clone());
                    }
                    None => {
                        let sum = taken.resources.entry(endpoint.cluster.clone()).or_default();
                        *sum = sum.and(endpoint.takes());
                    }
                }
            }
        }
        let mut plan = plan(&self.0.estate, &taken, &functions, self.0.steps_max)?;
        for place in plan.places.iter_mut().filter(|place| staying.contains(&place.function)) {
            place.reason = "it is there already".to_owned();
        }
        Ok(plan)
    }

    fn taken(&self, of: impl Fn(&Key) -> bool) -> Taken {
        let mut taken = Taken::default();
        for (_, one) in self.0.kept().iter().filter(|(key, _)| of(key)) {
            for (cluster, takes) in one.record.takes() {
                let sum = taken.resources.entry(cluster.to_owned()).or_default();
                *sum = sum.and(takes);
            }
        }
        taken
    }

    /// Gives CLMC the alerts that a template waits for, before anything of it is kept.
    async fn tell_clmc(
        &self,
        key: &Key,
        alerts: Option<&str>,
        before: Option<&Deployment>,
    ) -> Result<(), ConductError> {
        let (tenant, sfc, sfci) = key;
        match (alerts, &self.0.client) {
            (Some(text), Some(client)) => {
                let put = client.for_tenant(tenant).put_alerts(text.to_owned()).await;
                put.map(drop).map_err(|error| ConductError::Alerts(chain(&error)))
            }
            (Some(_), None) => Err(ConductError::Alerts("no router is configured to reach it by".to_owned())),
            (None, Some(client)) if before.is_some_and(|one| one.record.request.alerts.is_some()) => {
                let removed = client.for_tenant(tenant).remove_alerts(sfc, sfci).await;
                removed.map(drop).map_err(|error| ConductError::Alerts(chain(&error)))
            }
            (None, _) => Ok(()),
        }
    }

    /// Saves a deployment, and goes on from there.
    pub(super) async fn keep(&self, key: &Key, one: Deployment) -> Result<(), ConductError> {
        self.0.store.save(key, &one.record).await?;
        self.0.kept().insert(key.clone(), one);
        Ok(())
    }

    /// Lets a deployment go.
    pub async fn undeploy(&self, key: &Key) -> Result<(), ConductError> {
        let _changing = self.0.changing.lock().await;
        let found = self.0.kept().get(key).cloned();
        let mut one = found.ok_or_else(|| ConductError::Absent(format!("{}/{}", key.1, key.2)))?;
        if one.record.is_leaving {
            return Ok(());
        }
        one.record.is_leaving = true;
        for endpoint in &mut one.record.endpoints {
            endpoint.is_retired = true;
            endpoint.desired = Desired::Unplaced;
        }
        self.keep(key, one).await?;
        self.note(key, TEMPLATE, "undeploy", "somebody asked for it").await;
        self.0.wake.notify_one();
        Ok(())
    }

    /// Acts on a message of CLMC.
    pub async fn told(&self, told: Told<'_>) -> Result<wire::AlertOutcome, ConductError> {
        let _changing = self.0.changing.lock().await;
        let key = {
            let kept = self.0.kept();
            let mut found = kept.keys().filter(|(tenant, sfc, sfci)| {
                tenant == told.tenant && sfc == told.sfc && told.sfci.is_none_or(|wanted| sfci == wanted)
            });
            match (found.next(), found.next()) {
                (Some(key), None) => key.clone(),
                (Some(_), Some(_)) => {
                    let reason = format!("{} has several instances, and the message does not say which", told.sfc);
                    return Err(ConductError::Refused(reason));
                }
                _ => return Err(ConductError::Absent(format!("{}/{}", told.sfc, told.sfci.unwrap_or("…")))),
            }
        };
        let found = self.0.kept().get(&key).cloned();
        let mut one = found.ok_or_else(|| ConductError::Absent(format!("{}/{}", key.1, key.2)))?;
        let standing = one.record.policies.entry(told.policy.to_owned()).or_default();
        let verdict = policy::told(&one.template, standing, (told.policy, told.alert), told.holds, now_ms());
        let verdict = verdict.map_err(|unheard| ConductError::Absent(unheard.to_string()))?;
        let (action, reason) = self.follow(&key, one, told.policy, verdict).await?;
        Ok(wire::AlertOutcome { action: action.to_owned(), reason })
    }

    /// Does what a policy wants, and keeps where the policy stands.
    pub(super) async fn follow(
        &self,
        key: &Key,
        mut one: Deployment,
        policy: &str,
        verdict: Verdict,
    ) -> Result<(&'static str, String), ConductError> {
        let (action, reason, moves) = match verdict {
            Verdict::Moves(moves, reason) => ("moved", reason, moves),
            Verdict::Waits(reason) => ("waits", reason, Vec::new()),
            Verdict::Nothing(reason) => ("nothing", reason, Vec::new()),
        };
        let mut said = Vec::new();
        for Move { function, state, .. } in moves.iter().filter(|_| !one.record.is_leaving) {
            let endpoints = one.record.endpoints.iter_mut();
            for endpoint in endpoints.filter(|one| !one.is_retired && one.function == *function) {
                endpoint.desired = (*state).into();
                said.push(format!("{function} is to be {}", state.as_str()));
            }
        }
        self.keep(key, one).await?;
        let reason = if said.is_empty() { reason } else { format!("{reason}: {}", said.join(", ")) };
        self.note(key, policy, action, &reason).await;
        self.0.wake.notify_one();
        Ok((action, reason))
    }
}
