//! Makes one chunk: some GOPs of the pictures of a job, which may be another process's. And removes those that nobody wants any more.
//!
//! Whoever makes a chunk knows nothing of its job. It reads the source where it lies, from the keyframe before its range on, and stores
//! what came out under the number of its own lease.

use std::time::Duration;

use flame_jobs::attempt::{REASON_MAX_CHARS, Unfinished, failed, media_trouble, say};
use flame_jobs::hold::{Cause, Held, Hold};
use flame_jobs::patience::Patience;
use flame_media_child::Call;
use flame_media_child::protocol::{Fault, Outcome, Request};
use flame_object_store::StoreError;
use flame_service_host::fault;
use flame_service_host::problem::chain;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::attempt::{another_answer, deadline, store_trouble};
use super::{Worker, tracks};
use crate::chunks::{Task, duration_ms, file_name, prefix};
use crate::store::{ClaimedChunk, GoneChunk};

/// How long the URL of the source holds beyond the deadline of the work.
const URL_MARGIN: Duration = Duration::from_secs(600);
/// How long a URL of the object store can hold.
const URL_LIFE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// How it went with a chunk.
enum End {
    Done(u64),
    Failed(Fault, String),
    LetGo,
}

/// Makes `chunk`, and says how it went.
pub(super) async fn run(worker: &Worker, chunk: ClaimedChunk, stop: CancellationToken) {
    let (lease, life) = (chunk.lease, worker.config.lease.0);
    tracing::debug!(chunk = lease.seq, tenant = chunk.tenant, lease = lease.number, "a chunk is begun");
    let hold = Hold::new(0.0);
    let held = Held { changes: worker.store.queue().changes(), lease: lease.told(), life };
    let renew = |fraction| worker.store.renew_chunk(lease, fraction);
    let result = hold.during(held, &stop, renew, make(worker, &chunk, &hold)).await;
    if hold.abort().cause() == Some(Cause::LeaseLost) {
        tracing::warn!(chunk = lease.seq, "the lease of a chunk was lost");
        // Nobody looks for what was stored under it; what cannot be removed now goes with the chunk.
        if let Err(error) = clear(worker, &chunk).await {
            tracing::warn!(chunk = lease.seq, error = chain(&error), "what was stored of a chunk is not removed");
        }
        return;
    }
    let end = match result {
        Ok(size_bytes) => {
            worker.metrics.chunks.inc();
            End::Done(size_bytes)
        }
        Err(Unfinished::Failed { fault, reason }) => {
            tracing::warn!(chunk = lease.seq, ?fault, reason, "a chunk cannot be made");
            End::Failed(fault, reason.chars().take(REASON_MAX_CHARS).collect())
        }
        Err(Unfinished::Orphaned { .. } | Unfinished::Aborted) => End::LetGo,
    };
    let report = || async {
        match &end {
            End::Done(size_bytes) => worker.store.finish_chunk(lease, *size_bytes).await,
            End::Failed(fault, reason) => worker.store.fail_chunk(lease, *fault, reason).await,
            End::LetGo => worker.store.let_chunk_go(lease).await,
        }
    };
    say(lease.told(), life, report).await;
}

/// Encodes and stores `chunk`. Returns the bytes that it takes.
async fn make(worker: &Worker, chunk: &ClaimedChunk, hold: &Hold<f64>) -> Result<u64, Unfinished> {
    let Task { source_key, plan, range } = &chunk.task;
    let abort = hold.abort().token();
    let patience = Patience { limit: worker.config.patience.0, abort };
    let folder = worker
        .scratch
        .job_folder(chunk.lease.told())
        .map_err(|error| failed(Fault::Environment, format!("no folder for a chunk can be made: {error}")))?;
    fault::point("chunk-begun");
    let time = deadline(&worker.config, Duration::from_millis(duration_ms(plan, *range)));
    let url = worker.objects.presigned_get(source_key, (time + URL_MARGIN).min(URL_LIFE_MAX)).await;
    let url = url.map_err(|error| failed(Fault::Environment, chain(&error)))?;
    let (fraction, mut fractions) = watch::channel(0.0);
    let call = Call { progress: Some(fraction), parts: None, deadline: Some(time), cancel: abort.clone() };
    let request =
        Request::Chunk { input: url, output_dir: folder.path().to_owned(), plan: plan.clone(), range: *range };
    let encoding = worker.chunk_pool.run(&request, call);
    let passing_on = async {
        while fractions.changed().await.is_ok() {
            let fraction = *fractions.borrow_and_update();
            hold.at(fraction);
        }
        std::future::pending().await
    };
    let outcome = tokio::select! {
        outcome = encoding => outcome.map_err(|error| media_trouble(&error))?,
        never = passing_on => never,
    };
    let Outcome::Chunk { sizes_bytes, .. } = outcome else { return Err(another_answer()) };
    fault::point("chunk-encoded");
    let prefix = prefix(&chunk.tenant, &chunk.key, chunk.lease.number);
    for rung in &plan.video {
        // A put under way is awaited: one that is broken off may still be carried out.
        if abort.is_cancelled() {
            return Err(Unfinished::Aborted);
        }
        let name = file_name(&rung.name);
        let (key, path) = (format!("{prefix}{name}"), folder.path().join(&name));
        let put = patience.call(|| worker.objects.put_file(&key, &path, "application/octet-stream")).await;
        put.map_err(store_trouble)?;
    }
    fault::point("chunk-stored");
    Ok(sizes_bytes.iter().sum())
}

async fn clear(worker: &Worker, chunk: &ClaimedChunk) -> Result<(), StoreError> {
    tracks::clear(&worker.objects, &prefix(&chunk.tenant, &chunk.key, chunk.lease.number)).await
}

/// Removes chunks that nobody wants any more, when they are old or too many.
pub(super) async fn sweep(worker: &Worker) {
    let swept = match worker.store.sweep_chunks().await {
        Ok(swept) => swept,
        Err(error) => {
            tracing::error!(error = chain(&error), "chunks that nobody wants cannot be looked for");
            return;
        }
    };
    for gone in swept {
        if let Err(error) = remove(worker, &gone).await {
            tracing::warn!(chunk = gone.lease.seq, error = chain(&error), "a chunk that nobody wants stays for now");
            // Whoever does not answer is asked for nothing else.
            return;
        }
        if let Err(error) = worker.store.forget_chunk(&gone).await {
            tracing::warn!(chunk = gone.lease.seq, error = chain(&error), "a chunk that was removed is not forgotten");
        }
    }
}

async fn remove(worker: &Worker, gone: &GoneChunk) -> Result<(), StoreError> {
    // Not all that begins with the key: whoever wants the chunk again makes it under another number.
    for number in 1..=gone.lease.number {
        tracks::clear(&worker.objects, &prefix(&gone.tenant, &gone.key, number)).await?;
    }
    Ok(())
}
