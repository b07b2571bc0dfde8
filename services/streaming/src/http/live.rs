//! What viewers of a live channel get: playlists that can be waited for, parts, segments (also the one that is just being made,
//! while it comes), I-frames, the MPD, and clips of what has come.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Response, header};
use flame_playlist::{Container, Directives, Position, directives};
use flame_service_host::{Failure, FailureResult};
use uuid::Uuid;

use super::media::TS_TYPE;
use super::multivariant::{CACHE_CONTROL, MPD_TYPE, PLAYLIST_TYPE, answer};
use super::representation::{IMMUTABLE, Representation, Selection, etag, held};
use super::{State, error, sealed};
use crate::derived::{Order, Product, Sealing};
use crate::live::span::{Asked, Span, SpanError};
use crate::live::view::{self, View};
use crate::live::{Channel, Following, Octets, Track, Waited};
use crate::names::{File, SealTag, TrackName};
use crate::seals::Seal;
use crate::steering::Ways;

/// Media type of what is or was live.
pub(super) const MEDIA_TYPE: &str = "video/mp4";
/// The MPD of a channel that goes on says that it is to be looked at again every second.
const MPD_CACHE_CONTROL: &str = "public, max-age=1";

/// A playlist that nobody waited for is as good as nothing after half a target duration (rfc8216bis, Appendix B.1).
fn plain(target_duration_s: u64) -> String {
    format!("public, max-age={}", (target_duration_s / 2).max(1))
}

/// An answer to a blocking reload is what everybody gets who asks the same (rfc8216bis, Appendix B.1).
fn blocking(target_duration_s: u64) -> String {
    format!("public, max-age={}", 6 * target_duration_s)
}

/// The channel of an asset, while what is asked for is its to give. One that was in the clear and has ended leaves it to its recording once
/// the asset is encrypted, also while others are served from memory still.
///
/// # Errors
/// It has ended, and the catalogue does not say whether it is encrypted.
pub(super) async fn channel(state: &State, asset: Uuid) -> FailureResult<Option<Arc<Channel>>> {
    let Some(channel) = state.live.find(asset) else { return Ok(None) };
    if channel.seal.is_some() || !channel.is_ended() {
        return Ok(Some(channel));
    }
    let found = state.presentations.current(asset).await.map_err(|error| error::of_catalogue(&error))?;
    let is_encrypted = found.is_some_and(|presentation| presentation.encryption.is_some());
    Ok((!is_encrypted).then_some(channel))
}

/// The channel and the track, if that is where the name leads.
///
/// # Errors
/// As of [`channel`]; or the channel is encrypted, and the tag is not that of its key.
pub(super) async fn find(
    state: &State,
    name: &TrackName,
    tag: Option<SealTag>,
) -> FailureResult<Option<(Arc<Channel>, Arc<Track>)>> {
    let channel = channel(state, name.asset).await?.filter(|channel| channel.media_version == name.version);
    let Some(channel) = channel else { return Ok(None) };
    sealed::fits(channel.seal.as_ref(), name, tag)?;
    let track = channel.track(&name.track);
    Ok(track.map(|track| (channel, track)))
}

/// The playlist of a live track, as soon as it has what is asked for.
pub(super) async fn playlist(
    state: &State,
    (channel, track): (Arc<Channel>, Arc<Track>),
    name: &TrackName,
    query: Option<&str>,
    (method, headers): (&Method, &HeaderMap),
) -> FailureResult<Response<Body>> {
    if let Some(asked) = asked(query)? {
        let (views, span) = clip_of(&channel, asked)?;
        let view = views.iter().find(|view| view.facts.name == name.track);
        let view = view.ok_or_else(|| error::missing(format_args!("track {name}")))?;
        let document = view.clip(span).map_err(|refusal| error::of_playlist(&refusal))?;
        return Ok(answer(&document, PLAYLIST_TYPE, CACHE_CONTROL, method, headers));
    }
    let Directives { wait, skip } =
        directives(query.unwrap_or_default()).map_err(|refusal| Failure::bad_request(refusal.to_string()))?;
    let target = channel.target_duration_s().ok_or_else(|| error::not_begun(channel.id))?;
    if let Some(wanted) = wait {
        match track.wait(wanted, channel.first_unseen(), state.live.patience()).await {
            Waited::Come => {}
            Waited::TooFar => return Err(too_far(wanted)),
            Waited::Late => return Err(late(target)),
        }
        still_here(state, &channel)?;
    }
    // What came meanwhile may be longer than anything before.
    let target = channel.target_duration_s().unwrap_or(target);
    let document =
        channel.playlist(&name.track, &track, target, skip).map_err(|refusal| Failure::internal(&refusal))?;
    let cache_control = if wait.is_some() { blocking(target) } else { plain(target) };
    Ok(answer(&document, PLAYLIST_TYPE, &cache_control, method, headers))
}

/// What was waited for may have come to another instance meanwhile.
fn still_here(state: &State, channel: &Channel) -> FailureResult<()> {
    let is_here = channel.is_ended() || state.live.find(channel.id).is_some();
    let detail = || format!("channel {} is another instance's of this service by now", channel.id);
    if is_here { Ok(()) } else { Err(Failure::unavailable_alone(detail(), 1)) }
}

fn too_far(wanted: Position) -> Failure {
    let detail = format!("segment {} lies further ahead than the next one", wanted.number);
    Failure::bad_request(detail)
}

/// A wait that was in vain: rfc8216bis section 6.2.5.2 asks for 503.
fn late(target_duration_s: u64) -> Failure {
    let retry_s = u32::try_from(target_duration_s).unwrap_or(1);
    Failure::unavailable_alone("nothing new came in time: nobody publishes to this channel now", retry_s)
}

/// A part; one that the playlist announces is waited for.
pub(super) async fn part(
    state: &State,
    (channel, track): (Arc<Channel>, Arc<Track>),
    (number, part): (u64, u64),
    (method, headers): (&Method, &HeaderMap),
) -> FailureResult<Response<Body>> {
    if track.part(number, part).is_none() && track.is_announced(number, part) {
        let wanted = Position { number, part: Some(part) };
        let waited = track.wait(wanted, channel.first_unseen(), state.live.patience()).await;
        if waited == Waited::Late {
            return Err(late(u64::from(channel.segment_ms).div_ceil(1000)));
        }
        still_here(state, &channel)?;
    }
    let missing = || error::missing(format_args!("part {number}.{part}: it is not held any more, or has not come"));
    match (&channel.seal, track.part(number, part)) {
        (None, Some(octets)) => send(state, octets, method, headers).await,
        (Some(seal), Some(Octets::Held(bytes, sha256))) => {
            let made = state.workshop.sealed_part((&bytes, &sha256), (number, part), &seal.at(number)).await;
            Ok(held((&made.bytes, &made.identity), MEDIA_TYPE, IMMUTABLE, (method, headers)))
        }
        (Some(_), Some(Octets::Stored(..))) | (_, None) => Err(missing()),
    }
}

/// A file of a live track: a segment, a part, an I-frame, the end of a clip. Init segments are the caller's.
pub(super) async fn file(
    state: &State,
    found: (Arc<Channel>, Arc<Track>),
    (file, query): (File, Option<&str>),
    request: (&Method, &HeaderMap),
) -> FailureResult<Response<Body>> {
    let (track, seal) = (&found.1, found.0.seal.clone());
    let missing = |number: u64| error::missing(format_args!("segment {number}"));
    let (number, product) = match file {
        File::Part(number, at) => return part(state, found, (number, at), request).await,
        File::Segment(number) => match asked(query)?.and_then(Asked::end_ms) {
            Some(to_ms) => (number, Product::Until { to_ms, is_ts: false }),
            // Of what is encrypted as a whole there is nothing before it is whole, but parts.
            None if seal.is_some() && track.is_under_way(number) => return Err(missing(number)),
            None if seal.is_some() => (number, Product::Whole),
            None if track.is_under_way(number) => return Ok(under_way(state, Arc::clone(track), number, request.0)),
            None => {
                return send(state, track.segment(number).ok_or_else(|| missing(number))?, request.0, request.1).await;
            }
        },
        File::Keyframe(number) => {
            let found = track.keyframe(number).ok_or_else(|| error::missing(format_args!("I-frame {number}")))?;
            (found.0, Product::Keyframe(found.1))
        }
        File::Ts(number) => (number, Product::Ts),
        File::Init(_) => return Err(error::missing("file of what is live")),
    };
    let octets = track.init_of(number).zip(track.segment(number)).ok_or_else(|| missing(number))?;
    let order = Order { product, sealing: seal.map(|seal| sealing(seal.at(number), file)) };
    derived(state, octets, (number, order), request).await
}

/// The seal of a file, with the number that it has in its playlist.
pub(super) fn sealing(seal: Seal, file: File) -> Sealing {
    Sealing { seal, sequence: sealed::sequence(file) }
}

/// Something that is made of a segment of what is or was live.
pub(super) async fn derived(
    state: &State,
    (init, segment): (Octets, Octets),
    (number, order): (u64, Order),
    request: (&Method, &HeaderMap),
) -> FailureResult<Response<Body>> {
    let product = order.product;
    let made = state.workshop.of_sent((&init, &segment), number, order).await;
    let made = made.map_err(|error| error::of_derive(&error))?;
    let media_type = if product.is_ts() { TS_TYPE } else { MEDIA_TYPE };
    Ok(held((&made.bytes, &made.identity), media_type, IMMUTABLE, request))
}

/// A segment that is just being made: each part as soon as it is there. Its length and its tag are not known yet, so there are
/// no ranges; what breaks off does not look whole.
fn under_way(state: &State, track: Arc<Track>, number: u64, method: &Method) -> Response<Body> {
    let patience = state.live.patience();
    let parts = futures_util::stream::try_unfold((track, 0), move |(track, at)| async move {
        match track.follow(number, at, patience).await {
            Following::Part(bytes) => Ok(Some((bytes, (track, at + 1)))),
            Following::End => Ok(None),
            Following::Lost => Err(std::io::Error::other("the rest of the segment did not come")),
        }
    });
    let body = if *method == Method::HEAD { Body::empty() } else { Body::from_stream(parts) };
    let head = Response::builder().header(header::CONTENT_TYPE, MEDIA_TYPE).header(header::CACHE_CONTROL, IMMUTABLE);
    head.body(body).expect("the head is made of valid parts")
}

/// The I-frames of a live track.
pub(super) fn iframes(
    (channel, track): &(Arc<Channel>, Arc<Track>),
    (method, headers): (&Method, &HeaderMap),
) -> FailureResult<Response<Body>> {
    let target = channel.target_duration_s().ok_or_else(|| error::not_begun(channel.id))?;
    let document = track.iframes(target).ok_or_else(|| error::missing("I-frame of this track yet"))?;
    let document = document.map_err(|refusal| Failure::internal(&refusal))?;
    Ok(answer(&document, PLAYLIST_TYPE, &plain(target), method, headers))
}

/// The clip that a query asks for.
pub(super) fn asked(query: Option<&str>) -> FailureResult<Option<Asked>> {
    Asked::of(query).map_err(|refusal| no_clip(&refusal))
}

pub(super) fn no_clip(refusal: &SpanError) -> Failure {
    Failure::bad_request(refusal.to_string())
}

/// A clip of what has come, with the tracks as they are now.
fn clip_of(channel: &Channel, asked: Asked) -> FailureResult<(Vec<Arc<View>>, Span)> {
    let views = channel.all_views().ok_or_else(|| error::not_begun(channel.id))?;
    let end_ms = channel.is_ended().then(|| view::end_ms(&views));
    let span = asked.resolve(view::origin_ms(&views), end_ms).map_err(|refusal| no_clip(&refusal))?;
    if end_ms.is_none() && !view::have_come(&views, span.to_ms, channel.segment_ms) {
        return Err(error::not_come(channel.id));
    }
    Ok((views, span))
}

/// Answers with octets that are in memory or in the store.
pub(super) async fn send(
    state: &State,
    octets: Octets,
    method: &Method,
    headers: &HeaderMap,
) -> FailureResult<Response<Body>> {
    let (key, size_bytes, sha256) = match octets {
        Octets::Held(bytes, sha256) => return Ok(held((&bytes, &sha256), MEDIA_TYPE, IMMUTABLE, (method, headers))),
        Octets::Stored(key, size_bytes, sha256) => (key, size_bytes, sha256),
    };
    let representation =
        Representation { etag: etag(&sha256), size_bytes, content_type: MEDIA_TYPE, cache_control: IMMUTABLE };
    match representation.select(method, headers) {
        Selection::Bodiless(response) => Ok(response),
        Selection::Bytes(head, range) => {
            let body = state.store.open(&key, range).await.map_err(|error| error::of_read(&error, &error))?;
            Ok(head.body(Body::from_stream(body)).expect("the head is made of valid parts"))
        }
    }
}

/// Of what is or was live there are clips as fragmented MP4 only.
pub(super) fn no_ts_clip() -> Failure {
    Failure::bad_request(
        "a clip of what is or was live is offered as fragmented MP4 and as DASH only: `index.m3u8`, `manifest.mpd`",
    )
}

/// The playlist of a live track as transport streams.
pub(super) fn transport_streams(
    (channel, track): &(Arc<Channel>, Arc<Track>),
    query: Option<&str>,
    (method, headers): (&Method, &HeaderMap),
) -> FailureResult<Response<Body>> {
    if asked(query)?.is_some() {
        return Err(no_ts_clip());
    }
    let target = channel.target_duration_s().ok_or_else(|| error::not_begun(channel.id))?;
    let document = track.transport_streams(target).map_err(|refusal| error::of_playlist(&refusal))?;
    Ok(answer(&document, PLAYLIST_TYPE, &plain(target), method, headers))
}

/// The multivariant playlist of a live channel in a form, or of a clip of it.
pub(super) fn multivariant(
    (channel, container): (&Channel, Container),
    query: Option<&str>,
    ways: &Ways,
    (method, headers): (&Method, &HeaderMap),
) -> FailureResult<Response<Body>> {
    let document = match asked(query)? {
        None => channel.multivariant(container, ways).ok_or_else(|| error::not_begun(channel.id))?,
        Some(_) if container == Container::TransportStream => return Err(no_ts_clip()),
        Some(asked) => {
            let (views, span) = clip_of(channel, asked)?;
            view::multivariant((&channel.shown_version(), container), &views, Some(span), ways)
        }
    };
    let document = document.map_err(|refusal| error::of_playlist(&refusal))?;
    Ok(answer(&document, PLAYLIST_TYPE, CACHE_CONTROL, method, headers))
}

/// The MPD of a live channel, or of a clip of it.
pub(super) fn mpd(
    channel: &Channel,
    query: Option<&str>,
    ways: &Ways,
    (method, headers): (&Method, &HeaderMap),
) -> FailureResult<Response<Body>> {
    if channel.seal.is_some() {
        return Err(error::missing("DASH of a channel that is encrypted as `aes-128`"));
    }
    let Some(asked) = asked(query)? else {
        let document = channel.mpd(ways).ok_or_else(|| error::not_begun(channel.id))?;
        let document = document.map_err(|refusal| Failure::internal(&refusal))?;
        return Ok(answer(&document, MPD_TYPE, MPD_CACHE_CONTROL, method, headers));
    };
    let (views, span) = clip_of(channel, asked)?;
    let document = super::recorded::mpd_of(&channel.media_version, &views, Some(span), (None, ways))?;
    Ok(answer(&document, MPD_TYPE, CACHE_CONTROL, method, headers))
}
