//! `GET /{asset}/{version}/{track}/…`: the playlists, init segment and media segments of a track.
//!
//! Everything here is immutable. Segments are ranges of stored objects and stream through: a viewer's request costs a few
//! buffers, whatever the size of the segment. Only what has to be made of a segment is made in memory (`derived`).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State as Shared};
use axum::http::{HeaderMap, Method, Response};
use bytes::Bytes;
use flame_api::Problem;
use flame_playlist::Container;
use flame_service_host::{Failure, FailureResult, Path};

use super::multivariant::{PLAYLIST_TYPE, answer};
use super::representation::{IMMUTABLE, Representation, Selection, etag, held};
use super::{State, error, live, recorded, sealed, text, unlisted};
use crate::clip::Clip;
use crate::complete::Complete;
use crate::derived::{self, Derived, Order, Product};
use crate::live::{Recording, RecordingError};
use crate::names::{self, File, SealTag, TrackName};
use crate::seals::Seal;
use crate::source::{self, Uploaded, UploadedTrack};
use crate::text::TextName;
use crate::track::{Piece, Track, TrackError};

/// From a track's playlist to what belongs to the asset.
pub(super) const TO_ASSET: &str = "../../";
/// Media type of transport streams.
pub(super) const TS_TYPE: &str = "video/mp2t";

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
        ("from" = Option<String>, Query, description = "A clip from this time on, `12.5s`; of what is or was live also `2026-11-26T12:00:00Z`"),
        ("to" = Option<String>, Query, description = "A clip that ends before this time, `40s`"),
    ),
    responses(
        (status = 200, description = "The playlist", body = String, content_type = PLAYLIST_TYPE),
        (status = 304, description = "It has not changed"),
        (status = 400, description = "Live: directives that make no sense, or too far ahead; else: no such clip", body = Problem, content_type = "application/problem+json"),
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
    let (name, tag) = sealed::named(&asset, &version, &track)?;
    if let Some(found) = live::find(&state, &name, tag).await? {
        return live::playlist(&state, found, &name, query.as_deref(), (&method, &headers)).await;
    }
    if let Some(text) = TextName::of(&name) {
        let clip = clip_of(query.as_deref())?;
        return text::playlist(&state, &text, (Container::FragmentedMp4, clip), (&method, &headers)).await;
    }
    let seal = sealed::seal(&state, &name, tag).await?;
    match find(&state, &name).await? {
        Stored::Recording(recording) => {
            let seal = sealed::of_recording(&recording, &name, tag, seal)?;
            recorded::playlist(&recording, seal.as_ref(), query.as_deref(), (&method, &headers))
        }
        stored => {
            let clip = clip_of(query.as_deref())?;
            listed(&stored, Container::FragmentedMp4, (clip, seal.as_ref()), (&method, &headers))
        }
    }
}

/// The media playlist of a track as transport streams
#[utoipa::path(
    get,
    operation_id = "ts_playlist",
    path = "/{asset}/{version}/{track}/ts.m3u8",
    params(
        ("asset" = String, Path, description = "Identifier of the asset"),
        ("version" = String, Path, description = "Version, 12 hex digits"),
        ("track" = String, Path, description = "Name of the track"),
        ("from" = Option<String>, Query, description = "A clip from this time on, `12.5s`"),
        ("to" = Option<String>, Query, description = "A clip that ends before this time, `40s`"),
    ),
    responses(
        (status = 200, description = "The playlist", body = String, content_type = PLAYLIST_TYPE),
        (status = 304, description = "It never changes"),
        (status = 400, description = "No such clip", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The asset is protected, and the URL carries no token that opens it", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such track", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The catalogue or the object store is away", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn ts_playlist(
    Shared(state): Shared<State>,
    Path((asset, version, track)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
) -> FailureResult<Response<Body>> {
    let (name, tag) = sealed::named(&asset, &version, &track)?;
    if let Some(found) = live::find(&state, &name, tag).await? {
        return live::transport_streams(&found, query.as_deref(), (&method, &headers));
    }
    if let Some(text) = TextName::of(&name) {
        let clip = clip_of(query.as_deref())?;
        return text::playlist(&state, &text, (Container::TransportStream, clip), (&method, &headers)).await;
    }
    let seal = sealed::seal(&state, &name, tag).await?;
    let found = find(&state, &name).await?;
    if let Stored::Recording(recording) = &found {
        let seal = sealed::of_recording(recording, &name, tag, seal)?;
        return recorded::transport_streams(recording, seal.as_ref(), query.as_deref(), (&method, &headers));
    }
    let clip = clip_of(query.as_deref())?;
    listed(&found, Container::TransportStream, (clip, seal.as_ref()), (&method, &headers))
}

/// The I-frames of a track
#[utoipa::path(
    get,
    operation_id = "iframe_playlist",
    path = "/{asset}/{version}/{track}/iframes.m3u8",
    params(
        ("asset" = String, Path, description = "Identifier of the asset"),
        ("version" = String, Path, description = "Version, 12 hex digits"),
        ("track" = String, Path, description = "Name of the track"),
    ),
    responses(
        (status = 200, description = "The playlist", body = String, content_type = PLAYLIST_TYPE),
        (status = 304, description = "It never changes"),
        (status = 403, description = "The asset is protected, and the URL carries no token that opens it", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such track, or none with I-frames", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The catalogue or the object store is away", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn iframes(
    Shared(state): Shared<State>,
    Path((asset, version, track)): Path<(String, String, String)>,
    method: Method,
    headers: HeaderMap,
) -> FailureResult<Response<Body>> {
    let (name, tag) = sealed::named(&asset, &version, &track)?;
    if let Some(found) = live::find(&state, &name, tag).await? {
        return live::iframes(&found, (&method, &headers));
    }
    let seal = sealed::seal(&state, &name, tag).await?;
    let stored = find(&state, &name).await?;
    if let Stored::Recording(recording) = &stored {
        let seal = sealed::of_recording(recording, &name, tag, seal)?;
        return recorded::iframes(recording, seal.as_ref(), (&method, &headers));
    }
    let key = seal.map(|seal| seal.listed(TO_ASSET, Container::FragmentedMp4));
    let none = || error::missing(format_args!("I-frames of track {name}"));
    let document = stored.complete().and_then(|complete| complete.iframes(key)).ok_or_else(none)?;
    let document = document.map_err(|refusal| Failure::internal(&refusal))?;
    Ok(answer(&document, PLAYLIST_TYPE, IMMUTABLE, &method, &headers))
}

fn clip_of(query: Option<&str>) -> FailureResult<Option<Clip>> {
    Clip::of(query).map_err(|refusal| Failure::bad_request(refusal.to_string()))
}

/// The playlist of what is complete.
fn listed(
    stored: &Stored,
    container: Container,
    (clip, seal): (Option<Clip>, Option<&Seal>),
    (method, headers): (&Method, &HeaderMap),
) -> FailureResult<Response<Body>> {
    let key = seal.map(|seal| seal.listed(TO_ASSET, container));
    let none = || error::missing("playlist of this kind of what was live");
    let complete = stored.complete().ok_or_else(none)?;
    let document = complete.listed(container, clip, key).map_err(|refusal| error::of_playlist(&refusal))?;
    Ok(answer(&document, PLAYLIST_TYPE, IMMUTABLE, method, headers))
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
    let (name, tag) = sealed::named(&asset, &version, &track)?;
    send_init(&state, (&name, tag), 0, (&method, &headers)).await
}

async fn send_init(
    state: &State,
    (name, tag): (&TrackName, Option<SealTag>),
    number: u32,
    (method, headers): (&Method, &HeaderMap),
) -> FailureResult<Response<Body>> {
    let missing = || error::missing(format_args!("init segment {number} of track {name}"));
    if let Some((_, track)) = live::find(state, name, tag).await? {
        return live::send(state, track.init(number).ok_or_else(missing)?, method, headers).await;
    }
    let seal = sealed::seal(state, name, tag).await?;
    match find(state, name).await? {
        Stored::Track(track) if number == 0 => match seal {
            None => send(state, &track, track.init, (method, headers)).await,
            Some(seal) => {
                let init = state.store.bytes(&track.object_key, track.init.within(0..track.init.size_bytes)).await;
                let init = init.map_err(|error| error::of_read(&error, &error))?;
                sealed_init((&init, &track.init.sha256), &seal, track.media_type, (method, headers))
            }
        },
        Stored::Uploaded(uploaded, at) if number == 0 => {
            let track = &uploaded.tracks[at];
            if let Some(seal) = seal {
                let init = (track.movie.init(), &track.identity);
                return sealed_init(init, &seal, track.media_type(), (method, headers));
            }
            Ok(held((track.movie.init(), &track.identity), track.media_type(), IMMUTABLE, (method, headers)))
        }
        Stored::Track(_) | Stored::Uploaded(..) => Err(missing()),
        Stored::Recording(recording) => {
            let seal = sealed::of_recording(&recording, name, tag, seal)?;
            let sealed = (&*recording, seal.as_ref());
            Box::pin(recorded::init(state, sealed, number, (method, headers))).await?.ok_or_else(missing)
        }
    }
}

fn sealed_init(
    (init, identity): (&Bytes, &[u8; 32]),
    seal: &Seal,
    content_type: &'static str,
    request: (&Method, &HeaderMap),
) -> FailureResult<Response<Body>> {
    let made = derived::sealed_init(init, identity, seal).map_err(|error| error::of_derive(&error))?;
    Ok(held((&made.bytes, &made.identity), content_type, IMMUTABLE, request))
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
        ("segment" = String, Path, description = "`{n}.m4s`, n from 0; `{n}.ts`, the same as a transport stream; `i{k}.m4s`, an I-frame; of subtitles `{n}.vtt`, `{n}.ts.vtt` (beside transport streams) and `all.vtt`; of what is or was live also `{n}.{p}.m4s` (a part) and `init-{k}.mp4`"),
        ("to" = Option<String>, Query, description = "Only what is needed to show what lies before this time, `40s`: the end of a clip"),
    ),
    responses(
        (status = 200, description = "The segment", body = Vec<u8>, content_type = "video/mp4"),
        (status = 206, description = "The part that `Range` asks for", body = Vec<u8>, content_type = "video/mp4"),
        (status = 304, description = "It never changes"),
        (status = 403, description = "The asset is protected, and the URL carries no token that opens it", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such track or segment", body = Problem, content_type = "application/problem+json"),
        (status = 400, description = "`to` is no time, or lies in front of the segment", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The segment is too large for something to be made of it", body = Problem, content_type = "application/problem+json"),
        (status = 416, description = "The range lies beyond the end"),
        (status = 503, description = "The catalogue or the object store is away", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn segment(
    Shared(state): Shared<State>,
    Path((asset, version, track, segment)): Path<(String, String, String, String)>,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
) -> FailureResult<Response<Body>> {
    let (name, tag) = sealed::named(&asset, &version, &track)?;
    let request = (&method, &headers);
    if let Some(text) = TextName::of(&name) {
        return text::file(&state, &text, &segment, request).await;
    }
    let file = names::file(&segment).map_err(error::of_name)?;
    if let File::Init(number) = file {
        return send_init(&state, (&name, tag), number, request).await;
    }
    let missing = || error::missing(format_args!("{segment} of track {name}"));
    if let Some(found) = live::find(&state, &name, tag).await? {
        return Box::pin(live::file(&state, found, (file, query.as_deref()), request)).await;
    }
    let seal = sealed::seal(&state, &name, tag).await?;
    let found = find(&state, &name).await?;
    if let Stored::Recording(recording) = &found {
        let seal = sealed::of_recording(recording, &name, tag, seal)?;
        let file = (file, query.as_deref());
        return Box::pin(recorded::file(&state, (recording, seal), file, request)).await?.ok_or_else(missing);
    }
    let to_ms = clip_of(query.as_deref())?.and_then(|clip| clip.to_ms);
    match found {
        Stored::Track(track) => {
            Box::pin(stored_file(&state, &track, (file, to_ms, seal), request)).await?.ok_or_else(missing)
        }
        Stored::Uploaded(uploaded, at) => {
            let track = (uploaded.key.as_str(), &uploaded.tracks[at]);
            Box::pin(uploaded_file(&state, track, (file, to_ms, seal), request)).await?.ok_or_else(missing)
        }
        Stored::Recording(_) => Err(missing()),
    }
}

/// Which segment is wanted, and what is to be made of it; I-frames are found otherwise.
fn wanted(file: File, to_ms: Option<u64>) -> Option<(u64, Option<Product>)> {
    let until = |is_ts| to_ms.map(|to_ms| Product::Until { to_ms, is_ts });
    match file {
        File::Segment(number) => Some((number, until(false))),
        File::Ts(number) => Some((number, Some(until(true).unwrap_or(Product::Ts)))),
        File::Init(_) | File::Part(..) | File::Keyframe(_) => None,
    }
}

/// A file of a stored track; `None` where there is none.
async fn stored_file(
    state: &State,
    track: &Track,
    (file, to_ms, seal): (File, Option<u64>, Option<Seal>),
    request: (&Method, &HeaderMap),
) -> FailureResult<Option<Response<Body>>> {
    let found = match file {
        File::Keyframe(number) => track.keyframe(number).map(|(segment, at)| (segment, Some(Product::Keyframe(at)))),
        other => wanted(other, to_ms),
    };
    let found = found.and_then(|(number, product)| Some((number, track.piece(number)?, product)));
    let Some((number, piece, product)) = found else { return Ok(None) };
    let order = sealed::order(file, product, seal);
    let Some(order) = order else { return send(state, track, piece, request).await.map(Some) };
    let content_type = type_of(&order, track.media_type);
    let made = state.workshop.of_stored(track, (number, piece), order).await;
    let made = made.map_err(|error| error::of_derive(&error))?;
    Ok(Some(made_of(&made, content_type, request)))
}

/// A file of what plays as it was uploaded; `None` where there is none.
async fn uploaded_file(
    state: &State,
    (key, track): (&str, &UploadedTrack),
    (file, to_ms, seal): (File, Option<u64>, Option<Seal>),
    request: (&Method, &HeaderMap),
) -> FailureResult<Option<Response<Body>>> {
    let found = match file {
        File::Keyframe(number) => track.keyframe(number).map(|plan| (number, plan, None)),
        other => wanted(other, to_ms).and_then(|(number, product)| Some((number, track.segment(number)?, product))),
    };
    let Some((number, plan, product)) = found else { return Ok(None) };
    let is_keyframe = matches!(file, File::Keyframe(_));
    if let Some(order) = sealed::order(file, product, seal) {
        let content_type = type_of(&order, track.media_type());
        // An I-frame has a number as a segment has, and is another plan.
        let identity = if is_keyframe { track.named(true, number) } else { track.identity };
        let made = state.workshop.of_uploaded((key, track), (number, &plan, &identity), order).await;
        let made = made.map_err(|error| error::of_derive(&error))?;
        return Ok(Some(made_of(&made, content_type, request)));
    }
    let representation = Representation {
        etag: etag(&track.named(is_keyframe, number)),
        size_bytes: plan.size_bytes,
        content_type: track.media_type(),
        cache_control: IMMUTABLE,
    };
    match representation.select(request.0, request.1) {
        Selection::Bodiless(response) => Ok(Some(response)),
        Selection::Bytes(head, range) => {
            let body = source::body(&state.store, key, &plan, range).await;
            let body = body.map_err(|error| error::of_read(&error, &error))?;
            Ok(Some(head.body(body).expect("the head is made of valid parts")))
        }
    }
}

fn type_of(order: &Order, of_segment: &'static str) -> &'static str {
    if order.product.is_ts() { TS_TYPE } else { of_segment }
}

fn made_of(made: &Derived, content_type: &'static str, request: (&Method, &HeaderMap)) -> Response<Body> {
    held((&made.bytes, &made.identity), content_type, IMMUTABLE, request)
}

/// How a track is stored.
pub(super) enum Stored {
    /// One object, cut on request.
    Track(Arc<Track>),
    /// One object a segment: it was live.
    Recording(Arc<Recording>),
    /// As it was uploaded: a track of that.
    Uploaded(Arc<Uploaded>, usize),
}

pub(super) async fn find(state: &State, name: &TrackName) -> FailureResult<Stored> {
    let found = state.presentations.for_media(name.asset).await.map_err(|error| error::of_catalogue(&error))?;
    let presentation = found.ok_or_else(|| error::missing(format_args!("asset {}", name.asset)))?;
    if source::version_of(&presentation.source) == name.version {
        let uploaded = state.sources.get(&presentation.source, &presentation.container).await;
        let uploaded = uploaded.map_err(|error| error::of_read(&error, &*error))?;
        let at = uploaded.as_ref().and_then(|uploaded| uploaded.position(&name.track));
        let found = uploaded.zip(at).map(|(uploaded, at)| Stored::Uploaded(uploaded, at));
        return found.ok_or_else(|| error::missing(format_args!("track {name}")));
    }
    if recorded::is_recording(&presentation, name) {
        // Not by way of tracks: other sites would be asked for one that nobody has.
        let recording = state.recordings.get(&presentation.tenant, name).await;
        return recording.map(Stored::Recording).map_err(|error| recorded::failure(state, &error));
    }
    // Nor for one that the version does not have.
    if state.store.replicas().is_some() {
        if unlisted::is_invented(&presentation, name) {
            return Err(error::missing(format_args!("track {name}")));
        }
        if !unlisted::is_listed(&presentation, name) {
            return Box::pin(unlisted::track(state, &presentation.tenant, name)).await;
        }
    }
    match state.tracks.get(&presentation.tenant, name).await {
        Ok(track) => Ok(Stored::Track(track)),
        // It may be of a recording that no longer is the asset's version.
        Err(lost) if matches!(*lost, TrackError::Missing { .. } | TrackError::Nowhere { .. }) => {
            match state.recordings.get(&presentation.tenant, name).await {
                Ok(recording) => Ok(Stored::Recording(recording)),
                Err(gone) if matches!(*gone, RecordingError::Missing(_)) => Err(error::of_track(&lost)),
                Err(gone) => Err(error::of_recording(&gone)),
            }
        }
        Err(error) => Err(error::of_track(&error)),
    }
}

async fn send(
    state: &State,
    track: &Track,
    piece: Piece,
    (method, headers): (&Method, &HeaderMap),
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

// === impl Stored ===

impl Stored {
    /// What playlists say of it; `None` of what was live.
    pub(super) fn complete(&self) -> Option<&Arc<Complete>> {
        match self {
            Self::Track(track) => Some(&track.complete),
            Self::Uploaded(uploaded, at) => Some(&uploaded.tracks[*at].complete),
            Self::Recording(_) => None,
        }
    }
}
