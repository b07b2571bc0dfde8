//! `POST /warm`.

use axum::extract::State;
use flame_api::Problem;
use flame_api::vcdn::{Warm, Warmed};
use flame_service_host::{Caller, FailureResult, Json, Scope};

use super::error;
use crate::{Surrogate, warm};

/// Fetches before anybody asks: a URL, and what an HLS playlist there names. Answers when all of it is here.
#[utoipa::path(
    post,
    path = "/warm",
    request_body = Warm,
    responses(
        (status = 200, description = "What is here now", body = Warmed),
        (status = 404, description = "The name is not served here", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    State(surrogate): State<Surrogate>,
    caller: Caller,
    Json(wanted): Json<Warm>,
) -> FailureResult<Json<Warmed>> {
    caller.require(Scope::Write)?;
    let front = surrogate.front(&wanted.name, &caller.tenant).ok_or_else(|| error::no_front(&wanted.name))?;
    Ok(Json(warm::warm(front, &wanted.url, wanted.max).await))
}
