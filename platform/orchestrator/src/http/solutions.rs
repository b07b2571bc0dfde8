//! `POST /solutions`: what a demand comes to. Nothing is done.

use axum::extract::State;
use flame_api::Problem;
use flame_api::orchestrator::sla::{NewSolution, Solution};
use flame_service_host::{Caller, Json, Scope};

use super::error::Error;
use crate::conductor::Conductor;

/// Says how many surrogates of which size a demand takes, where, and what binds; or what would be possible instead.
#[utoipa::path(
    post,
    path = "/solutions",
    request_body = NewSolution,
    responses(
        (status = 200, description = "What it comes to; `is_feasible` says whether there is a solution", body = Solution),
        (status = 422, description = "The demand is wrong, or the calibration is of no use for it", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn solve(
    State(conductor): State<Conductor>,
    caller: Caller,
    Json(body): Json<NewSolution>,
) -> Result<Json<Solution>, Error> {
    caller.require(Scope::Read)?;
    Ok(Json(conductor.solve(&caller.tenant, body).await?))
}
