//! Carries jobs out: takes them from the queue, holds their leases while they are worked on, and says how it went.
//!
//! Two tasks of the service live here: one takes jobs, one takes back the leases of dead workers and forgets what is old. Every
//! attempt is a task that the first one owns and awaits. When the service stops, attempts let go of their jobs, which wait for the
//! next start.

mod attempt;
mod fetch;
mod files;
mod lease;
mod scratch;

use std::sync::Arc;

use flame_api::Client;
use flame_media_child::Pool;
use flame_service_host::problem::chain;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) use scratch::Scratch;

use crate::config::JobConfig;
use crate::metrics::Metrics;
use crate::results::Results;
use crate::store::Store;

/// How many looks at the queue pass between two counts of the jobs.
const LOOKS_PER_COUNT: u32 = 5;

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
    let at_once = worker.config.at_once.max(1);
    let mut under_way = JoinSet::new();
    while !stop.is_cancelled() {
        // Enabled before looking: a job that comes in between wakes the wait below.
        let mut woken = std::pin::pin!(worker.store.changes().work());
        woken.as_mut().enable();
        while under_way.len() < at_once && !stop.is_cancelled() {
            match worker.store.claim(worker.scratch.owner()).await {
                Ok(Some(job)) => {
                    let (worker, stop) = (Arc::clone(&worker), stop.clone());
                    under_way.spawn(async move { attempt::run(&worker, job, stop).await });
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(error = chain(&error), "no job can be taken");
                    break;
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            Some(ended) = under_way.join_next(), if !under_way.is_empty() => log_panic(ended),
            () = woken => {}
            () = tokio::time::sleep(worker.config.poll.0) => {}
        }
    }
    while let Some(ended) = under_way.join_next().await {
        log_panic(ended);
    }
}

/// The lease of an attempt that panicked runs out, and the job goes on.
fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "an attempt ended badly");
    }
}

/// Takes back the leases that nobody renews, forgets what is old, and counts the jobs, until `stop`.
pub(crate) async fn keep_queue(worker: Arc<Worker>, stop: CancellationToken) {
    for look in 0_u32.. {
        match worker.store.expire().await {
            Ok(0) => {}
            Ok(jobs) => tracing::warn!(jobs, "workers that held jobs are dead; the jobs go on"),
            Err(error) => tracing::error!(error = chain(&error), "leases cannot be looked at"),
        }
        if look.is_multiple_of(LOOKS_PER_COUNT) {
            forget(&worker).await;
            match worker.store.counts().await {
                Ok(counts) => worker.metrics.set_jobs(&counts),
                Err(error) => tracing::error!(error = chain(&error), "jobs cannot be counted"),
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(worker.config.poll.0) => {}
        }
    }
}

async fn forget(worker: &Worker) {
    match worker.store.forget(worker.config.kept_max).await {
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
