//! The tasks of a worker: one for each lane takes jobs, one takes back the leases of dead workers and counts.
//!
//! Every attempt is a task that its lane owns and awaits. When the service stops, attempts let go of their jobs, which wait for
//! the next start.

use std::time::Duration;

use flame_service_host::problem::chain;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::changes::Changes;
use crate::metrics::Metrics;
use crate::queue::{Queue, StoreResult};

/// How many looks at the queue pass between two counts of the jobs.
const LOOKS_PER_COUNT: u32 = 5;

/// How jobs are taken.
#[derive(Debug, Clone, Copy)]
pub struct Taking {
    /// At most so many at a time; at least one.
    pub at_once: usize,
    /// How often the queue is looked at without a reason.
    pub poll: Duration,
}

/// Takes jobs with `claim` and has each worked on by `run` until `stop`, then waits until all have let go.
pub async fn take<J, C, Claiming, R, Running>(
    changes: &Changes,
    taking: Taking,
    stop: CancellationToken,
    claim: C,
    run: R,
) where
    C: Fn() -> Claiming,
    Claiming: Future<Output = StoreResult<Option<J>>>,
    R: Fn(J, CancellationToken) -> Running,
    Running: Future<Output = ()> + Send + 'static,
{
    let at_once = taking.at_once.max(1);
    let mut under_way = JoinSet::new();
    while !stop.is_cancelled() {
        // Enabled before looking: a job that comes in between wakes the wait below.
        let mut woken = std::pin::pin!(changes.work());
        woken.as_mut().enable();
        while under_way.len() < at_once && !stop.is_cancelled() {
            match claim().await {
                Ok(Some(job)) => {
                    under_way.spawn(run(job, stop.clone()));
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
            () = tokio::time::sleep(taking.poll) => {}
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

/// Takes back the leases that nobody renews, every `poll`, until `stop`; now and then has the service `tidy` up, and counts the
/// jobs.
pub async fn keep<T, Tidying>(queue: &Queue, metrics: &Metrics, poll: Duration, stop: CancellationToken, tidy: T)
where
    T: Fn() -> Tidying,
    Tidying: Future<Output = ()>,
{
    for look in 0_u32.. {
        match queue.expire().await {
            Ok(0) => {}
            Ok(jobs) => tracing::warn!(jobs, "workers that held jobs are dead; the jobs go on"),
            Err(error) => tracing::error!(error = chain(&error), "leases cannot be looked at"),
        }
        if look.is_multiple_of(LOOKS_PER_COUNT) {
            tidy().await;
            match queue.counts().await {
                Ok(counts) => metrics.set_jobs(&counts),
                Err(error) => tracing::error!(error = chain(&error), "jobs cannot be counted"),
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(poll) => {}
        }
    }
}
