//! `GET /{asset}/{version}/{track}/…`: the media playlist, init segment and media segments of a track.
//!
//! Everything here is immutable. Segments are ranges of the track's object and stream through: a viewer's
//! request costs a few buffers, whatever the size of the segment.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, Method, Response};
use flame_api::Problem;
use flame_service_host::{FailureResult, Path};

use super::multivariant::{PLAYLIST_TYPE, answer};
use super::representation::{IMMUTABLE, Representation, Selection, etag};
use super::{State, error};
use crate::names::{self, TrackName};
use crate::track::{Piece, Track};

/// The media playlist of a track
#[utoipa::path(
    get,
    operation_id = "media_playlist",
    path = "/{asset}/{version}/{track}/index.m3u8",
    params(
        ("asset" = String, Path, description = "Identifier of the asset"),
        ("version" = String, Path, description = "Version, 12 hex digits"),
        ("track" = String, Path, description = "Name of the track"),
    ),
    responses(
        (status = 200, description = "The playlist", body = String, content_type = PLAYLIST_TYPE),
        (status = 304, description = "It never changes"),
        (status = 404, description = "No such track", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The catalogue or the object store is away", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn playlist(
    Shared(state): Shared<State>,
    Path((asset, version, track)): Path<(String, String, String)>,
    method: Method,
    headers: HeaderMap,
) -> FailureResult<Response<Body>> {
    let track = find(&state, &asset, &version, &track).await?;
    Ok(answer(&track.playlist, IMMUTABLE, &method, &headers))
}

/// The init segment of a track
#[utoipa::path(
    get,
    operation_id = "init_segment",
    path = "/{asset}/{version}/{track}/init.mp4",
    params(
        ("asset" = String, Path, description = "Identifier of the asset"),
        ("version" = String, Path, description = "Version, 12 hex digits"),
        ("track" = String, Path, description = "Name of the track"),
    ),
    responses(
        (status = 200, description = "The init segment", body = Vec<u8>, content_type = "video/mp4"),
        (status = 206, description = "The part that `Range` asks for", body = Vec<u8>, content_type = "video/mp4"),
        (status = 304, description = "It never changes"),
        (status = 404, description = "No such track", body = Problem, content_type = "application/problem+json"),
        (status = 416, description = "The range lies beyond the end"),
        (status = 503, description = "The catalogue or the object store is away", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn init(
    Shared(state): Shared<State>,
    Path((asset, version, track)): Path<(String, String, String)>,
    method: Method,
    headers: HeaderMap,
) -> FailureResult<Response<Body>> {
    let track = find(&state, &asset, &version, &track).await?;
    send(&state, &track, track.init, &method, &headers).await
}

/// A media segment of a track
#[utoipa::path(
    get,
    operation_id = "media_segment",
    path = "/{asset}/{version}/{track}/{segment}",
    params(
        ("asset" = String, Path, description = "Identifier of the asset"),
        ("version" = String, Path, description = "Version, 12 hex digits"),
        ("track" = String, Path, description = "Name of the track"),
        ("segment" = String, Path, description = "`{n}.m4s`, n from 0"),
    ),
    responses(
        (status = 200, description = "The segment", body = Vec<u8>, content_type = "video/mp4"),
        (status = 206, description = "The part that `Range` asks for", body = Vec<u8>, content_type = "video/mp4"),
        (status = 304, description = "It never changes"),
        (status = 404, description = "No such track or segment", body = Problem, content_type = "application/problem+json"),
        (status = 416, description = "The range lies beyond the end"),
        (status = 503, description = "The catalogue or the object store is away", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn segment(
    Shared(state): Shared<State>,
    Path((asset, version, track, segment)): Path<(String, String, String, String)>,
    method: Method,
    headers: HeaderMap,
) -> FailureResult<Response<Body>> {
    let number = names::segment(&segment).map_err(error::of_name)?;
    let track = find(&state, &asset, &version, &track).await?;
    let piece = track
        .segments
        .get(number)
        .ok_or_else(|| error::missing(format_args!("segment {number}: the track has {}", track.segments.len())))?;
    send(&state, &track, *piece, &method, &headers).await
}

async fn find(state: &State, asset: &str, version: &str, track: &str) -> FailureResult<Arc<Track>> {
    let name = TrackName::parse(asset, version, track).map_err(error::of_name)?;
    let found = state.presentations.for_media(name.asset).await.map_err(|error| error::of_catalogue(&error))?;
    let presentation = found.ok_or_else(|| error::missing(format_args!("asset {}", name.asset)))?;
    state.tracks.get(&presentation.tenant, &name).await.map_err(|error| error::of_track(&error))
}

async fn send(
    state: &State,
    track: &Track,
    piece: Piece,
    method: &Method,
    headers: &HeaderMap,
) -> FailureResult<Response<Body>> {
    let representation = Representation {
        etag: etag(&piece.sha256),
        size_bytes: piece.size_bytes,
        content_type: track.media_type,
        cache_control: IMMUTABLE,
    };
    match representation.select(method, headers) {
        Selection::Bodiless(response) => Ok(response),
        Selection::Bytes(head, range) => {
            let body = state.store.open(&track.object_key, piece.within(range)).await;
            let body = body.map_err(|error| error::of_read(&error, &error))?;
            Ok(head.body(Body::from_stream(body)).expect("the head is made of valid parts"))
        }
    }
}
