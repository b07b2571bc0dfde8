//! Carries jobs out: takes them from the queue, holds their leases while they are worked on, and says how it went.
//!
//! Four tasks of the service live here: one takes jobs to encode, one takes chunks of them (also of those that other processes
//! hold), one takes jobs whose remains are to be removed (so that a cancellation never waits behind an encoder), one takes back the leases
//! of dead workers and forgets what is old. Every attempt is a task that its lane owns and awaits. When the service stops, attempts let go of their jobs, which wait for the
//! next start.

mod attempt;
mod board;
mod catalogue;
mod chunks;
mod closing;
mod gates;
mod reuse;
mod tracks;

use std::sync::Arc;

use flame_api::Client;
use flame_jobs::queue::Lane;
use flame_jobs::scratch::Scratch;
use flame_jobs::worker::Taking;
use flame_media_child::Pool;
use flame_service_host::problem::chain;
use tokio_util::sync::CancellationToken;

use crate::config::{ChunkConfig, JobConfig};
use crate::encoders::Encoders;
use crate::metrics::Metrics;
use crate::store::Store;

/// What work needs.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) store: Store,
    pub(crate) objects: flame_object_store::Store,
    pub(crate) client: Client,
    pub(crate) encoders: Encoders,
    pub(crate) pool: Pool,
    /// Those that encode chunks: a job whose chunks are made holds one of the others.
    pub(crate) chunk_pool: Pool,
    pub(crate) scratch: Scratch,
    pub(crate) config: JobConfig,
    pub(crate) chunks: ChunkConfig,
    /// Whether what was made before is taken again.
    pub(crate) reuses: bool,
    pub(crate) metrics: Metrics,
}

/// Takes jobs of `lane` until `stop`, at most `at_once` at a time, then waits until all have let go.
pub(crate) async fn take(worker: Arc<Worker>, lane: Lane, at_once: usize, stop: CancellationToken) {
    let taking = Taking { at_once, poll: worker.config.poll.0 };
    let claim = || worker.store.claim(lane, worker.scratch.owner());
    let run = |job, stop| {
        let worker = Arc::clone(&worker);
        async move {
            match lane {
                Lane::Work => attempt::run(&worker, job, stop).await,
                Lane::Closing => closing::run(&worker, job, stop).await,
            }
        }
    };
    flame_jobs::worker::take(worker.store.queue().changes(), taking, stop, claim, run).await;
}

/// Takes chunks until `stop`, at most so many at a time as the configuration says, then waits until all have been let go.
pub(crate) async fn take_chunks(worker: Arc<Worker>, stop: CancellationToken) {
    let taking = Taking { at_once: worker.chunks.at_once, poll: worker.config.poll.0 };
    let claim = || worker.store.claim_chunk(worker.scratch.owner());
    let run = |chunk, stop| {
        let worker = Arc::clone(&worker);
        async move { chunks::run(&worker, chunk, stop).await }
    };
    flame_jobs::worker::take(worker.store.queue().changes(), taking, stop, claim, run).await;
}

/// Takes back the leases that nobody renews, forgets what is old, and counts the jobs, until `stop`.
pub(crate) async fn keep_queue(worker: Arc<Worker>, stop: CancellationToken) {
    let (queue, metrics) = (worker.store.queue(), &worker.metrics.jobs);
    flame_jobs::worker::keep(queue, metrics, worker.config.poll.0, stop, || forget(&worker)).await;
}

async fn forget(worker: &Worker) {
    if let Err(error) = worker.store.queue().forget(worker.config.kept_max).await {
        tracing::error!(error = chain(&error), "old jobs cannot be forgotten");
    }
    if let Err(error) = worker.store.forget_old_outputs().await {
        tracing::error!(error = chain(&error), "old outputs cannot be forgotten");
    }
    chunks::sweep(worker).await;
}
