//! What viewers of a channel that has ended get: the playlists, I-frames, clips and MPD of the recording. All of it is
//! immutable but for what names the asset's current version.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Response};
use flame_api::metadata::{Encryption, Version};
use flame_playlist::{Container, Phase, PlaylistError};
use flame_service_host::{Failure, FailureResult};
use futures_util::future::try_join_all;
use uuid::Uuid;

use super::media::TO_ASSET;
use super::multivariant::{PLAYLIST_TYPE, answer};
use super::representation::{IMMUTABLE, held};
use super::{State, error, live};
use crate::derived::{Order, Product};
use crate::live::span::{Asked, Span};
use crate::live::view::{self, View};
use crate::live::{CHAIN, Recording, RecordingError};
use crate::names::{File, TrackName};
use crate::presentation::State::Playable;
use crate::presentation::{Document, Presentation};
use crate::seals::Seal;
use crate::steering::Ways;

/// A recording as it is listed in this form: under the key of `seal`, where it has none of its own.
fn listed(recording: &Recording, seal: Option<&Seal>, container: Container) -> Arc<View> {
    match (&recording.seal, seal) {
        (None, Some(seal)) => recording.under(seal.listed(TO_ASSET, container)),
        (Some(_), _) | (None, None) => Arc::clone(&recording.view),
    }
}

/// Its whole playlist, likewise.
fn whole(recording: &Recording, seal: Option<&Seal>) -> Result<Document, PlaylistError> {
    match (&recording.seal, seal) {
        (None, Some(seal)) => recording.playlist_under(seal.listed(TO_ASSET, Container::FragmentedMp4)),
        (Some(_), _) | (None, None) => Ok(recording.playlist.clone()),
    }
}

/// Whether a track can be had under this seal: what nobody here can encrypt is not offered.
fn takes(seal: Option<&Seal>, view: &View, container: Container) -> bool {
    seal.is_none_or(|seal| seal.takes(&view.facts.codec, container))
}

/// Whether a track is of the recording that plays now.
pub(super) fn is_recording(presentation: &Presentation, name: &TrackName) -> bool {
    matches!(&presentation.state, Playable(version) if version.chain == CHAIN && version.name == name.version)
}

/// Where there are stores of several sites, a recording that is not here is at its channel's.
pub(super) fn failure(state: &State, error: &RecordingError) -> Failure {
    match error {
        RecordingError::Missing(track) if state.store.replicas().is_some() => {
            error::elsewhere(format_args!("the recording of {track}"))
        }
        _ => error::of_recording(error),
    }
}

/// The media playlist of a track, or of a clip of it.
pub(super) fn playlist(
    recording: &Recording,
    seal: Option<&Seal>,
    query: Option<&str>,
    (method, headers): (&Method, &HeaderMap),
) -> FailureResult<Response<Body>> {
    let document = match live::asked(query)? {
        Some(asked) => {
            let span = span_of(asked, std::slice::from_ref(&recording.view))?;
            listed(recording, seal, Container::FragmentedMp4).clip(span)
        }
        None => whole(recording, seal),
    };
    let document = document.map_err(|refusal| error::of_playlist(&refusal))?;
    Ok(answer(&document, PLAYLIST_TYPE, IMMUTABLE, method, headers))
}

/// The playlist of a track as transport streams.
pub(super) fn transport_streams(
    recording: &Recording,
    seal: Option<&Seal>,
    query: Option<&str>,
    (method, headers): (&Method, &HeaderMap),
) -> FailureResult<Response<Body>> {
    if live::asked(query)?.is_some() {
        return Err(live::no_ts_clip());
    }
    let document = listed(recording, seal, Container::TransportStream).transport_streams();
    let document = document.map_err(|refusal| error::of_playlist(&refusal))?;
    Ok(answer(&document, PLAYLIST_TYPE, IMMUTABLE, method, headers))
}

/// The I-frames of a track.
pub(super) fn iframes(
    recording: &Recording,
    seal: Option<&Seal>,
    (method, headers): (&Method, &HeaderMap),
) -> FailureResult<Response<Body>> {
    let document = listed(recording, seal, Container::FragmentedMp4).iframes();
    let document = document.ok_or_else(|| error::missing("I-frame of this track"))?;
    let document = document.map_err(|refusal| Failure::internal(&refusal))?;
    Ok(answer(&document, PLAYLIST_TYPE, IMMUTABLE, method, headers))
}

/// A file of a track: a segment, an I-frame, the end of a clip; `None` where there is none. Init segments are the caller's.
pub(super) async fn file(
    state: &State,
    (recording, seal): (&Recording, Option<Seal>),
    (file, query): (File, Option<&str>),
    request: (&Method, &HeaderMap),
) -> FailureResult<Option<Response<Body>>> {
    let (number, product) = match file {
        File::Segment(number) => match live::asked(query)?.and_then(Asked::end_ms) {
            Some(to_ms) => (number, Product::Until { to_ms, is_ts: false }),
            None if seal.is_some() => (number, Product::Whole),
            None => {
                let Some(octets) = recording.segment(number) else { return Ok(None) };
                return live::send(state, octets, request.0, request.1).await.map(Some);
            }
        },
        File::Keyframe(number) => {
            let Some((number, at)) = recording.view.keyframe(number) else { return Ok(None) };
            (number, Product::Keyframe(at))
        }
        File::Ts(number) => (number, Product::Ts),
        File::Init(_) | File::Part(..) => return Ok(None),
    };
    let Some(octets) = recording.init_of(number).zip(recording.segment(number)) else { return Ok(None) };
    let order = Order { product, sealing: seal.map(|seal| live::sealing(seal.at(number), file)) };
    live::derived(state, octets, (number, order), request).await.map(Some)
}

/// The init segment `number` of a track; `None` where there is none. As `aes-128` it goes out as it is: without a vector of its own nothing
/// says how it is encrypted.
pub(super) async fn init(
    state: &State,
    (recording, seal): (&Recording, Option<&Seal>),
    number: u32,
    (method, headers): (&Method, &HeaderMap),
) -> FailureResult<Option<Response<Body>>> {
    let Some(octets) = recording.init(number) else { return Ok(None) };
    match seal.filter(|seal| seal.method == Encryption::SampleAes) {
        None => live::send(state, octets, method, headers).await.map(Some),
        Some(seal) => {
            let made = state.workshop.sealed_init_of_sent(&octets, seal).await;
            let made = made.map_err(|error| error::of_derive(&error))?;
            Ok(Some(held((&made.bytes, &made.identity), live::MEDIA_TYPE, IMMUTABLE, (method, headers))))
        }
    }
}

/// The multivariant playlist of a recording, or of a clip of it; `setting` is the asset's seal.
pub(super) async fn multivariant(
    state: &State,
    asset: Uuid,
    (presentation, version): (&Presentation, &Version),
    (query, container): (Option<&str>, Container),
    (setting, ways): (Option<Seal>, &Ways),
) -> FailureResult<Document> {
    let recordings = recordings(state, asset, presentation, version).await?;
    let seal = recordings.iter().find_map(|recording| recording.seal.clone()).or(setting);
    let is_taken = |recording: &&Arc<Recording>| takes(seal.as_ref(), &recording.view, container);
    let view = |recording: &Arc<Recording>| listed(recording, seal.as_ref(), container);
    let views: Vec<Arc<View>> = recordings.iter().filter(is_taken).map(view).collect();
    let span = live::asked(query)?.map(|asked| span_of(asked, &views)).transpose()?;
    if span.is_some() && container == Container::TransportStream {
        return Err(live::no_ts_clip());
    }
    let shown = seal.map_or_else(|| version.name.clone(), |seal| seal.version(&version.name));
    view::multivariant((&shown, container), &views, span, ways).map_err(|refusal| error::of_playlist(&refusal))
}

/// The MPD of a recording, or of a clip of it; `setting` is the asset's seal, of samples.
pub(super) async fn mpd(
    state: &State,
    asset: Uuid,
    (presentation, version): (&Presentation, &Version),
    query: Option<&str>,
    (setting, ways): (Option<&Seal>, &Ways),
) -> FailureResult<Document> {
    let recordings = recordings(state, asset, presentation, version).await?;
    if recordings.iter().any(|recording| recording.seal.is_some()) {
        return Err(error::missing(match setting {
            Some(_) => "DASH of an encrypted recording: it was encrypted as `aes-128` while it was live, and stays so",
            None => "DASH of a recording that is encrypted as `aes-128`",
        }));
    }
    let mut views = views(&recordings);
    views.retain(|view| takes(setting, view, Container::FragmentedMp4));
    if views.is_empty() {
        return Err(error::missing("track of this recording whose samples can be encrypted"));
    }
    let span = live::asked(query)?.map(|asked| span_of(asked, &views)).transpose()?;
    let shown = setting.map_or_else(|| version.name.clone(), |seal| seal.version(&version.name));
    mpd_of(&shown, &views, span, (setting, ways))
}

/// The MPD of tracks that are complete, or of what of them has come; their samples under `seal`, if there is one.
pub(super) fn mpd_of(
    version: &str,
    views: &[Arc<View>],
    span: Option<Span>,
    (seal, ways): (Option<&Seal>, &Ways),
) -> FailureResult<Document> {
    let mut mpd = view::mpd(version, views, span);
    for track in &mut mpd.tracks {
        track.track.key_id = seal.map(|seal| seal.key.id);
    }
    mpd.steering = ways.dash();
    mpd.phase = Phase::Recorded;
    let text = mpd.mpd().map_err(|refusal| error::of_playlist(&refusal))?;
    Ok(Document::new(text))
}

fn span_of(asked: Asked, views: &[Arc<View>]) -> FailureResult<Span> {
    let span = asked.resolve(view::origin_ms(views), Some(view::end_ms(views)));
    span.map_err(|refusal| live::no_clip(&refusal))
}

fn views(recordings: &[Arc<Recording>]) -> Vec<Arc<View>> {
    recordings.iter().map(|recording| Arc::clone(&recording.view)).collect()
}

async fn recordings(
    state: &State,
    asset: Uuid,
    presentation: &Presentation,
    version: &Version,
) -> FailureResult<Vec<Arc<Recording>>> {
    let recording = async |name: &str| {
        let name = TrackName { asset, version: version.name.clone(), track: name.to_owned() };
        let recording = state.recordings.get(&presentation.tenant, &name).await;
        recording.map_err(|error| failure(state, &error))
    };
    try_join_all(version.tracks.iter().map(|facts| recording(&facts.name))).await
}
