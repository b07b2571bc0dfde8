//! Where a template goes. What that is decided from is gathered here; the search is pure, runs beside everything else, one at a
//! time, and holds nothing up.

use flame_tosca::Template;
use flame_tosca::template::Function;

use super::{ConductError, Conductor};
use crate::deployment::Key;
use crate::plan::{Plan, Taken};
use crate::rights::{self, Trust};
use crate::staying::{Home, plan_around};

/// What a placement is decided from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ground {
    functions: Vec<Function>,
    taken: Taken,
    homes: Vec<Home>,
}

// === impl Conductor ===

impl Conductor {
    /// All functions of a template that are ever used, and what is there. What is not the caller's to run is refused.
    pub(super) fn ground(&self, key: &Key, template: &Template, trust: Trust) -> Result<Ground, ConductError> {
        rights::check(template, &key.0, trust)?;
        let functions: Vec<Function> =
            template.functions.iter().filter(|function| template.is_used(&function.name)).cloned().collect();
        for function in &functions {
            self.0.target.program(&function.image).map_err(|error| {
                ConductError::Document(vec![function.at.wrong(format!("`{}`: {error}", function.name))])
            })?;
        }
        let mut taken = self.taken(|other| other != key);
        let mut homes = Vec::new();
        if let Some(one) = self.0.kept().get(key) {
            for endpoint in &one.record.endpoints {
                let is_same = |function: &Function| {
                    function.name == endpoint.function && endpoint.is_of(function, &template.sfci, &key.0)
                };
                if !endpoint.is_retired && functions.iter().any(is_same) {
                    let (function, cluster) = (endpoint.function.clone(), endpoint.cluster.clone());
                    homes.push(Home { function, cluster, takes: endpoint.takes() });
                } else {
                    let sum = taken.resources.entry(endpoint.cluster.clone()).or_default();
                    *sum = sum.and(endpoint.takes());
                }
            }
        }
        Ok(Ground { functions, taken, homes })
    }

    /// Where everything goes.
    pub(super) async fn place(&self, ground: Ground) -> Result<Plan, ConductError> {
        // Never closed.
        let _turn = self.0.planning.acquire().await;
        let (estate, steps_max) = (self.0.estate.clone(), self.0.steps_max);
        let search = move || plan_around(&estate, &ground.taken, &ground.functions, &ground.homes, steps_max);
        Ok(tokio::task::spawn_blocking(search).await??)
    }

    /// What deployments take, by cluster.
    pub(super) fn taken(&self, of: impl Fn(&Key) -> bool) -> Taken {
        let mut taken = Taken::default();
        for (_, one) in self.0.kept().iter().filter(|(key, _)| of(key)) {
            for (cluster, takes) in one.record.takes() {
                let sum = taken.resources.entry(cluster.to_owned()).or_default();
                *sum = sum.and(takes);
            }
        }
        taken
    }
}
