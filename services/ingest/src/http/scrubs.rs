//! `GET|POST /scrub`: whether what is stored is what it was.

use axum::extract::State;
use axum::http::StatusCode;
use flame_api::ingest::Scrub;
use flame_service_host::{Caller, FailureResult, Json, Scope};

use super::Door;

/// What the last look at the tenant's objects found, and how far one has come that is under way.
#[utoipa::path(get, operation_id = "show_scrub", path = "/scrub", tag = "scrub", responses(
    (status = 200, description = "Where it stands", body = Scrub),
))]
pub(super) async fn show(caller: Caller, State(door): State<Door>) -> FailureResult<Json<Scrub>> {
    caller.require(Scope::Read)?;
    Ok(Json(door.scrubber.show(&caller.tenant).await?))
}

/// Has all of the tenant's objects read and compared, from now on; where that is under way, it goes on.
#[utoipa::path(post, operation_id = "begin_scrub", path = "/scrub", tag = "scrub", responses(
    (status = 202, description = "It is under way", body = Scrub),
))]
pub(super) async fn begin(caller: Caller, State(door): State<Door>) -> FailureResult<(StatusCode, Json<Scrub>)> {
    caller.require(Scope::Write)?;
    door.scrubber.begin(&caller.tenant).await?;
    Ok((StatusCode::ACCEPTED, Json(door.scrubber.show(&caller.tenant).await?)))
}
