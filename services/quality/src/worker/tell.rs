//! Tells the catalogue what was measured of its assets, by name through the router, for the job's tenant.
//!
//! A job that has succeeded is told of until the catalogue has taken it, or says that it never will: a catalogue that is away
//! costs time and nothing else, and no measurement is made twice for it.

use flame_api::ClientError;
use flame_service_host::problem::chain;
use tokio_util::sync::CancellationToken;

use super::Worker;
use crate::score;
use crate::store::Untold;

/// Jobs that are told of between two looks for a stop.
const AT_ONCE: u32 = 20;

/// Tells of what is measured until `stop`.
pub(crate) async fn run(worker: &Worker, stop: CancellationToken) {
    while !stop.is_cancelled() {
        match worker.store.untold(AT_ONCE).await {
            Ok(untold) => {
                for job in untold {
                    tell(worker, job).await;
                }
            }
            Err(error) => tracing::error!(error = chain(&error), "what the catalogue does not know yet cannot be read"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(worker.config.poll.0) => {}
        }
    }
}

async fn tell(worker: &Worker, job: Untold) {
    let Some((asset_id, new)) = score::of(&job) else { return done(worker, job.record.seq).await };
    let (id, client) = (job.record.standing.id, worker.client.for_tenant(&job.record.standing.tenant));
    match client.put_score(asset_id, id, &new).await {
        Ok(()) => done(worker, job.record.seq).await,
        Err(error) if is_final(&error) => {
            tracing::warn!(job = %id, error = chain(&error), "the catalogue does not take what was measured");
            done(worker, job.record.seq).await;
        }
        Err(error) => tracing::warn!(job = %id, error = chain(&error), "the catalogue is told again later"),
    }
}

async fn done(worker: &Worker, seq: i64) {
    if let Err(error) = worker.store.told(seq).await {
        // It is told of again, which changes nothing there.
        tracing::error!(seq, error = chain(&error), "that the catalogue knows cannot be noted");
    }
}

/// Whether the same would be answered at any time: the asset is gone, or it does not fit.
fn is_final(error: &ClientError) -> bool {
    matches!(error.status(), Some(400 | 404 | 409 | 413 | 422)) && !error.is_unknown_name()
}
