//! What doors call: `POST /publications/terms`, `POST /publications`, `PUT /publications/{id}/{track}/{name}`, `DELETE /publications/{id}`.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State as Shared};
use axum::http::StatusCode;
use flame_api::Problem;
use flame_api::live::{LiveKey, LiveTerms, NewPublication, Publication, Taken};
use flame_service_host::{Caller, Failure, FailureResult, Json, Path, Scope};
use uuid::Uuid;

use super::{State, error};
use crate::names;

/// Name of the init segment of what is sent.
const INIT: &str = "init.mp4";
/// The most octets of an init segment.
const INIT_MAX_BYTES: usize = 1 << 20;

/// What a key opens: asked before an encoder may send.
#[utoipa::path(
    post,
    operation_id = "live_terms",
    path = "/publications/terms",
    request_body = LiveKey,
    responses(
        (status = 200, description = "The channel, and how it is cut", body = LiveTerms),
        (status = 403, description = "The key opens nothing (`wrong-key`), or its channel has ended", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn terms(
    Shared(state): Shared<State>,
    caller: Caller,
    Json(shown): Json<LiveKey>,
) -> FailureResult<Json<LiveTerms>> {
    caller.require(Scope::Write)?;
    let channel = state.live.opened(&caller.tenant, &shown.key).await.map_err(error::of_live)?;
    Ok(Json(channel.terms().await))
}

/// Begins to send to the channel whose key it is. Whoever did before does not any more.
#[utoipa::path(
    post,
    operation_id = "publish",
    path = "/publications",
    request_body = NewPublication,
    responses(
        (status = 201, description = "Leave to send", body = Publication),
        (status = 403, description = "The key opens nothing (`wrong-key`), or its channel has ended", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value is outside of its limits", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "The disk is nearly full", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    Shared(state): Shared<State>,
    caller: Caller,
    Json(new): Json<NewPublication>,
) -> FailureResult<(StatusCode, Json<Publication>)> {
    caller.require(Scope::Write)?;
    let publication = state.live.publish(&caller.tenant, &new).await.map_err(error::of_live)?;
    Ok((StatusCode::CREATED, Json(publication)))
}

/// Sends the init segment (`init.mp4`) or a segment (`{number}.m4s`) of a track. A segment may be sent while it is made:
/// each chunk is taken as soon as it is whole. Sending it again changes nothing.
#[utoipa::path(
    put,
    operation_id = "send_segment",
    path = "/publications/{id}/{track}/{name}",
    params(
        ("id" = Uuid, Path, description = "The publication"),
        ("track" = String, Path, description = "Name of the track"),
        ("name" = String, Path, description = "`init.mp4`, or `{number}.m4s`"),
    ),
    request_body(content = Vec<u8>, content_type = "video/mp4"),
    responses(
        (status = 202, description = "Held: the publication stands by"),
        (status = 204, description = "Taken"),
        (status = 400, description = "It is no segment of CMAF", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such track or name", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "Nothing came for too long", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The publication is over, or another one took its place; or the segment does not follow what came", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too much waits to be stored", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn send(
    Shared(state): Shared<State>,
    caller: Caller,
    Path((id, track, name)): Path<(Uuid, String, String)>,
    request: Request,
) -> FailureResult<StatusCode> {
    caller.require(Scope::Write)?;
    let body: Body = request.into_body();
    if name == INIT {
        let init = to_bytes(body, INIT_MAX_BYTES).await;
        let init =
            init.map_err(|_| Failure::bad_request(format!("an init segment has at most {INIT_MAX_BYTES} bytes")))?;
        state.live.put_init(id, &track, init).await.map_err(error::of_live)?;
    } else {
        let names::File::Segment(number) = names::file(&name).map_err(error::of_name)? else {
            return Err(error::missing(format_args!("segment `{name}`")));
        };
        if state.live.receive(id, &track, number, body).await.map_err(error::of_live)? == Taken::Held {
            return Ok(StatusCode::ACCEPTED);
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Ends a publication: the encoder has left.
#[utoipa::path(
    delete,
    operation_id = "unpublish",
    path = "/publications/{id}",
    params(("id" = Uuid, Path, description = "The publication")),
    responses(
        (status = 204, description = "It is over"),
        (status = 404, description = "There was none", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> FailureResult<StatusCode> {
    caller.require(Scope::Write)?;
    if state.live.unpublish(id) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Failure::not_found(format_args!("publication {id}")))
    }
}
