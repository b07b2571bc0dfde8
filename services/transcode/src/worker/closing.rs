//! The end of a job that failed or was cancelled: its objects are removed and the catalogue is told, then it has ended.
//!
//! Both are tried until they are done, however long that takes: a job that says `failed` has left nothing behind.

use flame_api::ClientError;
use flame_jobs::attempt::say;
use flame_jobs::hold::{Cause, Held, Hold};
use flame_jobs::job::{Phase, Report};
use flame_object_store::StoreError;
use flame_service_host::fault;
use flame_service_host::problem::chain;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use super::{Worker, catalogue, tracks};
use crate::stage::{Progress, Stage};
use crate::store::Claimed;
use crate::version;

/// What the catalogue is told of a job that was cancelled.
const CANCELLED: &str = "its conditioning was cancelled";

/// Why a job could not be closed now.
#[derive(Debug, Error)]
enum NotNow {
    #[error("the objects of the job cannot be removed")]
    Objects(#[from] StoreError),
    #[error("the catalogue cannot be asked or told")]
    Catalogue(#[from] ClientError),
}

/// Closes `job`, or has it tried again later.
pub(super) async fn run(worker: &Worker, job: Claimed, stop: CancellationToken) {
    let hold = Hold::new(Progress::start(Stage::CleaningUp));
    let (lease, life) = (job.lease, worker.config.lease.0);
    let held = Held { changes: worker.store.queue().changes(), lease, life };
    let renew = |progress| worker.store.renew(lease, progress, &[]);
    let result = hold.during(held, &stop, renew, close(worker, &job)).await;
    let cause = hold.abort().cause();
    if cause == Some(Cause::LeaseLost) {
        return;
    }
    let report = result.unwrap_or_else(|error| {
        tracing::warn!(job = %job.id, error = chain(&error), "the job cannot be closed; it is tried again");
        Report::Postpone
    });
    say(lease, life, || worker.store.queue().report(lease, report.clone())).await;
}

async fn close(worker: &Worker, job: &Claimed) -> Result<Report, NotNow> {
    // Only a committed job can have been published, by a call whose answer did not come.
    if job.made.is_some() && catalogue::plays(worker, job).await? {
        return Ok(Report::Succeed);
    }
    let prefix = version::prefix(&job.tenant, job.asset_id, &version::of_job(job.id));
    tracks::clear(&worker.objects, &prefix).await?;
    fault::point("job-cleared");
    let reason = match (&job.error, job.phase) {
        (Some(error), Phase::Failing) => error,
        (_, _) => CANCELLED,
    };
    match catalogue::tell_failure(worker, job, reason).await {
        Ok(()) => {}
        Err(error) if matches!(error.status(), Some(400 | 409 | 413 | 422)) => {
            // It will not be told at any time: that must not keep the job open.
            tracing::error!(job = %job.id, error = chain(&error), "the catalogue does not take the reason of a failure");
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Report::Close)
}
