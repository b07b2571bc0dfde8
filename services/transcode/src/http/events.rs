//! `GET /jobs/{id}/events`: a job as it changes, as server-sent events.
//!
//! Each event is the whole job, so one that was missed is made good by the next; the last one is the final state, and
//! then the stream ends. Progress comes at most four times a second. Between events a comment shows that the
//! connection lives.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, Sse};
use flame_api::Problem;
use flame_api::transcode::Job;
use flame_service_host::problem::chain;
use flame_service_host::{Caller, Failure, Path, Scope};
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::error::Error;
use super::jobs::missing;
use crate::changes::{News, Watcher};
use crate::store::Store;

/// Least time between two events.
const EVERY: Duration = Duration::from_millis(250);
/// Time without an event after which a comment is sent. The job is read then, too: another process may work on it.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Seconds after which a caller who found no place may try again.
const RETRY_AFTER_S: u32 = 5;

/// Watches a job until it has ended.
#[utoipa::path(
    get,
    path = "/jobs/{id}/events",
    params(("id" = Uuid, Path, description = "The job")),
    responses(
        (status = 200, description = "Events named `job`, each the whole job; ends with the job", body = Job,
            content_type = "text/event-stream"),
        (status = 404, description = "There is none, or it is another tenant's", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "Too many are watching", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn watch(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Error> {
    caller.require(Scope::Read)?;
    let (seq, _) = store.numbered_job(&caller.tenant, id).await?.ok_or_else(|| missing(id))?;
    let watcher = store
        .changes()
        .watch(seq)
        .ok_or_else(|| Failure::unavailable("as many callers as may are watching jobs", RETRY_AFTER_S))?;
    let feed = Feed { store, tenant: caller.tenant, id, watcher, sent: None, not_before: Instant::now() };
    Ok(Sse::new(unfold(Some(feed), async |feed| {
        let (event, feed) = feed?.next().await?;
        Some((Ok(event), feed))
    })))
}

/// One watcher's stream.
struct Feed {
    store: Store,
    tenant: String,
    id: Uuid,
    watcher: Watcher,
    /// The job as it was sent last.
    sent: Option<Job>,
    /// The next event is not sent before this.
    not_before: Instant,
}

// === impl Feed ===

impl Feed {
    /// The next event, and what comes after it; nothing after the final one.
    async fn next(mut self) -> Option<(Event, Option<Self>)> {
        loop {
            if self.sent.is_some() {
                let keep_alive = Instant::now() + KEEP_ALIVE;
                tokio::select! {
                    news = self.watcher.news() => if news == News::Closed { return None },
                    () = sleep_until(keep_alive) => {
                        let job = self.read().await?;
                        if self.sent.as_ref() == Some(&job) {
                            return Some((Event::default().comment("nothing new"), Some(self)));
                        }
                    }
                }
                // What changes meanwhile is in the job that is read after it.
                sleep_until(self.not_before).await;
            }
            let job = self.read().await?;
            if self.sent.as_ref() == Some(&job) {
                continue;
            }
            let event = Event::default().event("job").json_data(&job).ok()?;
            if job.state.is_final() {
                return Some((event, None));
            }
            self.not_before = Instant::now() + EVERY;
            self.sent = Some(job);
            return Some((event, Some(self)));
        }
    }

    /// The job now; without one the stream ends, and the caller asks again.
    async fn read(&self) -> Option<Job> {
        match self.store.job(&self.tenant, self.id).await {
            Ok(job) => job,
            Err(error) => {
                tracing::warn!(job = %self.id, error = chain(&error), "a watched job cannot be read");
                None
            }
        }
    }
}
