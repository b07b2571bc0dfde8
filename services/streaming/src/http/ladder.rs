//! What ingest says about channels' ladders: `PUT /channels/{id}/ladder/standing`.

use axum::extract::State as Shared;
use axum::http::StatusCode;
use flame_api::Problem;
use flame_api::live::LadderStanding;
use flame_service_host::{Caller, FailureResult, Json, Path, Scope};
use uuid::Uuid;

use super::{State, error};

/// Says how it goes with the channel's ladder.
#[utoipa::path(
    put,
    operation_id = "ladder_standing",
    path = "/channels/{id}/ladder/standing",
    params(("id" = Uuid, Path, description = "The channel")),
    request_body = LadderStanding,
    responses(
        (status = 204, description = "Noted"),
        (status = 404, description = "There is none that has not ended, or it is another tenant's", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The channel has no ladder", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn stand(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(standing): Json<LadderStanding>,
) -> FailureResult<StatusCode> {
    caller.require(Scope::Write)?;
    state.live.note_ladder(&caller.tenant, id, standing).await.map_err(error::of_live)?;
    Ok(StatusCode::NO_CONTENT)
}
