//! What the catalogue is asked and told, by name through the router, for the job's tenant.

use std::time::Duration;

use flame_api::ClientError;
use flame_api::metadata::{Failure, NewVersion};
use flame_jobs::attempt::{Unfinished, failed};
use flame_jobs::patience::{GaveUp, Patience};
use flame_media_child::protocol::Fault;
use flame_service_host::problem::chain;
use tokio_util::sync::CancellationToken;

use super::Worker;
use crate::reuse::Source;
use crate::store::Claimed;
use crate::version::{self, Made};

/// Longest wait for what only saves time.
const SOURCE_WAIT: Duration = Duration::from_secs(5);

/// Publishes the version of `job`; one that is published already is a success. A call under way is never broken off:
/// its outcome would not be known.
pub(super) async fn publish(
    worker: &Worker,
    job: &Claimed,
    made: Made,
    abort: &CancellationToken,
) -> Result<(), Unfinished> {
    let client = worker.client.for_tenant(&job.tenant);
    let name = version::of_job(job.id);
    let Made { tracks, thumbnails, conditioning } = made;
    let version = NewVersion { job_id: Some(job.id), chain: job.chain.clone(), tracks, thumbnails, conditioning };
    let published = patience(worker, abort).call(|| client.publish_version(job.asset_id, &name, &version)).await;
    match published {
        Ok(_) => Ok(()),
        Err(GaveUp::Aborted) => Err(Unfinished::Aborted),
        Err(GaveUp::Failed(error)) if is_missing(&error) => {
            Err(Unfinished::Orphaned { reason: "the asset was deleted while it was conditioned".to_owned() })
        }
        Err(GaveUp::Failed(error)) => {
            // What the catalogue refuses for what it says, it will refuse again.
            let for_good = matches!(error.status(), Some(400 | 409 | 413 | 422));
            let fault = if for_good { Fault::Input } else { Fault::Environment };
            Err(failed(fault, format!("the version cannot be published: {}", chain(&error))))
        }
    }
}

/// Whether the asset of `job` is in the catalogue.
pub(super) async fn exists(worker: &Worker, job: &Claimed, abort: &CancellationToken) -> Result<bool, Unfinished> {
    let client = worker.client.for_tenant(&job.tenant);
    match patience(worker, abort).call(|| client.asset(job.asset_id)).await {
        Ok(asset) => Ok(asset.is_some()),
        Err(GaveUp::Aborted) => Err(Unfinished::Aborted),
        Err(GaveUp::Failed(error)) => Err(failed(Fault::Environment, chain(&error))),
    }
}

/// The bytes of the source of `job`, as the catalogue knows them; none where it does not, or does not say so at once: nobody waits
/// for what only saves time.
pub(super) async fn source(worker: &Worker, job: &Claimed) -> Option<Source> {
    let client = worker.client.for_tenant(&job.tenant);
    let asked = tokio::time::timeout(SOURCE_WAIT, client.asset(job.asset_id)).await;
    let source = asked.ok()?.ok()??.source;
    let is_it = source.key == job.source_key;
    is_it.then_some(Source { sha256: source.sha256, size_bytes: source.size_bytes })
}

/// Whether the version of `job` is what plays now. Tried once.
pub(super) async fn plays(worker: &Worker, job: &Claimed) -> Result<bool, ClientError> {
    let asset = worker.client.for_tenant(&job.tenant).asset(job.asset_id).await?;
    let name = version::of_job(job.id);
    Ok(asset.and_then(|asset| asset.version).is_some_and(|version| version.name == name))
}

/// Tells that conditioning failed. Tried once; an asset that is gone needs not be told.
pub(super) async fn tell_failure(worker: &Worker, job: &Claimed, reason: &str) -> Result<(), ClientError> {
    let client = worker.client.for_tenant(&job.tenant);
    match client.fail_asset(job.asset_id, &Failure { reason: reason.to_owned() }).await {
        Ok(_) => Ok(()),
        Err(error) if is_missing(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

fn is_missing(error: &ClientError) -> bool {
    error.status() == Some(404) && !error.is_unknown_name()
}

fn patience<'a>(worker: &Worker, abort: &'a CancellationToken) -> Patience<'a> {
    Patience { limit: worker.config.patience.0, abort }
}
