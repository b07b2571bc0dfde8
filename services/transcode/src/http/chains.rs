//! `GET /chains`.

use flame_api::Page;
use flame_api::transcode::Chain;
use flame_service_host::{Caller, Failure, Json, Scope};

use crate::limits;

/// The chains that can be run.
#[utoipa::path(
    get,
    path = "/chains",
    responses((status = 200, description = "All of them", body = Page<Chain>))
)]
pub(super) async fn list(caller: Caller) -> Result<Json<Page<Chain>>, Failure> {
    caller.require(Scope::Read)?;
    Ok(Json(Page { items: limits::chains(), next_cursor: None }))
}
