//! Fetches one slice of a body that is not wholly here: a part on a grid, so that whoever wants bytes far ahead of a fill finds what
//! another has asked for. Slices are kept in memory only, and go when the whole is here.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use hyper::body::Incoming;

use super::Wanted;
use super::sink::Sink;
use crate::fill::{Fill, Flow, Outcome};
use crate::front::Front;
use crate::medium::Medium;
use crate::object::{Head, Object, UnixMs};
use crate::policy::{self, Came, Keep};
use crate::shelf::{Sliced, count};
use crate::upstream::UpstreamError;

/// Bytes of a slice.
pub(crate) const SLICE_BYTES: u64 = 1 << 20;

/// The body that slices are of.
#[derive(Debug)]
pub(crate) struct Whole {
    /// What it would be kept under.
    pub key: Arc<str>,
    pub head: Arc<Head>,
    /// Strong: the very bytes.
    pub etag: HeaderValue,
    pub length: u64,
    /// Path and query as they are asked upstream.
    pub target: String,
    /// Fields that upstream sees.
    pub headers: HeaderMap,
}

// === impl Whole ===

impl Whole {
    /// The body that `flow` is the beginning of; `None` where nothing says which bytes it has.
    pub(crate) fn of(flow: &Flow, length: u64, wanted: &Wanted) -> Option<Self> {
        Some(Self {
            key: Arc::clone(&flow.key),
            head: Arc::clone(&flow.head),
            etag: flow.head.strong_etag()?.clone(),
            length,
            target: wanted.target.clone(),
            headers: wanted.headers.clone(),
        })
    }

    /// First byte of a slice, and the one behind it.
    fn span(&self, number: u64) -> (u64, u64) {
        let first = number * SLICE_BYTES;
        (first, (first + SLICE_BYTES).min(self.length))
    }
}

/// Drives `fill` to its end: slice `number` of `whole`, if upstream still has the very same bytes.
pub(crate) async fn run(front: Arc<Front>, fill: Arc<Fill>, whole: Arc<Whole>, number: u64) {
    let ending = super::Ending { front: &front, fill: &fill };
    match fetch(&front, &fill, &whole, number).await {
        Ok(object) => {
            if !front.was_purged(&fill, &object.tags) {
                let sliced = Sliced { count: whole.length.div_ceil(SLICE_BYTES), etag: whole.etag.clone() };
                front.shelf.keep_slice(&whole.key, sliced, &object);
                super::forget_purged(&front, &fill, &object);
            }
            if let (true, Medium::File(file)) = (front.shelf.counts(&object), &object.medium) {
                file.holds_only(0);
            }
            fill.complete(object, Outcome::Fetched);
        }
        Err(error) => {
            tracing::debug!(target = whole.target, number, error = %flame_service_host::problem::chain(&error), "no slice");
        }
    }
    drop(ending);
}

/// Asks upstream for the bytes of `whole` from the first of the two on to before the second, if it still has the very same.
pub(crate) async fn ask(
    front: &Front,
    whole: &Whole,
    (first, end): (u64, u64),
) -> Result<http::Response<Incoming>, UpstreamError> {
    let mut headers = whole.headers.clone();
    headers.insert(header::IF_RANGE, whole.etag.clone());
    headers.insert(header::RANGE, HeaderValue::from_str(&format!("bytes={first}-{}", end - 1)).expect("digits"));
    count(&front.shelf.assets.of(&whole.target).fetches, 1);
    let answer = front.ask(&Method::GET, &whole.target, headers).await?;
    let wanted = format!("bytes {first}-{}/{}", end - 1, whole.length);
    let says = |name: header::HeaderName| answer.headers().get(name).map(HeaderValue::as_bytes);
    let is_it = answer.status() == StatusCode::PARTIAL_CONTENT
        && says(header::ETAG) == Some(whole.etag.as_bytes())
        && says(header::CONTENT_RANGE) == Some(wanted.as_bytes());
    if is_it { Ok(answer) } else { Err(UpstreamError::Length) }
}

async fn fetch(front: &Front, fill: &Arc<Fill>, whole: &Whole, number: u64) -> Result<Arc<Object>, UpstreamError> {
    let asset = front.shelf.assets.of(&whole.target);
    let (first, end) = whole.span(number);
    let asked = UnixMs::now();
    let answer = ask(front, whole, (first, end)).await?;
    let came = Came::now(asked);
    // What may be done with a part is what its own head says of the whole.
    let Keep::Shared { times, tags, .. } = policy::keep(front.rules(), StatusCode::OK, answer.headers(), came) else {
        return Err(UpstreamError::Length);
    };
    let length = end - first;
    let held = front.shelf.room(length).ok_or(UpstreamError::NoRoom)?;
    let mut sink = Sink::in_memory(held).map_err(UpstreamError::Nowhere)?;
    let flow = Flow {
        key: Arc::clone(&fill.key),
        head: Arc::clone(&whole.head),
        file: Arc::clone(&sink.file),
        times,
        written: 0,
        length: Some(length),
    };
    fill.flow(flow);
    let mut body = answer.into_body();
    while let Some(data) = sink.next(front, &mut body, fill).await? {
        if sink.written + data.len() as u64 > length {
            return Err(UpstreamError::Length);
        }
        count(&asset.fetched_bytes, data.len() as u64);
        sink.write(data, fill).await.map_err(UpstreamError::Nowhere)?;
    }
    if sink.written != length {
        return Err(UpstreamError::Length);
    }
    let medium = Medium::settled(sink.file, length).map_err(UpstreamError::Nowhere)?;
    Ok(Arc::new(Object {
        key: Arc::clone(&fill.key),
        head: Arc::clone(&whole.head),
        times,
        length,
        medium,
        tags,
        asset,
        was_hit: false.into(),
        on_disk: false,
    }))
}
