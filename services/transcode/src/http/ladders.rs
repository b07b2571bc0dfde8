//! `POST /ladders`: the renditions of live media, while it comes.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Response, StatusCode, header};
use flame_api::Problem;
use flame_api::live::RELAY_TYPE;
use flame_media_child::ChildError;
use flame_service_host::{Caller, Failure, FailureResult, Scope};

use crate::live::{LadderError, Ladders};

/// Seconds after which a caller may try again.
const RETRY_AFTER_S: u32 = 5;

/// Makes smaller renditions of live media for as long as the body lasts. Both bodies are messages (`flame_cmaf::relay`): in comes a
/// `NewLadder`, an init segment, and segments chunk by chunk; out go a `LadderTracks`, init segments, and the same segments smaller.
#[utoipa::path(
    post,
    path = "/ladders",
    operation_id = "climb",
    request_body(content = Vec<u8>, content_type = "application/vnd.flame.relay"),
    responses(
        (status = 200, description = "The renditions, as they are made", body = Vec<u8>, content_type = "application/vnd.flame.relay"),
        (status = 400, description = "What came is no such body", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "Nothing came for too long", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Nothing can be made of it", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "There is no place for one more, or the media process is away", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn climb(
    State(ladders): State<Ladders>,
    caller: Caller,
    request: Request,
) -> FailureResult<Response<Body>> {
    caller.require(Scope::Write)?;
    let made = ladders.climb(&caller.tenant, request.into_body()).await.map_err(|error| failure(&error))?;
    let mut answer = Response::new(made);
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(RELAY_TYPE));
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

fn failure(error: &LadderError) -> Failure {
    match error {
        LadderError::Relay(_) | LadderError::Order(_) | LadderError::Head(_) | LadderError::Broken(_) => {
            Failure::bad_request(error.to_string()).because(error)
        }
        LadderError::Wanted(why) => {
            Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "unprocessable", "Nothing can be made of it", why)
        }
        LadderError::Silent(_) => {
            Failure::new(StatusCode::REQUEST_TIMEOUT, "timeout", "Nothing came in time", error.to_string())
        }
        LadderError::Child(ChildError::Input { reason }) => {
            Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "unprocessable", "Nothing can be made of it", reason)
        }
        LadderError::Full(_) | LadderError::Share(_) | LadderError::Child(_) | LadderError::Pipe(_) => {
            Failure::unavailable(error.to_string(), RETRY_AFTER_S).because(error)
        }
    }
}
