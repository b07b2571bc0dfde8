//! Demands: what is free is gathered here; what they come to is decided in `flame-sla`, beside everything else, one at a time, as
//! placements are.

use std::sync::Arc;

use flame_api::orchestrator::sla::{NewSolution, Solution};
use flame_sla::Sla;
use flame_sla::model::Cluster;

use super::{ConductError, Conductor};

// === impl Conductor ===

impl Conductor {
    /// What a demand comes to, beside what is deployed; what is deployed for the same demand counts as free.
    pub async fn solve(&self, tenant: &str, request: NewSolution) -> Result<Solution, ConductError> {
        let sla = Sla::read(&request.sla).map_err(|error| ConductError::Demand(error.to_string()))?;
        let own = (tenant.to_owned(), sla.sla.clone(), flame_sla::template::instance(&sla.sla));
        let taken = self.taken(|key| *key != own).resources;
        let estate = &self.0.estate;
        let clusters = estate.clusters.iter().map(|cluster| {
            let free = cluster.has.without(taken.get(&cluster.name).copied().unwrap_or_default());
            Cluster {
                name: cluster.name.clone(),
                site: cluster.site.clone(),
                tier: cluster.tier.clone(),
                cpus: free.cpus,
                memory_bytes: free.memory_bytes,
                latency_ms: sla.demand.iter().map(|demand| estate.latency_ms(&demand.site, &cluster.site)).collect(),
            }
        });
        let clusters: Vec<Cluster> = clusters.collect();
        let steps_max = self.0.steps_max;
        // Never closed. Held by the work itself, which goes on where nobody waits for it any more.
        let turn = Arc::clone(&self.0.planning).acquire_owned().await;
        let search = move || {
            let _turn = turn;
            flame_sla::answer(&sla, &request.calibration, &clusters, steps_max)
        };
        tokio::task::spawn_blocking(search).await?.map_err(ConductError::Demand)
    }
}
