//! Carries jobs out: takes them from the queue, holds their leases while they are worked on, and says how it went.
//!
//! Three tasks of the service live here: one takes jobs, one takes back the leases of dead workers and forgets what is old, one tells
//! the catalogue what was measured of its assets. Every
//! attempt is a task that the first one owns and awaits. When the service stops, attempts let go of their jobs, which wait for the
//! next start.

mod attempt;
mod fetch;
mod files;
pub(crate) mod tell;

use std::sync::Arc;

use flame_api::Client;
use flame_jobs::scratch::Scratch;
use flame_jobs::worker::Taking;
use flame_media_child::Pool;
use flame_service_host::problem::chain;
use tokio_util::sync::CancellationToken;

use crate::config::JobConfig;
use crate::metrics::Metrics;
use crate::results::Results;
use crate::store::Store;

/// What work needs.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) store: Store,
    pub(crate) results: Results,
    pub(crate) objects: flame_object_store::Store,
    pub(crate) client: Client,
    pub(crate) pool: Pool,
    pub(crate) scratch: Scratch,
    pub(crate) config: JobConfig,
    pub(crate) metrics: Metrics,
}

/// Takes jobs until `stop`, a bounded number at a time, then waits until all have let go.
pub(crate) async fn take(worker: Arc<Worker>, stop: CancellationToken) {
    let taking = Taking { at_once: worker.config.at_once, poll: worker.config.poll.0 };
    let claim = || worker.store.claim(worker.scratch.owner());
    let run = |job, stop| {
        let worker = Arc::clone(&worker);
        async move { attempt::run(&worker, job, stop).await }
    };
    flame_jobs::worker::take(worker.store.queue().changes(), taking, stop, claim, run).await;
}

/// Takes back the leases that nobody renews, forgets what is old, and counts the jobs, until `stop`.
pub(crate) async fn keep_queue(worker: Arc<Worker>, stop: CancellationToken) {
    let (queue, metrics) = (worker.store.queue(), &worker.metrics.jobs);
    flame_jobs::worker::keep(queue, metrics, worker.config.poll.0, stop, || forget(&worker)).await;
}

async fn forget(worker: &Worker) {
    match worker.store.queue().forget(worker.config.kept_max).await {
        Ok(seqs) => {
            for seq in seqs {
                if let Err(error) = worker.results.remove(seq) {
                    tracing::warn!(%error, seq, "files of a forgotten job stay until the next start");
                }
            }
        }
        Err(error) => tracing::error!(error = chain(&error), "old jobs cannot be forgotten"),
    }
}
