//! `PUT /channels/{id}/marks/{mark}`, `GET /channels/{id}/marks`.

use axum::extract::State as Shared;
use flame_api::live::{Mark, NewMark};
use flame_api::{Page, Problem};
use flame_service_host::{Caller, FailureResult, Json, Path, Scope};
use uuid::Uuid;

use super::{State, error};

/// Says something of a span of a channel's time: an advertisement, a chapter. What is left unsaid stays as it was said before.
#[utoipa::path(
    put,
    operation_id = "mark_channel",
    path = "/channels/{id}/marks/{mark}",
    params(
        ("id" = Uuid, Path, description = "The channel"),
        ("mark" = String, Path, description = "Name of the mark: letters, digits, `. - _`"),
    ),
    request_body = NewMark,
    responses(
        (status = 200, description = "The mark as it is now", body = Mark),
        (status = 403, description = "The channel has ended", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such channel", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "It contradicts itself or another mark, or there are too many", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn put(
    Shared(state): Shared<State>,
    caller: Caller,
    Path((id, mark)): Path<(Uuid, String)>,
    Json(new): Json<NewMark>,
) -> FailureResult<Json<Mark>> {
    caller.require(Scope::Write)?;
    Ok(Json(state.live.mark(&caller.tenant, id, &mark, &new).await.map_err(error::of_live)?))
}

/// The marks of a channel, by their beginning; also of one that has ended.
#[utoipa::path(
    get,
    operation_id = "marks",
    path = "/channels/{id}/marks",
    params(("id" = Uuid, Path, description = "The channel")),
    responses(
        (status = 200, description = "All of them: their number is bounded", body = Page<Mark>),
        (status = 404, description = "There is no such channel", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> FailureResult<Json<Page<Mark>>> {
    caller.require(Scope::Read)?;
    let items = state.live.marks(&caller.tenant, id).await.map_err(error::of_live)?;
    Ok(Json(Page { items, next_cursor: None }))
}
