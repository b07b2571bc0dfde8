//! `GET /{asset}/{version}/{track}/…`: the media playlist, init segment and media segments of a track.
//!
//! Everything here is immutable. Segments are ranges of the track's object and stream through: a viewer's
//! request costs a few buffers, whatever the size of the segment.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State as Shared};
use axum::http::{HeaderMap, Method, Response};
use flame_api::Problem;
use flame_service_host::{FailureResult, Path};

use super::multivariant::{PLAYLIST_TYPE, answer};
use super::representation::{IMMUTABLE, Representation, Selection, etag};
use super::{State, error, live};
use crate::live::Recording;
use crate::names::{self, TrackName};
use crate::track::{Piece, Track, TrackError};

/// The media playlist of a track
#[utoipa::path(
    get,
    operation_id = "media_playlist",
    path = "/{asset}/{version}/{track}/index.m3u8",
    params(
        ("asset" = String, Path, description = "Identifier of the asset"),
        ("version" = String, Path, description = "Version, 12 hex digits"),
        ("track" = String, Path, description = "Name of the track"),
        ("_HLS_msn" = Option<u64>, Query, description = "Live: answer as soon as this segment is there"),
        ("_HLS_part" = Option<u64>, Query, description = "Live: answer as soon as this part of it is there"),
        ("_HLS_skip" = Option<String>, Query, description = "Live: `YES`: leave out what is known"),
    ),
    responses(
        (status = 200, description = "The playlist", body = String, content_type = PLAYLIST_TYPE),
        (status = 304, description = "It has not changed"),
        (status = 400, description = "Live: directives that make no sense, or too far ahead", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The asset is protected, and the URL carries no token that opens it", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such track", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The catalogue or the object store is away", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn playlist(
    Shared(state): Shared<State>,
    Path((asset, version, track)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
) -> FailureResult<Response<Body>> {
    let name = TrackName::parse(&asset, &version, &track).map_err(error::of_name)?;
    if let Some(found) = live::find(&state, &name) {
        return live::playlist(&state, found, &name, query.as_deref(), (&method, &headers)).await;
    }
    Ok(match find(&state, &name).await? {
        Stored::Track(track) => answer(&track.playlist, IMMUTABLE, &method, &headers),
        Stored::Recording(recording) => answer(&recording.playlist, IMMUTABLE, &method, &headers),
    })
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
        (status = 403, description = "The asset is protected, and the URL carries no token that opens it", body = Problem, content_type = "application/problem+json"),
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
    let name = TrackName::parse(&asset, &version, &track).map_err(error::of_name)?;
    send_init(&state, &name, 0, (&method, &headers)).await
}

async fn send_init(
    state: &State,
    name: &TrackName,
    number: u32,
    (method, headers): (&Method, &HeaderMap),
) -> FailureResult<Response<Body>> {
    let missing = || error::missing(format_args!("init segment {number} of track {name}"));
    if let Some((_, track)) = live::find(state, name) {
        return live::send(state, track.init(number).ok_or_else(missing)?, method, headers).await;
    }
    match find(state, name).await? {
        Stored::Track(track) if number == 0 => send(state, &track, track.init, method, headers).await,
        Stored::Track(_) => Err(missing()),
        Stored::Recording(recording) => {
            live::send(state, recording.init(number).ok_or_else(missing)?, method, headers).await
        }
    }
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
        ("segment" = String, Path, description = "`{n}.m4s`, n from 0; of what is or was live also `{n}.{p}.m4s` (a part) and `init-{k}.mp4`"),
    ),
    responses(
        (status = 200, description = "The segment", body = Vec<u8>, content_type = "video/mp4"),
        (status = 206, description = "The part that `Range` asks for", body = Vec<u8>, content_type = "video/mp4"),
        (status = 304, description = "It never changes"),
        (status = 403, description = "The asset is protected, and the URL carries no token that opens it", body = Problem, content_type = "application/problem+json"),
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
    let name = TrackName::parse(&asset, &version, &track).map_err(error::of_name)?;
    let request = (&method, &headers);
    if let Ok(number) = names::init(&segment) {
        return send_init(&state, &name, number, request).await;
    }
    let found = live::find(&state, &name);
    if let (Ok(numbers), Some(found)) = (names::part(&segment), &found) {
        return live::part(&state, found.clone(), numbers, request).await;
    }
    let number = names::segment(&segment).map_err(error::of_name)?;
    if let Some((_, track)) = found {
        return live::segment(&state, &track, number, request).await;
    }
    let missing = || error::missing(format_args!("segment {number} of track {name}"));
    match find(&state, &name).await? {
        Stored::Track(track) => {
            let piece = usize::try_from(number).ok().and_then(|number| track.segments.get(number));
            send(&state, &track, *piece.ok_or_else(missing)?, &method, &headers).await
        }
        Stored::Recording(recording) => {
            live::send(&state, recording.segment(number).ok_or_else(missing)?, &method, &headers).await
        }
    }
}

/// How a track is stored.
enum Stored {
    /// One object, cut on request.
    Track(Arc<Track>),
    /// One object a segment: it was live.
    Recording(Arc<Recording>),
}

async fn find(state: &State, name: &TrackName) -> FailureResult<Stored> {
    let found = state.presentations.for_media(name.asset).await.map_err(|error| error::of_catalogue(&error))?;
    let presentation = found.ok_or_else(|| error::missing(format_args!("asset {}", name.asset)))?;
    match state.tracks.get(&presentation.tenant, name).await {
        Ok(track) => Ok(Stored::Track(track)),
        Err(error) if matches!(*error, TrackError::Missing { .. }) => {
            let recording = state.recordings.get(&presentation.tenant, name).await;
            recording.map(Stored::Recording).map_err(|error| error::of_recording(&error))
        }
        Err(error) => Err(error::of_track(&error)),
    }
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
