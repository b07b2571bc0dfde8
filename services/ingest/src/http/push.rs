//! `PUT /push/{key}/{name}`: encoders push tracks of CMAF. The key is in the path, or the channel is and the key in `Authorization`.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flame_api::problem::Problem;
use flame_service_host::{Failure, FailureResult, Path};
use uuid::Uuid;

use super::Door;
use crate::live::driver::DriveError;
use crate::live::key::KeyError;
use crate::live::publisher::SendError;
use crate::push::names::{self, Name};
use crate::push::{ChannelKey, Ended, PushError, Pushes};

/// When to try again what is away, seconds.
const RETRY_AFTER_S: u32 = 2;

/// Brings a track, or one segment of it. It is taken while it comes. Playlists are answered and not looked at.
#[utoipa::path(put, path = "/push/{key}/{name}", tag = "push",
    params(
        ("key" = String, Path, description = "The channel's key; or its id, with the key as bearer token or password in `Authorization`"),
        ("name" = String, Path, description = "`v720.mp4` and `Streams(v720.cmfv)` are a whole track; `v720_init.mp4`, `v720_17.m4s` are pieces of one, as are `v720/init.mp4` and `v720/17.m4s`"),
    ),
    request_body(content = Vec<u8>, content_type = "video/mp4"),
    responses(
        (status = 204, description = "Taken"),
        (status = 400, description = "It is no CMAF of one track (`no-cmaf`), or makes no channel (`no-programme`)", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key opens nothing (`wrong-key`)", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "This service has no such door, or the name is none of a track", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "Nothing came for too long", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Another encoder has the channel", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Streaming is away, or too much is pushed already", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn put(
    State(door): State<Door>,
    Path((key, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> FailureResult<StatusCode> {
    take(&door, &key, &name, &headers, body).await
}

/// The same: encoders differ in the method.
#[utoipa::path(post, path = "/push/{key}/{name}", tag = "push",
    params(
        ("key" = String, Path, description = "As for PUT"),
        ("name" = String, Path, description = "As for PUT"),
    ),
    request_body(content = Vec<u8>, content_type = "video/mp4"),
    responses((status = 204, description = "Taken"), (status = "default", description = "As for PUT", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn post(
    State(door): State<Door>,
    Path((key, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> FailureResult<StatusCode> {
    take(&door, &key, &name, &headers, body).await
}

/// Encoders delete what left their own window. Nothing is deleted here: how far back viewers can go is the channel's.
#[utoipa::path(delete, path = "/push/{key}/{name}", tag = "push",
    params(
        ("key" = String, Path, description = "As for PUT"),
        ("name" = String, Path, description = "As for PUT"),
    ),
    responses((status = 204, description = "Noted"), (status = "default", description = "As for PUT", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn delete(
    State(door): State<Door>,
    Path((key, _name)): Path<(String, String)>,
    headers: HeaderMap,
) -> FailureResult<StatusCode> {
    let (pushes, key) = admitted(&door, &key, &headers)?;
    pushes.check(&key).await.map_err(|error| refused(pushes, error))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Names with a folder.
pub(super) async fn take_within(
    State(door): State<Door>,
    Path((key, folder, name)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Body,
) -> FailureResult<StatusCode> {
    take(&door, &key, &format!("{folder}/{name}"), &headers, body).await
}

/// The same for what is deleted.
pub(super) async fn delete_within(
    State(door): State<Door>,
    Path((key, _, name)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> FailureResult<StatusCode> {
    delete(State(door), Path((key, name)), headers).await
}

async fn take(door: &Door, key: &str, path: &str, headers: &HeaderMap, body: Body) -> FailureResult<StatusCode> {
    let (pushes, key) = admitted(door, key, headers)?;
    let name = names::read(path).ok_or_else(|| {
        Failure::not_found(format_args!("track or playlist named `{path}`: names end in .mp4, .m4s, .cmfv or .cmfa"))
    })?;
    let taken = match name {
        Name::Playlist => pushes.check(&key).await,
        Name::Track(name) => pushes.receive(key, name, body).await,
    };
    taken.map_err(|error| refused(pushes, error))?;
    Ok(StatusCode::NO_CONTENT)
}

/// The door, and what could be a key.
fn admitted<'a>(door: &'a Door, shown: &str, headers: &HeaderMap) -> FailureResult<(&'a Pushes, ChannelKey)> {
    let Some(pushes) = &door.pushes else {
        return Err(Failure::not_found(format_args!("CMAF door: this service is configured without [push]")));
    };
    Ok((pushes, key_of(shown, headers).ok_or_else(|| refused(pushes, PushError::Key(KeyError::Wrong)))?))
}

/// What could be a key: it stands in the path, or the channel does and the key in `Authorization`.
pub(super) fn key_of(shown: &str, headers: &HeaderMap) -> Option<ChannelKey> {
    match Uuid::try_parse(shown) {
        Ok(channel) => credential(headers).and_then(|key| ChannelKey::read(&key)).filter(|key| key.is_of(channel)),
        Err(_) => ChannelKey::read(shown),
    }
}

/// Bearer token, or the password of `Basic`.
fn credential(headers: &HeaderMap) -> Option<String> {
    let (scheme, value) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(value.trim().to_owned());
    }
    let pair = STANDARD.decode(value.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    String::from_utf8(pair).ok()?.split_once(':').map(|(_, password)| password.to_owned())
}

fn refused(pushes: &Pushes, error: PushError) -> Failure {
    let count = |reason: &str| pushes.figures().refused.with_label_values(&[reason]).inc();
    let detail = flame_service_host::problem::chain(&error);
    match &error {
        PushError::Key(KeyError::Wrong) => {
            count("key");
            Failure::new(StatusCode::FORBIDDEN, "wrong-key", "The key opens nothing", "no channel has this key")
        }
        PushError::Key(KeyError::NoWay | KeyError::NotAsked(_)) | PushError::Busy | PushError::Full { .. } => {
            count("away");
            Failure::unavailable_alone(detail, RETRY_AFTER_S)
        }
        PushError::Closing | PushError::Waiting => Failure::unavailable_alone(detail, RETRY_AFTER_S),
        PushError::Tracks { .. } => {
            Failure::new(StatusCode::BAD_REQUEST, "no-programme", "This makes no channel", detail)
        }
        PushError::Media(_) | PushError::Broken(_) => {
            Failure::new(StatusCode::BAD_REQUEST, "no-cmaf", "This is no CMAF track", detail)
        }
        PushError::Idle(_) => Failure::new(StatusCode::REQUEST_TIMEOUT, "idle", "The body stood still", detail),
        PushError::Ended(ended) => of_end(ended, detail),
    }
}

/// The answer to what came after the end of its publication.
fn of_end(ended: &Ended, detail: String) -> Failure {
    match ended {
        Ended::Left | Ended::Stopped => Failure::unavailable_alone(detail, RETRY_AFTER_S),
        Ended::Drive(DriveError::NotBegun(SendError::Client(error)))
            if error.status().is_some_and(|status| status < 500) =>
        {
            Failure::new(StatusCode::BAD_REQUEST, "no-programme", "This makes no channel", detail)
        }
        Ended::Drive(DriveError::NotBegun(_)) => Failure::unavailable_alone(detail, RETRY_AFTER_S),
        Ended::Drive(DriveError::Lost(_)) => {
            Failure::new(StatusCode::CONFLICT, "publication-lost", "The publication was lost", detail)
        }
        Ended::Drive(DriveError::Package(_)) => {
            Failure::new(StatusCode::BAD_REQUEST, "no-programme", "This makes no channel", detail)
        }
    }
}
