//! What viewers of a live channel get: playlists that can be waited for, parts, and segments.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Response};
use flame_playlist::{Directives, Position, directives};
use flame_service_host::{Failure, FailureResult};

use super::multivariant::{CACHE_CONTROL, PLAYLIST_TYPE, answer};
use super::representation::{IMMUTABLE, Representation, Selection, etag, held};
use super::{State, error};
use crate::live::{Channel, Octets, Track, Waited};
use crate::names::TrackName;

/// Media type of what is or was live.
const MEDIA_TYPE: &str = "video/mp4";

/// A playlist that nobody waited for is as good as nothing after half a target duration (rfc8216bis, Appendix B.1).
fn plain(target_duration_s: u64) -> String {
    format!("public, max-age={}", (target_duration_s / 2).max(1))
}

/// An answer to a blocking reload is what everybody gets who asks the same (rfc8216bis, Appendix B.1).
fn blocking(target_duration_s: u64) -> String {
    format!("public, max-age={}", 6 * target_duration_s)
}

/// The channel and the track, if that is where the name leads.
pub(super) fn find(state: &State, name: &TrackName) -> Option<(Arc<Channel>, Arc<Track>)> {
    let channel = state.live.find(name.asset).filter(|channel| channel.media_version == name.version)?;
    let track = channel.track(&name.track)?;
    Some((channel, track))
}

/// The playlist of a live track, as soon as it has what is asked for.
pub(super) async fn playlist(
    state: &State,
    (channel, track): (Arc<Channel>, Arc<Track>),
    name: &TrackName,
    query: Option<&str>,
    (method, headers): (&Method, &HeaderMap),
) -> FailureResult<Response<Body>> {
    let Directives { wait, skip } =
        directives(query.unwrap_or_default()).map_err(|refusal| Failure::bad_request(refusal.to_string()))?;
    let target = channel.target_duration_s().ok_or_else(|| error::not_begun(channel.id))?;
    if let Some(wanted) = wait {
        match track.wait(wanted, state.live.patience()).await {
            Waited::Come => {}
            Waited::TooFar => return Err(too_far(wanted)),
            Waited::Late => return Err(late(target)),
        }
    }
    let document =
        channel.playlist(&name.track, &track, target, skip).map_err(|refusal| Failure::internal(&refusal))?;
    let cache_control = if wait.is_some() { blocking(target) } else { plain(target) };
    Ok(answer(&document, PLAYLIST_TYPE, &cache_control, method, headers))
}

fn too_far(wanted: Position) -> Failure {
    let detail = format!("segment {} lies further ahead than the next one", wanted.number);
    Failure::bad_request(detail)
}

/// A wait that was in vain: rfc8216bis section 6.2.5.2 asks for 503.
fn late(target_duration_s: u64) -> Failure {
    let retry_s = u32::try_from(target_duration_s).unwrap_or(1);
    Failure::unavailable("nothing new came in time: nobody publishes to this channel now", retry_s)
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
        let waited = track.wait(wanted, state.live.patience()).await;
        if waited == Waited::Late {
            return Err(late(u64::from(channel.segment_ms).div_ceil(1000)));
        }
    }
    let found = track.part(number, part);
    let octets = found.ok_or_else(|| {
        error::missing(format_args!("part {number}.{part}: it is not held any more, or has not come"))
    })?;
    send(state, octets, method, headers).await
}

/// A segment of a live track.
pub(super) async fn segment(
    state: &State,
    track: &Track,
    number: u64,
    (method, headers): (&Method, &HeaderMap),
) -> FailureResult<Response<Body>> {
    let octets = track.segment(number).ok_or_else(|| error::missing(format_args!("segment {number}")))?;
    send(state, octets, method, headers).await
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

/// The multivariant playlist of a live channel.
pub(super) fn multivariant(channel: &Channel, method: &Method, headers: &HeaderMap) -> FailureResult<Response<Body>> {
    match channel.multivariant() {
        None => Err(error::not_begun(channel.id)),
        Some(Err(refusal)) => Err(Failure::internal(&refusal)),
        Some(Ok(document)) => Ok(answer(&document, PLAYLIST_TYPE, CACHE_CONTROL, method, headers)),
    }
}
