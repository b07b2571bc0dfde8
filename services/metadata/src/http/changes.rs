//! `GET /changes`: the change feed, a page at a time, or as it happens, as server-sent events.
//!
//! A stream has the position as the id of each event, so that a browser that lost its connection goes on where it was
//! (`Last-Event-ID`). It begins with an event `position`, which has no change: so there is an id also before anything happens. A
//! follower who is slower than the feed is long gets `gone` and the end; nothing waits for it.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use flame_api::Problem;
use flame_api::metadata::{ChangeNotice, ChangePage, ChangesQuery};
use flame_api::page::{LIMIT_DEFAULT, LIMIT_MAX};
use flame_service_host::problem::chain;
use flame_service_host::{Caller, Failure, Json, Query, Scope};
use futures_util::stream::unfold;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, timeout_at};

use super::error::Error;
use crate::limits::NUMBER_MAX;
use crate::store::{Followed, Store};

/// Time without an event after which a comment shows that the connection lives.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Seconds after which a caller who found no place may try again.
const RETRY_AFTER_S: u32 = 5;

/// What became of the caller's assets after a position; with `Accept: text/event-stream` as it happens.
#[utoipa::path(
    get,
    path = "/changes",
    operation_id = "changes",
    params(
        ChangesQuery,
        ("Last-Event-ID" = Option<u64>, Header, description = "The position that was seen last"),
    ),
    responses(
        (status = 200, description = "The changes; of a stream the events `change`, whose ids are the positions", content(
            (ChangePage = "application/json"),
            (ChangeNotice = "text/event-stream"),
        )),
        (status = 400, description = "A parameter is malformed", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "It is no longer known what came after that position: read the catalogue anew", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "Too many are following", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn follow(
    State(store): State<Store>,
    caller: Caller,
    headers: HeaderMap,
    Query(query): Query<ChangesQuery>,
) -> Result<Response, Error> {
    caller.require(Scope::Read)?;
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Failure::bad_request(format!("`limit` must be 1 to {LIMIT_MAX}, not {limit}")).into());
    }
    let after = match headers.get("last-event-id") {
        Some(id) => {
            let position = id.to_str().ok().and_then(|id| id.parse().ok());
            Some(position.ok_or_else(|| Failure::bad_request("`Last-Event-ID` must be a position of the feed"))?)
        }
        None => query.after,
    };
    let after = match after {
        Some(after) => after.min(NUMBER_MAX),
        None => store.feed_position(&caller.tenant).await?,
    };
    // Asked for in either form, so that both say the same of a position that is not known.
    let changed = store.changed();
    let items = match store.follow(&caller.tenant, after, limit).await? {
        Followed::Changes(items) => items,
        Followed::Unknown(oldest, newest) => return Err(unknown(after, oldest, newest).into()),
    };
    let is_stream = |value: &axum::http::HeaderValue| {
        value.to_str().is_ok_and(|value| value.to_ascii_lowercase().contains("text/event-stream"))
    };
    if !headers.get_all(header::ACCEPT).iter().any(is_stream) {
        let position = items.last().map_or(after, |last| last.position);
        return Ok(Json(ChangePage { items, position }).into_response());
    }
    let place = store
        .follower()
        .ok_or_else(|| Failure::unavailable_alone("as many callers as may are following changes", RETRY_AFTER_S))?;
    let hello = Event::default().event("position").id(after.to_string()).data(format!("{{\"position\":{after}}}"));
    let feed = Feed {
        store,
        tenant: caller.tenant,
        after,
        changed,
        waiting: items.into_iter().rev().collect(),
        _place: place,
    };
    let events = unfold((Some(feed), Some(hello)), async |(feed, hello)| {
        if let Some(hello) = hello {
            return Some((Ok::<_, Infallible>(hello), (feed, None)));
        }
        let (event, feed) = feed?.next().await?;
        Some((Ok(event), (feed, None)))
    });
    Ok(Sse::new(events).into_response())
}

fn unknown(after: u64, oldest: u64, newest: u64) -> Failure {
    let detail = format!(
        "the feed holds positions {oldest} to {newest}, and what came after {after} is not known; read the assets anew and go on after {newest}"
    );
    Failure::new(StatusCode::GONE, "gone", "It is no longer kept", detail)
}

/// One follower's stream.
struct Feed {
    store: Store,
    tenant: String,
    /// The position that was sent last.
    after: u64,
    changed: watch::Receiver<u64>,
    /// Read and not sent yet, newest first; at most a page.
    waiting: Vec<ChangeNotice>,
    _place: OwnedSemaphorePermit,
}

// === impl Feed ===

impl Feed {
    /// The next event, and what comes after it; nothing after the last one.
    async fn next(mut self) -> Option<(Event, Option<Self>)> {
        let keep_alive = Instant::now() + KEEP_ALIVE;
        loop {
            if let Some(notice) = self.waiting.pop() {
                self.after = notice.position;
                let event = Event::default().event("change").id(notice.position.to_string()).json_data(&notice).ok()?;
                return Some((event, Some(self)));
            }
            self.changed.mark_unchanged();
            match self.store.follow(&self.tenant, self.after, LIMIT_MAX).await {
                Ok(Followed::Changes(items)) => self.waiting = items.into_iter().rev().collect(),
                Ok(Followed::Unknown(oldest, newest)) => {
                    let gone = unknown(self.after, oldest, newest).problem().to_string();
                    return Some((Event::default().event("gone").data(gone), None));
                }
                Err(error) => {
                    // The follower comes again, with the position that it has seen.
                    tracing::warn!(error = chain(&error), "the feed cannot be read");
                    return None;
                }
            }
            if !self.waiting.is_empty() {
                continue;
            }
            // Another process may write the same database: it is asked now and then, too.
            let look = (Instant::now() + self.store.feed_poll()).min(keep_alive);
            tokio::select! {
                changed = timeout_at(look, self.changed.changed()) => {
                    if changed.is_err() && Instant::now() >= keep_alive {
                        return Some((Event::default().comment("nothing new"), Some(self)));
                    }
                }
                () = self.store.feed_closed() => return None,
            }
        }
    }
}
