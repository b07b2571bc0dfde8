//! `GET /objects?key=`: what is in the store of this site, for other sites. Nothing is looked for elsewhere: 421 says that it is not
//! here, and the router that asks searches on.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, HeaderValue, Method, Response};
use flame_api::Problem;
use flame_api::replicas::ObjectQuery;
use flame_service_host::{Caller, Failure, FailureResult, Query, Scope};
use futures_util::{StreamExt, stream};

use super::representation::{Representation, Selection};
use super::{State, error};
use crate::replicas::{BLOCK_BYTES, CONTENT_DIGEST, content_digest, owner};

/// For who asked, and not for other caches that see it.
const CACHE_CONTROL: &str = "private, max-age=60";
/// For all sites that ask the same: their routers may answer them together (RFC 9213).
const CDN_CACHE_CONTROL: (&str, &str) = ("cdn-cache-control", "public, max-age=60");
/// When to ask again while it stops.
const STOPS_RETRY_S: u32 = 1;

/// An object of the store of this site, for streaming at another one. What is at most 8 MiB has a digest (`Content-Digest`, RFC 9530).
#[utoipa::path(
    get,
    operation_id = "object",
    path = "/objects",
    params(ObjectQuery),
    responses(
        (status = 200, description = "The object", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "The part that `Range` asks for", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 400, description = "The key is of nothing that may be copied", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The caller is no service", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "This site shares nothing (`no-replicas`)", body = Problem, content_type = "application/problem+json"),
        (status = 416, description = "The range lies beyond the end"),
        (status = 421, description = "It is not in the store of this site (`elsewhere`)", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The object store is away", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn read(
    Shared(state): Shared<State>,
    caller: Caller,
    Query(ObjectQuery { key }): Query<ObjectQuery>,
    method: Method,
    headers: HeaderMap,
) -> FailureResult<Response<Body>> {
    caller.require(Scope::Service)?;
    let replicas = state.store.replicas().ok_or_else(super::replicas::not_here)?;
    if owner(&key).is_none() {
        return Err(Failure::bad_request("`key` is of nothing that may be copied to another site"));
    }
    let near = state.store.near();
    let info = near.head(&key).await.map_err(|error| error::of_read(&error, &error))?;
    let info = info.ok_or_else(|| error::elsewhere(format_args!("object {key}")))?;
    let etag = HeaderValue::try_from(format!("\"{}\"", info.etag)).map_err(|error| Failure::internal(&error))?;
    let representation = Representation {
        etag,
        size_bytes: info.size_bytes,
        content_type: "application/octet-stream",
        cache_control: CACHE_CONTROL,
    };
    let (head, range) = match representation.select(&method, &headers) {
        Selection::Bodiless(response) => return Ok(response),
        Selection::Bytes(head, range) => (head.header(CDN_CACHE_CONTROL.0, CDN_CACHE_CONTROL.1), range),
    };
    if range.is_empty() {
        return Ok(head.body(Body::empty()).expect("the head is made of valid parts"));
    }
    if range.end - range.start > BLOCK_BYTES {
        let body = near.open(&key, range).await.map_err(|error| error::of_read(&error, &error))?;
        return Ok(head.body(Body::from_stream(body)).expect("the head is made of valid parts"));
    }
    let leave = Arc::clone(replicas.blocks()).acquire_owned().await;
    let leave = leave.map_err(|_| Failure::unavailable("it stops", STOPS_RETRY_S))?;
    let bytes = near.bytes(&key, range).await.map_err(|error| error::of_read(&error, &error))?;
    let head = head.header(CONTENT_DIGEST, content_digest(&bytes));
    // The leave is given back with the body, and not before.
    let body = stream::iter([bytes]).map(move |bytes| {
        let _held = &leave;
        Ok::<_, Infallible>(bytes)
    });
    Ok(head.body(Body::from_stream(body)).expect("the head is made of valid parts"))
}
