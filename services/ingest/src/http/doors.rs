//! `GET /doors`: where encoders publish.

use axum::extract::State;
use flame_api::ingest::LiveDoors;
use flame_service_host::{Caller, FailureResult, Json, Scope};

use super::Door;

/// The live doors of this service.
#[utoipa::path(get, operation_id = "live_doors", path = "/doors", tag = "doors", responses(
    (status = 200, description = "Where they are", body = LiveDoors),
))]
pub(super) async fn show(caller: Caller, State(door): State<Door>) -> FailureResult<Json<LiveDoors>> {
    caller.require(Scope::Read)?;
    Ok(Json(door.doors))
}
