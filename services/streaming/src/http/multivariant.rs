//! `GET /{asset}/index.m3u8`, `ts.m3u8`, `manifest.mpd`: what plays of an asset now, in HLS and in DASH.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State as Shared};
use axum::http::{HeaderMap, HeaderValue, Method, Response, header};
use flame_api::Problem;
use flame_api::metadata::{Encryption, SoundLabel, Version};
use flame_playlist::Container;
use flame_service_host::{Failure, FailureResult, Path};
use futures_util::future::join_all;
use uuid::Uuid;

use super::representation::{IMMUTABLE, held};
use super::{State, error, live, recorded};
use crate::clip::Clip;
use crate::complete::Complete;
use crate::live::CHAIN;
use crate::multivariant::{self, Listed};
use crate::names::{self, TrackName};
use crate::presentation::{self, Document, Presentation};
use crate::source::Uploaded;
use crate::track::TrackError;

/// Media type of playlists.
pub(super) const PLAYLIST_TYPE: &str = "application/vnd.apple.mpegurl";
/// Media type of MPDs (RFC 6381 knows it as registered by ISO/IEC 23009-1).
pub(super) const MPD_TYPE: &str = "application/dash+xml";
/// An asset gains renditions, so its playlist is kept only for a moment.
pub(super) const CACHE_CONTROL: &str = "public, max-age=2";

/// The multivariant playlist of an asset
#[utoipa::path(
    get,
    operation_id = "multivariant_playlist",
    path = "/{asset}/index.m3u8",
    params(
        ("asset" = String, Path, description = "Identifier of the asset"),
        ("from" = Option<String>, Query, description = "A clip from this time on, `12.5s`"),
        ("to" = Option<String>, Query, description = "A clip that ends before this time, `40s`"),
    ),
    responses(
        (status = 200, description = "The playlist", body = String, content_type = PLAYLIST_TYPE),
        (status = 304, description = "It has not changed"),
        (status = 400, description = "No such clip", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The asset is protected, and the URL carries no token that opens it", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such asset (`not-found`), not yet (`not-ready`, with Retry-After), or never (`conditioning-failed`)", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The catalogue is away", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn playlist(
    Shared(state): Shared<State>,
    Path(asset): Path<String>,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
) -> FailureResult<Response<Body>> {
    let asset = names::asset(&asset).map_err(error::of_name)?;
    if let Some(channel) = live::channel(&state, asset).await? {
        let ways = state.steering.ways(asset, false);
        let form = (&*channel, Container::FragmentedMp4);
        return live::multivariant(form, query.as_deref(), &ways, (&method, &headers));
    }
    let document = hls(&state, asset, Container::FragmentedMp4, query.as_deref()).await?;
    Ok(answer(&document, PLAYLIST_TYPE, CACHE_CONTROL, &method, &headers))
}

/// The multivariant playlist of an asset as transport streams
#[utoipa::path(
    get,
    operation_id = "ts_multivariant_playlist",
    path = "/{asset}/ts.m3u8",
    params(
        ("asset" = String, Path, description = "Identifier of the asset"),
        ("from" = Option<String>, Query, description = "A clip from this time on, `12.5s`"),
        ("to" = Option<String>, Query, description = "A clip that ends before this time, `40s`"),
    ),
    responses(
        (status = 200, description = "The playlist", body = String, content_type = PLAYLIST_TYPE),
        (status = 304, description = "It has not changed"),
        (status = 400, description = "No such clip", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The asset is protected, and the URL carries no token that opens it", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such asset, not yet, never, or nothing of it fits into transport streams", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The catalogue is away", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn ts_playlist(
    Shared(state): Shared<State>,
    Path(asset): Path<String>,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
) -> FailureResult<Response<Body>> {
    let asset = names::asset(&asset).map_err(error::of_name)?;
    if let Some(channel) = live::channel(&state, asset).await? {
        let ways = state.steering.ways(asset, false);
        let form = (&*channel, Container::TransportStream);
        return live::multivariant(form, query.as_deref(), &ways, (&method, &headers));
    }
    let document = hls(&state, asset, Container::TransportStream, query.as_deref()).await?;
    Ok(answer(&document, PLAYLIST_TYPE, CACHE_CONTROL, &method, &headers))
}

/// The MPD of an asset: DASH, from the same segments
#[utoipa::path(
    get,
    operation_id = "mpd",
    path = "/{asset}/manifest.mpd",
    params(
        ("asset" = String, Path, description = "Identifier of the asset"),
        ("from" = Option<String>, Query, description = "A clip from this time on, `12.5s`; of what is or was live also `2026-11-26T12:00:00Z`"),
        ("to" = Option<String>, Query, description = "A clip that ends before this time, `40s`"),
    ),
    responses(
        (status = 200, description = "The MPD", body = String, content_type = MPD_TYPE),
        (status = 304, description = "It has not changed"),
        (status = 400, description = "No such clip", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The asset is protected, and the URL carries no token that opens it", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such asset, not yet, or never", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The catalogue or the object store is away", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn mpd(
    Shared(state): Shared<State>,
    Path(asset): Path<String>,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
) -> FailureResult<Response<Body>> {
    let asset = names::asset(&asset).map_err(error::of_name)?;
    if let Some(channel) = live::channel(&state, asset).await? {
        let ways = state.steering.ways(asset, false);
        return live::mpd(&channel, query.as_deref(), &ways, (&method, &headers));
    }
    let presentation = current(&state, asset).await?;
    if presentation.encryption == Some(Encryption::Aes128) {
        return Err(error::missing("DASH of an asset that is encrypted as `aes-128`: `sample-aes` would be"));
    }
    let subtitles = &presentation.subtitles[..];
    let seal = state.seals.current(asset, &presentation).await.map_err(|error| error::of_seal(&error))?;
    let (seal, ways) = (seal.as_ref(), state.steering.ways(asset, presentation.protected));
    let playing = playing(&state, asset, &presentation).await?;
    if let Playing::Version(version) = playing
        && version.chain == CHAIN
    {
        let (version, sealing) = ((&*presentation, version), (seal, &ways));
        let document = recorded::mpd(&state, asset, version, query.as_deref(), sealing).await?;
        return Ok(answer(&document, MPD_TYPE, CACHE_CONTROL, &method, &headers));
    }
    let clip = Clip::of(query.as_deref()).map_err(|refusal| Failure::bad_request(refusal.to_string()))?;
    let document = match playing {
        Playing::Version(version) => {
            let tracks = segments(&state, asset, &presentation, version).await;
            if let Some(error) = tracks.iter().find_map(|track| track.as_ref().err()) {
                return Err(error::of_track(error));
            }
            let tracks: Vec<_> = tracks.into_iter().map(Result::ok).collect();
            let (tracks, thumbnails) = (of_version(version, tracks), version.thumbnails.as_ref());
            multivariant::mpd(&version.name, (&tracks, subtitles, thumbnails), clip, (seal, &ways))
        }
        Playing::Uploaded(uploaded) => {
            let tracks = of_uploaded(&uploaded, &presentation.sound_labels);
            multivariant::mpd(&uploaded.version, (&tracks, subtitles, None), clip, (seal, &ways))
        }
    };
    let document = document.map_err(|refusal| error::of_playlist(&refusal))?;
    Ok(answer(&document, MPD_TYPE, CACHE_CONTROL, &method, &headers))
}

async fn hls(state: &State, asset: Uuid, container: Container, query: Option<&str>) -> FailureResult<Document> {
    let presentation = current(state, asset).await?;
    let subtitles = &presentation.subtitles[..];
    let seal = state.seals.current(asset, &presentation).await.map_err(|error| error::of_seal(&error))?;
    let ways = state.steering.ways(asset, presentation.protected);
    let playing = playing(state, asset, &presentation).await?;
    if let Playing::Version(version) = playing
        && version.chain == CHAIN
    {
        let (version, sealing) = ((&*presentation, version), (seal, &ways));
        return recorded::multivariant(state, asset, version, (query, container), sealing).await;
    }
    let seal = seal.as_ref();
    let clip = Clip::of(query).map_err(|refusal| Failure::bad_request(refusal.to_string()))?;
    let document = match playing {
        Playing::Version(version) => {
            // Without its segments a rendition still plays; only its I-frames and text that is cut like it are not offered.
            let tracks = if multivariant::offers_iframes(container, clip) || !subtitles.is_empty() {
                segments(state, asset, &presentation, version).await.into_iter().map(Result::ok).collect()
            } else {
                vec![None; version.tracks.len()]
            };
            let tracks = of_version(version, tracks);
            multivariant::playlist(&version.name, (&tracks, subtitles), container, clip, (seal, &ways))
        }
        Playing::Uploaded(uploaded) => {
            let tracks = of_uploaded(&uploaded, &presentation.sound_labels);
            multivariant::playlist(&uploaded.version, (&tracks, subtitles), container, clip, (seal, &ways))
        }
    };
    document.map_err(|refusal| error::of_playlist(&refusal))
}

/// What plays.
enum Playing<'a> {
    Version(&'a Version),
    Uploaded(Arc<Uploaded>),
}

pub(super) async fn current(state: &State, asset: Uuid) -> FailureResult<Arc<Presentation>> {
    let found = state.presentations.current(asset).await.map_err(|error| error::of_catalogue(&error))?;
    found.ok_or_else(|| error::missing(format_args!("asset {asset}")))
}

async fn playing<'a>(state: &State, asset: Uuid, presentation: &'a Presentation) -> FailureResult<Playing<'a>> {
    let otherwise = match &presentation.state {
        presentation::State::Playable(version) => return Ok(Playing::Version(version)),
        presentation::State::Broken { reason } => {
            return Err(Failure::internal(&std::io::Error::other(reason.clone())));
        }
        presentation::State::Waiting => error::not_ready(asset),
        presentation::State::Failed { reason } => error::conditioning_failed(asset, reason),
    };
    match state.sources.get(&presentation.source, &presentation.container).await {
        Ok(Some(uploaded)) => Ok(Playing::Uploaded(uploaded)),
        Ok(None) => Err(otherwise),
        Err(error) => {
            tracing::warn!(%asset, %error, "an uploaded file cannot be looked into now");
            Err(otherwise)
        }
    }
}

/// The segments of each track of a version; none of what was live.
async fn segments(
    state: &State,
    asset: Uuid,
    presentation: &Presentation,
    version: &Version,
) -> Vec<Result<Arc<Complete>, Arc<TrackError>>> {
    let track = async |name: &str| {
        let name = TrackName { asset, version: version.name.clone(), track: name.to_owned() };
        Ok(Arc::clone(&state.tracks.get(&presentation.tenant, &name).await?.complete))
    };
    join_all(version.tracks.iter().map(|facts| track(&facts.name))).await
}

fn of_version(version: &Version, segments: Vec<Option<Arc<Complete>>>) -> Vec<Listed<'_>> {
    let listed = |(facts, complete): (_, Option<Arc<Complete>>)| Listed {
        facts: Cow::Borrowed(facts),
        video_range: complete.as_ref().and_then(|complete| complete.video_range),
        // What is made here has no such layer.
        supplemental_codec: None,
        complete,
    };
    version.tracks.iter().zip(segments).map(listed).collect()
}

fn of_uploaded<'a>(uploaded: &'a Uploaded, labels: &[SoundLabel]) -> Vec<Listed<'a>> {
    let listed = uploaded.tracks.iter().map(|track| {
        let mut facts = track.facts.clone();
        SoundLabel::apply(labels, &mut facts);
        let (facts, complete) = (Cow::Owned(facts), Some(Arc::clone(&track.complete)));
        let supplemental_codec = track.supplemental_codec.as_deref();
        Listed { facts, video_range: track.video_range, supplemental_codec, complete }
    });
    listed.collect()
}

/// Answers with a text that is in memory. One that may be another at the next request has no ranges: a player that asks for what
/// comes after what it has (Chromium's own HLS does) would be told 416 where the new text is shorter.
pub(super) fn answer(
    document: &Document,
    content_type: &'static str,
    cache_control: &str,
    method: &Method,
    headers: &HeaderMap,
) -> Response<Body> {
    let held_for = |headers| held((&document.text, &document.sha256), content_type, cache_control, (method, headers));
    if cache_control == IMMUTABLE {
        return held_for(headers);
    }
    let mut response = if headers.contains_key(header::RANGE) {
        let mut of_all = headers.clone();
        of_all.remove(header::RANGE);
        held_for(&of_all)
    } else {
        held_for(headers)
    };
    response.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("none"));
    response
}
