//! `POST /warm`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flame_api::Problem;
use flame_api::vcdn::{Warm, Warmed};
use flame_service_host::{Caller, FailureResult, Json, Scope};
use futures_util::stream;
use tokio::time::timeout;

use super::error;
use crate::{Surrogate, warm};

/// A sign of life while what is wanted is fetched: routers and clients wait for no head, and for no byte of a body, without an end.
const BLANK_EVERY: Duration = Duration::from_secs(5);

/// Fetches before anybody asks: a URL, and what a playlist of HLS or a manifest of DASH there names. The answer begins at once, with blanks
/// before the document every 5 s, and ends when all of it is here. Who leaves ends it; what is here stays.
#[utoipa::path(
    post,
    path = "/warm",
    request_body = Warm,
    responses(
        (status = 200, description = "What is here now", body = Warmed),
        (status = 404, description = "The name is not served here", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    State(surrogate): State<Surrogate>,
    caller: Caller,
    Json(wanted): Json<Warm>,
) -> FailureResult<Response> {
    caller.require(Scope::Write)?;
    let front = surrogate.front(&wanted.name, &caller.tenant).ok_or_else(|| error::no_front(&wanted.name))?;
    let front = Arc::clone(front);
    let work = Box::pin(async move { warm::warm(&front, &wanted.url, wanted.max).await });
    let pieces = stream::unfold(Some(work), |work| async move {
        let mut work = work?;
        match timeout(BLANK_EVERY, &mut work).await {
            Ok(warmed) => Some((serde_json::to_vec(&warmed).map(Bytes::from), None)),
            Err(_) => Some((Ok(Bytes::from_static(b"\n")), Some(work))),
        }
    });
    let kind = [(header::CONTENT_TYPE, "application/json")];
    Ok((kind, Body::from_stream(pieces)).into_response())
}
