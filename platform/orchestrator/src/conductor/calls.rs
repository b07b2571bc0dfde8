//! What callers ask for: to deploy, to plan, to move, to let go; and what CLMC tells. Nothing is kept before all of it is right.

use std::collections::{BTreeMap, BTreeSet};

use flame_api::orchestrator::{self as wire, NewDeployment};
use flame_service_host::problem::chain;
use flame_tosca::template::{Move, State};

use super::{ConductError, Conductor};
use crate::deployment::{self, Deployment, Desired, Key, Record};
use crate::policy::{self, Verdict};
use crate::rights::Trust;

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
    pub async fn deploy(
        &self,
        tenant: &str,
        trust: Trust,
        request: NewDeployment,
    ) -> Result<(wire::Deployment, bool), ConductError> {
        let (template, request) = deployment::accept(request).map_err(ConductError::Document)?;
        let key = (tenant.to_owned(), template.sfc.clone(), template.sfci.clone());
        let ground = self.ground(&key, &template, trust)?;
        let planned = self.place(ground.clone()).await;
        let _changing = self.0.changing.lock().await;
        let before = self.0.kept().get(&key).cloned();
        // What it was planned from may have changed meanwhile.
        let ground_now = self.ground(&key, &template, trust)?;
        let plan = if ground_now == ground { planned? } else { self.place(ground_now).await? };
        if before.as_ref().is_some_and(|one| one.record.is_leaving) {
            return Err(ConductError::Leaving(format!("{}/{}", key.1, key.2)));
        }
        if before.is_none() {
            let (all, own) = {
                let kept = self.0.kept();
                (kept.len(), kept.keys().filter(|(whose, _, _)| whose == tenant).count())
            };
            let limits = [
                (own, self.0.limits.tenant_deployments, "of the tenant ", "store.tenant_deployments"),
                (all, self.0.limits.deployments, "", "store.deployments"),
            ];
            if let Some((_, most, whose, setting)) = limits.iter().find(|(there, most, _, _)| there >= most) {
                return Err(ConductError::Refused(format!(
                    "{most} templates {whose}are deployed, and there may be no more: undeploy one, or set `{setting}`"
                )));
            }
        }
        self.tell_clmc(&key, request.alerts.as_deref(), before.as_ref()).await?;
        let is_new = before.is_none();
        let before_is_known = before.as_ref().filter(|one| one.problem.is_none());
        let template_before = before_is_known.map(|one| one.template.clone());
        let mut record = before.map_or_else(
            || Record { request: request.clone(), is_leaving: false, endpoints: Vec::new(), policies: BTreeMap::new() },
            |one| Record { request: request.clone(), ..one.record },
        );
        record.follow(template_before.as_ref(), &template, tenant, &plan, &self.0.estate.clusters, self.now_ms());
        let one = Deployment { record, template, problem: None };
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
    pub async fn plan(&self, tenant: &str, trust: Trust, request: &NewDeployment) -> Result<wire::Plan, ConductError> {
        let template = deployment::read(request).map_err(ConductError::Document)?;
        let key = (tenant.to_owned(), template.sfc.clone(), template.sfci.clone());
        let plan = self.place(self.ground(&key, &template, trust)?).await?;
        // What is there of it now is planned anew, or goes.
        let mut left = self.taken(|other| *other != key).resources;
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

    /// Gives CLMC the alerts that a template waits for, before anything of it is kept.
    async fn tell_clmc(
        &self,
        key: &Key,
        alerts: Option<&str>,
        before: Option<&Deployment>,
    ) -> Result<(), ConductError> {
        let (tenant, sfc, sfci) = key;
        match (alerts, self.0.routers.own()) {
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

    /// Wants a function to be so far.
    pub async fn want(&self, key: &Key, function: &str, desired: Desired) -> Result<wire::Deployment, ConductError> {
        let _changing = self.0.changing.lock().await;
        let found = self.0.kept().get(key).cloned();
        let named = format!("{}/{}", key.1, key.2);
        let mut one = found.ok_or_else(|| ConductError::Absent(named.clone()))?;
        if one.record.is_leaving {
            return Err(ConductError::Leaving(named));
        }
        if !one.record.want(function, desired) {
            let there: BTreeSet<_> = one.record.endpoints.iter().map(|one| one.function.as_str()).collect();
            let there = there.into_iter().collect::<Vec<_>>().join(", ");
            return Err(ConductError::Absent(format!("{named} with an endpoint of {function:?}; it has {there}")));
        }
        self.keep(key, one.clone()).await?;
        let reason = format!("somebody asked for it: it is to be {}", State::from(desired).as_str());
        self.note(key, function, "moved", &reason).await;
        self.0.wake.notify_one();
        Ok(one.shown())
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
        let verdict = policy::told(&one.template, standing, (told.policy, told.alert), told.holds, self.now_ms());
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
        let is_leaving = one.record.is_leaving;
        for Move { function, state, .. } in moves.iter().filter(|_| !is_leaving) {
            if one.record.want(function, (*state).into()) {
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
