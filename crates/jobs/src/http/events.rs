//! A job as it changes, as server-sent events.
//!
//! Each event is the whole job, so one that was missed is made good by the next; the last one is the final state, and
//! then the stream ends. Progress comes at most four times a second. Between events a comment shows that the
//! connection lives.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, Sse};
use flame_service_host::Failure;
use flame_service_host::problem::chain;
use futures_util::Stream;
use futures_util::stream::unfold;
use serde::Serialize;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::error::Error;
use super::{Shown, Shows, find};
use crate::changes::{News, Watcher};

/// Least time between two events.
const EVERY: Duration = Duration::from_millis(250);
/// Time without an event after which a comment is sent. The job is read then, too: another process may work on it.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Seconds after which a caller who found no place may try again.
const RETRY_AFTER_S: u32 = 5;

/// Watches a job until it has ended; events are named as such jobs are called.
///
/// # Errors
/// There is none, too many are watching, or the database fails.
pub async fn watch<T, S>(
    store: S,
    tenant: String,
    id: Uuid,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>> + use<T, S>>, Error>
where
    T: Serialize + PartialEq + Send + Sync + 'static,
    S: Shows<T>,
{
    let found = find(&store, &tenant, id).await?;
    let watcher = store
        .queue()
        .changes()
        .watch(found.seq)
        .ok_or_else(|| Failure::unavailable_alone("as many callers as may are watching jobs", RETRY_AFTER_S))?;
    let feed = Feed { store, tenant, id, watcher, sent: None, not_before: Instant::now() };
    Ok(Sse::new(unfold(Some(feed), async |feed| {
        let (event, feed) = feed?.next().await?;
        Some((Ok(event), feed))
    })))
}

/// One watcher's stream.
struct Feed<T, S> {
    store: S,
    tenant: String,
    id: Uuid,
    watcher: Watcher,
    /// The job as it was sent last.
    sent: Option<T>,
    /// The next event is not sent before this.
    not_before: Instant,
}

// === impl Feed ===

impl<T, S> Feed<T, S>
where
    T: Serialize + PartialEq + Send + Sync + 'static,
    S: Shows<T>,
{
    /// The next event, and what comes after it; nothing after the final one.
    async fn next(mut self) -> Option<(Event, Option<Self>)> {
        loop {
            if self.sent.is_some() {
                let keep_alive = Instant::now() + KEEP_ALIVE;
                tokio::select! {
                    news = self.watcher.news() => if news == News::Closed { return None },
                    () = sleep_until(keep_alive) => {
                        if self.sent.as_ref() == Some(&self.read().await?.job) {
                            return Some((Event::default().comment("nothing new"), Some(self)));
                        }
                    }
                }
                // What changes meanwhile is in the job that is read after it.
                sleep_until(self.not_before).await;
            }
            let Shown { job, state, .. } = self.read().await?;
            if self.sent.as_ref() == Some(&job) {
                continue;
            }
            let event = Event::default().event(S::WORD).json_data(&job).ok()?;
            if state.is_final() {
                return Some((event, None));
            }
            self.not_before = Instant::now() + EVERY;
            self.sent = Some(job);
            return Some((event, Some(self)));
        }
    }

    /// The job now; without one the stream ends, and the caller asks again.
    async fn read(&self) -> Option<Shown<T>> {
        match self.store.read(&self.tenant, self.id).await {
            Ok(job) => job,
            Err(error) => {
                tracing::warn!(job = %self.id, error = chain(&error), "a watched job cannot be read");
                None
            }
        }
    }
}
