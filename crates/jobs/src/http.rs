//! What callers see of jobs: one at a time, in pages, as they change, and what becomes of errors.
//!
//! A service has the routes and says what they mean; it never repeats how.

mod error;
mod events;

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use flame_api::jobs::JobState;
use flame_api::page::{LIMIT_DEFAULT, LIMIT_MAX};
use flame_service_host::{Failure, Json};
use serde::Serialize;
use tokio::time::timeout;
use uuid::Uuid;

pub use error::{Error, NotQueued};
pub use events::watch;

use crate::changes::News;
use crate::cursor::Position;
use crate::queue::{Queue, StoreResult};

/// Time that a cancellation waits for the end of the job, so that its caller mostly sees it.
const CANCEL_PATIENCE: Duration = Duration::from_secs(2);

/// A service's store, as far as it holds jobs of one kind.
pub trait Shows<T>: Clone + Send + Sync + 'static {
    /// What such a job is called: `job`.
    const WORD: &'static str;

    /// The queue that they wait in.
    fn queue(&self) -> &Queue;

    /// The job `id` of `tenant`, as callers see it.
    fn read(&self, tenant: &str, id: Uuid) -> impl Future<Output = StoreResult<Option<Shown<T>>>> + Send;
}

/// A job as callers see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown<T> {
    /// The number under which its changes are told.
    pub seq: i64,
    /// Where it stands.
    pub state: JobState,
    /// All that callers see.
    pub job: T,
}

/// The page that is wanted: where it begins, and how many items it has at most.
///
/// # Errors
/// A cursor that is none, or a limit that is too small or too large.
pub fn page(cursor: Option<&str>, limit: Option<u32>) -> Result<(Position, u32), Error> {
    let limit = limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Failure::bad_request(format!("`limit` must be 1 to {LIMIT_MAX}, not {limit}")).into());
    }
    let from = match cursor {
        None => Position::START,
        Some(cursor) => Position::decode(cursor)
            .ok_or_else(|| Failure::bad_request("`cursor` must be the `next_cursor` of the page before"))?,
    };
    Ok((from, limit))
}

/// The answer to a request that has queued a job, which is at `path/id` now.
pub fn queued<T: Serialize>(path: &str, id: Uuid, job: T) -> Response {
    let location = HeaderValue::from_str(&format!("{path}/{id}")).expect("a path and a UUID are visible ASCII");
    (StatusCode::CREATED, AppendHeaders([(header::LOCATION, location)]), Json(job)).into_response()
}

/// A job.
///
/// # Errors
/// There is none, or the database fails.
pub async fn show<T, S: Shows<T>>(store: &S, tenant: &str, id: Uuid) -> Result<T, Error> {
    Ok(find(store, tenant, id).await?.job)
}

/// Cancels a job, and waits a moment for its end.
///
/// # Errors
/// There is none, or the database fails.
pub async fn cancel<T, S: Shows<T>>(store: &S, tenant: &str, id: Uuid) -> Result<T, Error> {
    let found = find(store, tenant, id).await?;
    if found.state.is_final() {
        return Ok(found.job);
    }
    store.queue().cancel(found.seq).await?;
    // Whoever waits in vain sees how it stands then.
    let _ = timeout(CANCEL_PATIENCE, ended(store, tenant, id, found.seq)).await;
    show(store, tenant, id).await
}

/// Waits until a job has ended, or is gone, or the service stops.
async fn ended<T, S: Shows<T>>(store: &S, tenant: &str, id: Uuid, seq: i64) -> StoreResult<()> {
    let mut watcher = store.queue().changes().follow(seq);
    loop {
        let found = store.read(tenant, id).await?;
        if found.is_none_or(|found| found.state.is_final()) || watcher.news().await == News::Closed {
            return Ok(());
        }
    }
}

pub(crate) async fn find<T, S: Shows<T>>(store: &S, tenant: &str, id: Uuid) -> Result<Shown<T>, Error> {
    let found = store.read(tenant, id).await?;
    Ok(found.ok_or_else(|| Failure::not_found(format_args!("{} {id}", S::WORD)))?)
}
