//! `POST|GET /channels`, `GET /channels/{id}`, `POST /channels/{id}/key`, `POST /channels/{id}/end`.

use axum::extract::State as Shared;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use flame_api::live::{Channel, NewChannel};
use flame_api::{Page, Problem};
use flame_service_host::{Caller, FailureResult, Json, Path, Scope};
use uuid::Uuid;

use super::{State, error};

/// Makes a live channel. Repeating it changes nothing and answers 200, without the key.
#[utoipa::path(
    post,
    operation_id = "create_channel",
    path = "/channels",
    request_body = NewChannel,
    responses(
        (status = 201, description = "Made: with the key that publishers show, which is said this once", body = Channel),
        (status = 200, description = "Was made before, just so", body = Channel),
        (status = 409, description = "The id stands for another channel, or for an asset", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value is outside of its limits", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "There are as many channels as this instance takes", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    Shared(state): Shared<State>,
    caller: Caller,
    Json(new): Json<NewChannel>,
) -> FailureResult<Response> {
    caller.require(Scope::Write)?;
    let channel = state.live.create(&caller.tenant, &new).await.map_err(error::of_live)?;
    if channel.key.is_none() {
        return Ok(Json(channel).into_response());
    }
    let location = HeaderValue::from_str(&format!("channels/{}", channel.id)).expect("a UUID is visible ASCII");
    Ok((StatusCode::CREATED, AppendHeaders([(header::LOCATION, location)]), Json(channel)).into_response())
}

/// The caller's channels that have not ended, oldest first.
#[utoipa::path(
    get,
    operation_id = "channels",
    path = "/channels",
    responses((status = 200, description = "All of them: they are few", body = Page<Channel>))
)]
pub(super) async fn list(Shared(state): Shared<State>, caller: Caller) -> FailureResult<Json<Page<Channel>>> {
    caller.require(Scope::Read)?;
    Ok(Json(Page { items: state.live.list(&caller.tenant).await, next_cursor: None }))
}

/// A channel, also one that has ended.
#[utoipa::path(
    get,
    operation_id = "channel",
    path = "/channels/{id}",
    params(("id" = Uuid, Path, description = "The channel")),
    responses(
        (status = 200, description = "The channel", body = Channel),
        (status = 404, description = "There is none, or it is another tenant's", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> FailureResult<Json<Channel>> {
    caller.require(Scope::Read)?;
    Ok(Json(state.live.show(&caller.tenant, id).await.map_err(error::of_live)?))
}

/// Gives the channel another key. Who publishes now may go on.
#[utoipa::path(
    post,
    operation_id = "new_channel_key",
    path = "/channels/{id}/key",
    params(("id" = Uuid, Path, description = "The channel")),
    responses(
        (status = 200, description = "The channel with its new key, which is said this once", body = Channel),
        (status = 404, description = "There is none that has not ended, or it is another tenant's", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn new_key(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> FailureResult<Json<Channel>> {
    caller.require(Scope::Write)?;
    Ok(Json(state.live.new_key(&caller.tenant, id).await.map_err(error::of_live)?))
}

/// Ends the channel: what was sent becomes an asset that plays under the same URLs. Repeating it changes nothing.
#[utoipa::path(
    post,
    operation_id = "end_channel",
    path = "/channels/{id}/end",
    params(("id" = Uuid, Path, description = "The channel")),
    responses(
        (status = 200, description = "It has ended", body = Channel),
        (status = 404, description = "There is none, or it is another tenant's", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "An asset that is no recording of it has its id", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Something is not stored or catalogued yet; end it again", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn end(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> FailureResult<Json<Channel>> {
    caller.require(Scope::Write)?;
    Ok(Json(state.live.end(&caller.tenant, id).await.map_err(error::of_live)?))
}
