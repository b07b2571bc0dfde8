//! `/whip/{key}`: sessions of WebRTC begin and end here (RFC 9725). Their media comes another way ([`crate::whip`]).

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flame_api::problem::Problem;
use flame_service_host::problem::chain;
use flame_service_host::{Failure, FailureResult, Path};
use uuid::Uuid;

use super::Door;
use super::push::key_of;
use crate::live::key::KeyError;
use crate::push::ChannelKey;
use crate::whip::{self, WhipError};

/// The type of offers and answers.
const SDP: &str = "application/sdp";
/// Says what may be posted (W3C Linked Data Platform 1.0 section 7.1).
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
/// When to try again what is away, seconds.
const RETRY_AFTER_S: u32 = 2;

/// What can be done here.
#[utoipa::path(options, operation_id = "whip_options", path = "/whip/{key}", tag = "whip",
    params(("key" = String, Path, description = "As for POST")),
    responses((status = 204, description = "`Accept-Post` names the type of offers")),
)]
pub(super) async fn options() -> Response {
    (StatusCode::NO_CONTENT, [(header::ALLOW, "OPTIONS, POST"), (ACCEPT_POST, SDP)]).into_response()
}

/// Begins a session with the offer of an encoder. Candidates are not trickled: the answer has all of this side.
#[utoipa::path(post, operation_id = "whip_begin", path = "/whip/{key}", tag = "whip",
    params(("key" = String, Path, description = "The channel's key; or its id, with the key as bearer token in `Authorization`")),
    request_body(content = String, content_type = "application/sdp", description = "The offer"),
    responses(
        (status = 201, description = "The answer; `Location` is the session, DELETE there ends it", body = String, content_type = "application/sdp"),
        (status = 400, description = "The offer cannot be read (`no-offer`)", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key opens nothing (`wrong-key`)", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "This service has no such door", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is no SDP", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "It offers neither H.264 nor Opus (`no-media`)", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Streaming is away, or too many sessions are open", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn begin(
    State(door): State<Door>,
    Path(shown): Path<String>,
    headers: HeaderMap,
    offer: String,
) -> FailureResult<Response> {
    let (whip, key) = admitted(&door, &shown, &headers)?;
    let sent = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = sent.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case(SDP) {
        let detail = format!("an offer is {SDP}, not `{essence}`");
        return Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-type", "This is no SDP", detail));
    }
    let begun = whip.begin(key, &offer).await.map_err(|error| refused(whip, &error))?;
    let location = format!("/whip/{shown}/{}", begun.id);
    let headers = [(header::CONTENT_TYPE, SDP.to_owned()), (header::LOCATION, location)];
    Ok((StatusCode::CREATED, headers, begun.answer).into_response())
}

/// Ends a session.
#[utoipa::path(delete, operation_id = "whip_end", path = "/whip/{key}/{session}", tag = "whip",
    params(
        ("key" = String, Path, description = "As for POST"),
        ("session" = Uuid, Path, description = "The session, as `Location` said"),
    ),
    responses(
        (status = 200, description = "It ends"),
        (status = 403, description = "The key opens nothing (`wrong-key`)", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such session, or none any more", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn end(
    State(door): State<Door>,
    Path((shown, session)): Path<(String, Uuid)>,
    headers: HeaderMap,
) -> FailureResult<StatusCode> {
    let (whip, key) = admitted(&door, &shown, &headers)?;
    if whip.end(&key, session) {
        Ok(StatusCode::OK)
    } else {
        Err(Failure::not_found(format_args!("session {session} of this channel")))
    }
}

/// The door, and what could be a key.
fn admitted<'a>(door: &'a Door, shown: &str, headers: &HeaderMap) -> FailureResult<(&'a whip::Door, ChannelKey)> {
    let Some(whip) = &door.whip else {
        return Err(Failure::not_found(format_args!("WHIP door: this service is configured without [whip]")));
    };
    let key = key_of(shown, headers).ok_or_else(|| refused(whip, &WhipError::Key(KeyError::Wrong)))?;
    Ok((whip, key))
}

fn refused(whip: &whip::Door, error: &WhipError) -> Failure {
    whip.figures().refused.with_label_values(&[error.reason()]).inc();
    let detail = chain(error);
    match error {
        WhipError::Key(KeyError::Wrong) => {
            Failure::new(StatusCode::FORBIDDEN, "wrong-key", "The key opens nothing", "no channel has this key")
        }
        WhipError::Offer(whip::session::OfferError::Unreadable(_)) => {
            Failure::new(StatusCode::BAD_REQUEST, "no-offer", "The offer cannot be read", detail)
        }
        WhipError::Offer(whip::session::OfferError::NoMedia) => {
            Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "no-media", "There is nothing to take", detail)
        }
        WhipError::Key(KeyError::NoWay | KeyError::NotAsked(_))
        | WhipError::Full { .. }
        | WhipError::Crowded { .. }
        | WhipError::Busy => Failure::unavailable_alone(detail, RETRY_AFTER_S),
        WhipError::Stopping => Failure::unavailable(detail, RETRY_AFTER_S),
    }
}
