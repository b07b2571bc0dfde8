//! Drives one fill: asks upstream, judges the answer, and puts the bytes where followers read them.
//!
//! It runs to its end also when every viewer has left: the next one finds the object. A body that breaks off is resumed at
//! its place (`Range` with `If-Range` on the same strong ETag, maybe on another instance); if that does not help, the fill
//! is aborted, and what is there serves ranges within it, and the beginning of the next try.

mod sink;
pub(crate) mod slice;

use std::io;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use flame_naming::identity::control::digits;
use hyper::body::Incoming;

use crate::disk::{self, Meta};
use crate::fill::{Fill, Flow, Outcome};
use crate::front::Front;
use crate::medium::Medium;
use crate::object::{Head, Object, UnixMs};
use crate::policy::{self, Came, Keep};
use crate::room::Held;
use crate::shelf::count;
use crate::upstream::UpstreamError;
use sink::Sink;

/// Fields that describe a stored body, and the validator that was asked with.
const OF_BODY: [HeaderName; 5] = [
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
    header::ETAG,
    HeaderName::from_static("content-md5"),
];

/// What a fill asks for.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// Path and query as they are asked upstream.
    pub target: String,
    /// The key without what answers vary by.
    pub resource: Arc<str>,
    /// Fields that upstream sees.
    pub headers: HeaderMap,
    /// The kept answer that may still be right.
    pub stale: Option<Arc<Object>>,
}

/// An answer whose body follows.
struct Begun {
    head: Arc<Head>,
    keep: Keep,
    length: Option<u64>,
    body: Incoming,
    sink: Sink,
}

/// Why an answer goes to the one who asked, and is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alone {
    /// It is not for sharing, or too large.
    NotShared,
    /// There is no room for it now.
    NoRoom,
}

/// Drives `fill` to its end. If this is dropped in the middle, the fill is aborted, not left open.
pub(crate) async fn run(front: Arc<Front>, fill: Arc<Fill>, wanted: Wanted) {
    let ending = Ending { front: &front, fill: &fill };
    if let Err(error) = fetch(&front, &fill, &wanted).await {
        let now = UnixMs::now();
        front.vain.note(&fill.key, error.gave(), now);
        match wanted.stale.filter(|stale| now < stale.times.if_error_until) {
            Some(stale) => fill.complete(stale, Outcome::Stale),
            None => fill.fail(error),
        }
    }
    drop(ending);
}

/// Takes a fill out of the list, whatever became of it.
struct Ending<'a> {
    front: &'a Front,
    fill: &'a Arc<Fill>,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.fill.abandon();
        self.front.shelf.ended(self.fill);
    }
}

async fn fetch(front: &Front, fill: &Arc<Fill>, wanted: &Wanted) -> Result<(), UpstreamError> {
    let asset = front.shelf.assets.of(&wanted.target);
    let mut partial = front.shelf.partial(&fill.key).filter(|_| wanted.stale.is_none()).and_then(|partial| {
        // It is copied: there has to be room for the whole beside it.
        let held = front.shelf.room(partial.length?)?;
        Some((partial, held))
    });
    // Once more at most: without a beginning every answer is taken as it is.
    let (answer, asked, came) = loop {
        let mut headers = wanted.headers.clone();
        if let Some(stale) = &wanted.stale {
            validators(&mut headers, &stale.head);
        } else if let Some((partial, _)) = &partial {
            resume_from(&mut headers, &partial.head, partial.written);
        }
        let asked = UnixMs::now();
        count(&asset.fetches, 1);
        let answer = front.ask(&Method::GET, &wanted.target, headers).await?;
        let came = Came::now(asked);
        if !partial.as_ref().is_some_and(|(partial, _)| is_of_no_use(front, partial, &answer, came)) {
            break (answer, asked, came);
        }
        tracing::info!(target = wanted.target, "what came of a body before it broke off is not of what is there now");
        front.shelf.drop_partial(&fill.key);
        partial = None;
    };
    let now = came.now;
    front.vain.note(&fill.key, policy::gave(answer.status()), now);
    if answer.status() == StatusCode::NOT_MODIFIED
        && let Some(stale) = &wanted.stale
    {
        unchanged(front, fill, wanted, stale, &answer, asked);
        return Ok(());
    }
    let may_be_stale = wanted.stale.as_ref().filter(|stale| now < stale.times.if_error_until);
    if let Some(stale) = may_be_stale.filter(|_| answer.status().is_server_error()) {
        fill.complete(Arc::clone(stale), Outcome::Stale);
        return Ok(());
    }
    fill.came_with_age(answer.headers().get(header::AGE).and_then(|age| digits(age.to_str().ok()?)));
    let mut begun = match begin(front, &fill.key, partial, answer, came).await? {
        Ok(begun) => begun,
        Err((unshared, why)) => {
            // A fault says nothing of what is kept: it is asked about again, and goes on where it broke off.
            if !unshared.status().is_server_error() {
                front.shelf.drop_partial(&fill.key);
                if wanted.stale.is_some() {
                    front.shelf.forget(&fill.key);
                }
            }
            if why == Alone::NotShared && policy::stays_unshared(unshared.status()) {
                front.shelf.set_unshared(&fill.key);
            }
            fill.unshare(unshared);
            return Ok(());
        }
    };
    let Keep::Shared { vary, times, tags } = &begun.keep else { return Err(UpstreamError::Abandoned) };
    let tags = tags.clone();
    front.shelf.set_vary(&wanted.resource, vary);
    let flow = Flow {
        key: front.key(&wanted.resource, &wanted.headers),
        head: Arc::clone(&begun.head),
        file: Arc::clone(&begun.sink.file),
        times: *times,
        written: begun.sink.written,
        length: begun.length,
    };
    fill.flow(flow.clone());
    // Whoever asks from now on asks after the purge. One that comes later finds this fill by its groups.
    if front.was_purged(fill, &tags) {
        front.shelf.ended(fill);
    }
    match flow_on(front, fill, wanted, &mut begun).await {
        Ok(()) => {
            count(&asset.fetched_bytes, begun.sink.written - flow.written);
            settle(front, fill, wanted, begun, flow.key).await;
        }
        Err(error) => {
            tracing::warn!(target = wanted.target, error = %flame_service_host::problem::chain(&error),
                written = begun.sink.written, length = begun.length, "a fill was aborted");
            count(&asset.fetched_bytes, begun.sink.written - flow.written);
            count(&asset.errors, 1);
            let Sink { file, written, .. } = begun.sink;
            let is_of_use = begun.head.strong_etag().is_some() && begun.length.is_some() && written > 0;
            if is_of_use {
                front.shelf.set_partial(Flow { file, written, ..flow.clone() });
            }
            // Behind it: a purge that comes now finds it.
            if !is_of_use || front.was_purged(fill, &tags) {
                front.shelf.drop_partial(&flow.key);
            }
            fill.abort();
        }
    }
    Ok(())
}

/// Upstream says that the kept one is still right (RFC 9111 section 4.3.4).
fn unchanged(
    front: &Front,
    fill: &Arc<Fill>,
    wanted: &Wanted,
    stale: &Arc<Object>,
    answer: &http::Response<Incoming>,
    asked: UnixMs,
) {
    let mut headers = stale.head.headers.clone();
    for name in answer.headers().keys() {
        // What says how the kept body is made stays, whatever a 304 says (RFC 9111 section 3.2).
        if OF_BODY.contains(name) {
            continue;
        }
        headers.remove(name);
        for value in answer.headers().get_all(name) {
            headers.append(name, value.clone());
        }
    }
    front.clean(&mut headers);
    let Keep::Shared { times, tags, .. } = policy::keep(front.rules(), stale.head.status, &headers, Came::now(asked))
    else {
        front.shelf.forget(&fill.key);
        fill.complete(Arc::clone(stale), Outcome::Unchanged);
        return;
    };
    let object = Arc::new(stale.refreshed(Head::new(stale.head.status, headers), times, tags));
    if !front.was_purged(fill, &object.tags) {
        front.shelf.keep(&object);
        if let Some(disk) = front.shelf.disk().filter(|_| object.on_disk)
            && let Err(error) = disk.refresh(&object)
        {
            tracing::warn!(target = wanted.target, %error, "a revalidated object keeps its old end on disk");
        }
        forget_purged(front, fill, &object);
    }
    fill.complete(object, Outcome::Unchanged);
}

/// Makes room for a shareable answer; gives back one that is not, or for which there is none.
async fn begin(
    front: &Front,
    key: &Arc<str>,
    partial: Option<(Arc<Flow>, Held)>,
    answer: http::Response<Incoming>,
    came: Came,
) -> Result<Result<Begun, (http::Response<Incoming>, Alone)>, UpstreamError> {
    if let Some((partial, held)) = partial.filter(|_| answer.status() == StatusCode::PARTIAL_CONTENT) {
        let keep = keep_of_rest(front, &partial, answer.headers(), came);
        let sink = Sink::resumed(front, key, &partial, held).await.map_err(UpstreamError::Nowhere)?;
        let (head, length) = (Arc::clone(&partial.head), partial.length);
        return Ok(Ok(Begun { head, keep, length, body: answer.into_body(), sink }));
    }
    let keep = policy::keep(front.rules(), answer.status(), answer.headers(), came);
    // A 204 has no body, and no length either (RFC 9110 section 8.6).
    let is_bodiless = answer.status() == StatusCode::NO_CONTENT;
    let length = if is_bodiless { Some(0) } else { content_length(answer.headers()) };
    let is_too_large = length.is_some_and(|length| length > front.settings.object_max.0);
    if keep == Keep::Unshared || is_too_large {
        return Ok(Err((answer, Alone::NotShared)));
    }
    let Some(held) = front.shelf.room(length.unwrap_or(0)) else {
        tracing::warn!(
            length,
            "bodies on their way take all room that there is (cache.filling): one is passed on alone"
        );
        return Ok(Err((answer, Alone::NoRoom)));
    };
    let (parts, body) = answer.into_parts();
    let mut headers = parts.headers;
    front.clean(&mut headers);
    headers.remove(header::AGE);
    if is_bodiless {
        headers.remove(header::CONTENT_LENGTH);
    }
    let sink = Sink::new(front, key, held).map_err(UpstreamError::Nowhere)?;
    Ok(Ok(Begun { head: Arc::new(Head::new(parts.status, headers)), keep, length, body, sink }))
}

/// Whether `answer` says that the rest of what `partial` begins cannot be had, or may not be kept: it is asked for as a whole then. A
/// whole body is of use in any case, and so is a fault, which says nothing of either.
fn is_of_no_use(front: &Front, partial: &Flow, answer: &http::Response<Incoming>, came: Came) -> bool {
    let headers = answer.headers();
    match answer.status() {
        // An origin that does not know If-Range finds nothing behind the end of a shorter body.
        StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::PRECONDITION_FAILED => true,
        StatusCode::PARTIAL_CONTENT => {
            !continues(headers, partial.head.strong_etag(), partial.written, partial.length)
                || keep_of_rest(front, partial, headers, came) == Keep::Unshared
        }
        _ => false,
    }
}

/// What may be kept of a body whose beginning is here: the head of its rest says how old it is now, and whose.
fn keep_of_rest(front: &Front, partial: &Flow, rest: &HeaderMap, came: Came) -> Keep {
    const OF_KEEPING: [HeaderName; 7] = [
        header::DATE,
        header::AGE,
        header::EXPIRES,
        header::CACHE_CONTROL,
        HeaderName::from_static("cdn-cache-control"),
        header::SET_COOKIE,
        header::VARY,
    ];
    let mut headers = partial.head.headers.clone();
    for name in OF_KEEPING.into_iter().filter(|name| rest.contains_key(name)) {
        headers.remove(&name);
        for value in rest.get_all(&name) {
            headers.append(&name, value.clone());
        }
    }
    policy::keep(front.rules(), StatusCode::OK, &headers, came)
}

/// Writes the body as it comes; resumes it where it broke off, if that can be.
async fn flow_on(front: &Front, fill: &Arc<Fill>, wanted: &Wanted, begun: &mut Begun) -> Result<(), UpstreamError> {
    let mut resumes = 0;
    loop {
        let broke = match begun.sink.next(front, &mut begun.body, fill).await {
            Ok(Some(data)) => {
                let end = begun.sink.written + data.len() as u64;
                if begun.length.is_some_and(|length| end > length) {
                    return Err(UpstreamError::Length);
                }
                if end > front.settings.object_max.0 {
                    front.shelf.set_unshared(&fill.key);
                    return Err(UpstreamError::TooLarge);
                }
                if !begun.sink.file.held().is_none_or(|held| front.shelf.more_room(held, end)) {
                    front.shelf.set_unshared(&fill.key);
                    return Err(UpstreamError::NoRoom);
                }
                begun.sink.write(data, fill).await.map_err(UpstreamError::Nowhere)?;
                continue;
            }
            Ok(None) if begun.length.is_none_or(|length| length == begun.sink.written) => return Ok(()),
            Ok(None) => UpstreamError::Length,
            Err(error) => error,
        };
        if resumes == front.upstream.settings().resumes || begun.head.strong_etag().is_none() || begun.length.is_none()
        {
            return Err(broke);
        }
        resumes += 1;
        let mut headers = wanted.headers.clone();
        resume_from(&mut headers, &begun.head, begun.sink.written);
        let answer = front.ask(&Method::GET, &wanted.target, headers).await?;
        let is_rest = answer.status() == StatusCode::PARTIAL_CONTENT
            && continues(answer.headers(), begun.head.strong_etag(), begun.sink.written, begun.length);
        if !is_rest {
            return Err(broke);
        }
        tracing::info!(target = wanted.target, written = begun.sink.written, "a body that broke off is resumed");
        begun.body = answer.into_body();
    }
}

/// Keeps a complete body, unless it was purged meanwhile.
async fn settle(front: &Front, fill: &Arc<Fill>, wanted: &Wanted, begun: Begun, key: Arc<str>) {
    let Begun { head, keep, mut sink, .. } = begun;
    let Keep::Shared { times, tags, vary } = keep else { return fill.abort() };
    let (file, written, scratch) = (Arc::clone(&sink.file), sink.written, sink.take_disk());
    // Chunked bodies have a length now.
    let head = if head.headers.contains_key(header::CONTENT_LENGTH) || head.status == StatusCode::NO_CONTENT {
        head
    } else {
        let mut headers = head.headers.clone();
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(written));
        Arc::new(Head::new(head.status, headers))
    };
    let medium = match Medium::settled(Arc::clone(&file), written) {
        Ok(medium) => medium,
        Err(error) => {
            tracing::error!(%error, "what was just written cannot be read");
            return fill.abort();
        }
    };
    let was_purged = front.was_purged(fill, &tags);
    let to_disk = scratch.zip(front.shelf.disk().cloned()).filter(|_| !was_purged);
    let to_disk = to_disk.map(|((scratch, digest), disk)| {
        let meta = Meta {
            key: key.to_string(),
            status: head.status.as_u16(),
            headers: disk::pairs(&head.headers),
            times,
            length: written,
            digest,
            tags: tags.to_vec(),
            path: wanted.target.clone(),
            vary: vary.iter().map(ToString::to_string).collect(),
        };
        (disk, scratch, meta)
    });
    let on_disk = to_disk.is_some();
    let asset = front.shelf.assets.of(&wanted.target);
    let object =
        Arc::new(Object { key, head, times, length: written, medium, tags, asset, was_hit: false.into(), on_disk });
    // Viewers first, the folder later.
    if !was_purged {
        front.shelf.keep(&object);
        forget_purged(front, fill, &object);
    }
    if front.shelf.counts(&object) {
        // Else it is there until its last reader has it, and takes its room as long.
        file.holds_only(0);
    }
    fill.complete(Arc::clone(&object), Outcome::Fetched);
    if !was_purged {
        front.order.learn(&wanted.target, &object).await;
    }
    if let Some((disk, scratch, meta)) = to_disk {
        let admitted = tokio::task::spawn_blocking(move || disk.admit(scratch, meta)).await;
        match admitted.map_err(io::Error::other).flatten() {
            Ok(()) => file.holds_only(0),
            Err(error) => tracing::warn!(target = wanted.target, %error, "an object stays in memory only"),
        }
        forget_purged(front, fill, &object);
    }
}

/// Forgets what was just kept if a purge came in between, which has not found it.
fn forget_purged(front: &Front, fill: &Fill, object: &Object) {
    if front.was_purged(fill, &object.tags) {
        front.shelf.forget(&object.key);
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Asks whether the kept one is still right.
fn validators(headers: &mut HeaderMap, head: &Head) {
    if let Some(etag) = head.etag() {
        headers.insert(header::IF_NONE_MATCH, etag.clone());
    }
    if let Some(modified) = head.headers.get(header::LAST_MODIFIED) {
        headers.insert(header::IF_MODIFIED_SINCE, modified.clone());
    }
}

/// Asks for what is missing, of the very same bytes.
fn resume_from(headers: &mut HeaderMap, head: &Head, written: u64) {
    let Some(etag) = head.strong_etag() else { return };
    headers.insert(header::IF_RANGE, etag.clone());
    let range = format!("bytes={written}-");
    headers.insert(header::RANGE, HeaderValue::from_str(&range).expect("digits"));
}

/// Whether a 206 is the rest of the same bytes.
pub(crate) fn continues(headers: &HeaderMap, etag: Option<&HeaderValue>, written: u64, length: Option<u64>) -> bool {
    let length = length.filter(|length| written < *length);
    let wanted = length.map(|length| format!("bytes {written}-{}/{length}", length - 1));
    let range = headers.get(header::CONTENT_RANGE).and_then(|range| range.to_str().ok());
    etag.is_some() && headers.get(header::ETAG) == etag && range.is_some() && range == wanted.as_deref()
}
