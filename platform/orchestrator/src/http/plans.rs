//! `POST /plans`: where a template would go, and why. Nothing is done.

use axum::extract::State;
use flame_api::Problem;
use flame_api::orchestrator::{NewDeployment, Plan};
use flame_service_host::{Caller, Json, Scope};

use super::error::Error;
use super::trust;
use crate::conductor::Conductor;

/// Says where a template would go, what that costs, and what would be left.
#[utoipa::path(
    post,
    path = "/plans",
    request_body = NewDeployment,
    responses(
        (status = 200, description = "Where it would go", body = Plan),
        (status = 403, description = "It takes a name of the platform or a program by its path, without the scope `admin`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "It is wrong, or has no place", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn plan(
    State(conductor): State<Conductor>,
    caller: Caller,
    Json(body): Json<NewDeployment>,
) -> Result<Json<Plan>, Error> {
    caller.require(Scope::Read)?;
    Ok(Json(conductor.plan(&caller.tenant, trust(&caller), &body).await?))
}
