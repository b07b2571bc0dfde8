//! `GET /{asset}/index.m3u8`: the multivariant playlist of what plays now.

use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, Method, Response};
use flame_api::Problem;
use flame_service_host::{Failure, FailureResult, Path};

use super::representation::{Representation, Selection, etag};
use super::{State, error, live};
use crate::names;
use crate::presentation::{self, Document};

/// Media type of playlists.
pub(super) const PLAYLIST_TYPE: &str = "application/vnd.apple.mpegurl";
/// An asset gains renditions, so its playlist is kept only for a moment.
pub(super) const CACHE_CONTROL: &str = "public, max-age=2";

/// The multivariant playlist of an asset
#[utoipa::path(
    get,
    operation_id = "multivariant_playlist",
    path = "/{asset}/index.m3u8",
    params(("asset" = String, Path, description = "Identifier of the asset")),
    responses(
        (status = 200, description = "The playlist", body = String, content_type = PLAYLIST_TYPE),
        (status = 304, description = "It has not changed"),
        (status = 403, description = "The asset is protected, and the URL carries no token that opens it", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such asset (`not-found`), not yet (`not-ready`, with Retry-After), or never (`conditioning-failed`)", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The catalogue is away", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn playlist(
    Shared(state): Shared<State>,
    Path(asset): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> FailureResult<Response<Body>> {
    let asset = names::asset(&asset).map_err(error::of_name)?;
    if let Some(channel) = state.live.find(asset) {
        return live::multivariant(&channel, &method, &headers);
    }
    let found = state.presentations.current(asset).await.map_err(|error| error::of_catalogue(&error))?;
    let presentation = found.ok_or_else(|| error::missing(format_args!("asset {asset}")))?;
    match &presentation.state {
        presentation::State::Playable(document) => Ok(answer(document, CACHE_CONTROL, &method, &headers)),
        presentation::State::Waiting => Err(error::not_ready(asset)),
        presentation::State::Failed { reason } => Err(error::conditioning_failed(asset, reason)),
        presentation::State::Broken { reason } => Err(Failure::internal(&std::io::Error::other(reason.clone()))),
    }
}

/// Answers with a text that is in memory.
pub(super) fn answer(document: &Document, cache_control: &str, method: &Method, headers: &HeaderMap) -> Response<Body> {
    let size_bytes = u64::try_from(document.text.len()).expect("a length in memory fits 64 bits");
    let etag = etag(&document.sha256);
    let representation = Representation { etag, size_bytes, content_type: PLAYLIST_TYPE, cache_control };
    match representation.select(method, headers) {
        Selection::Bodiless(response) => response,
        Selection::Bytes(head, range) => {
            let within = |at: u64| usize::try_from(at).expect("the range lies within a text in memory");
            let part = document.text.slice(within(range.start)..within(range.end));
            head.body(Body::from(part)).expect("the head is made of valid parts")
        }
    }
}
