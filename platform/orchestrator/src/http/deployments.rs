//! `POST|GET /deployments`, `GET|DELETE /deployments/{sfc}/{sfci}`, `GET …/decisions`, `PUT …/functions/{function}/state`: templates that run.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use flame_api::orchestrator::{Decision, Deployment, NewDeployment, WantedState};
use flame_api::{Page, Problem};
use flame_service_host::{Caller, Failure, Json, Path, Scope};

use super::error::Error;
use super::trust;
use crate::conductor::Conductor;

/// Deploys a template, or changes what is deployed of it: what is unchanged stays, what is changed is replaced once its successor
/// serves. Nothing is done where anything is wrong.
#[utoipa::path(
    post,
    path = "/deployments",
    request_body = NewDeployment,
    responses(
        (status = 201, description = "It is kept, and its endpoints are on their way", body = Deployment),
        (status = 200, description = "What was deployed of it is changed", body = Deployment),
        (status = 403, description = "It takes a name of the platform or a program by its path, without the scope `admin`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It leaves", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "It is wrong (line, column, reason), has no place, or CLMC did not take its alerts", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn deploy(
    State(conductor): State<Conductor>,
    caller: Caller,
    Json(body): Json<NewDeployment>,
) -> Result<Response, Error> {
    caller.require(Scope::Write)?;
    let (deployment, is_new) = conductor.deploy(&caller.tenant, trust(&caller), body).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(deployment)).into_response())
}

/// All that the caller's tenant has deployed.
#[utoipa::path(get, path = "/deployments", responses((status = 200, description = "All of them", body = Page<Deployment>)))]
pub(super) async fn list(State(conductor): State<Conductor>, caller: Caller) -> Result<Json<Page<Deployment>>, Error> {
    caller.require(Scope::Read)?;
    Ok(Json(Page { items: conductor.list(&caller.tenant), next_cursor: None }))
}

/// One deployment: its endpoints, how far each is, and how far it should be.
#[utoipa::path(
    get,
    path = "/deployments/{sfc}/{sfci}",
    params(("sfc" = String, Path, description = "The chain"), ("sfci" = String, Path, description = "Its instance")),
    responses(
        (status = 200, description = "How it is", body = Deployment),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get(
    State(conductor): State<Conductor>,
    caller: Caller,
    Path((sfc, sfci)): Path<(String, String)>,
) -> Result<Json<Deployment>, Error> {
    caller.require(Scope::Read)?;
    let found = conductor.get(&(caller.tenant, sfc.clone(), sfci.clone()));
    found.map(Json).ok_or_else(|| Failure::not_found(format_args!("deployment {sfc}/{sfci}")).into())
}

/// What was asked for when it was deployed or changed last, as it was asked: template, imports, inputs, alerts. It takes the scope `write`,
/// because inputs can hold what readers are not to know.
#[utoipa::path(
    get,
    path = "/deployments/{sfc}/{sfci}/template",
    params(("sfc" = String, Path, description = "The chain"), ("sfci" = String, Path, description = "Its instance")),
    responses(
        (status = 200, description = "What was asked for", body = NewDeployment),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn template(
    State(conductor): State<Conductor>,
    caller: Caller,
    Path((sfc, sfci)): Path<(String, String)>,
) -> Result<Json<NewDeployment>, Error> {
    caller.require(Scope::Write)?;
    let found = conductor.request(&(caller.tenant, sfc.clone(), sfci.clone()));
    found.map(Json).ok_or_else(|| Failure::not_found(format_args!("deployment {sfc}/{sfci}")).into())
}

/// Lets a deployment go: its endpoints are drained, then ended.
#[utoipa::path(
    delete,
    path = "/deployments/{sfc}/{sfci}",
    params(("sfc" = String, Path, description = "The chain"), ("sfci" = String, Path, description = "Its instance")),
    responses(
        (status = 202, description = "It leaves"),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn undeploy(
    State(conductor): State<Conductor>,
    caller: Caller,
    Path((sfc, sfci)): Path<(String, String)>,
) -> Result<StatusCode, Error> {
    caller.require(Scope::Write)?;
    conductor.undeploy(&(caller.tenant, sfc, sfci)).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Wants a function to be so far: its endpoint is started, connected, drained or ended. It stays so until it is wanted otherwise, or a
/// policy of the template moves it.
#[utoipa::path(
    put,
    path = "/deployments/{sfc}/{sfci}/functions/{function}/state",
    operation_id = "want_state",
    request_body = WantedState,
    params(
        ("sfc" = String, Path, description = "The chain"),
        ("sfci" = String, Path, description = "Its instance"),
        ("function" = String, Path, description = "A function of the template"),
    ),
    responses(
        (status = 200, description = "It is on its way", body = Deployment),
        (status = 404, description = "There is no such deployment or function", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The deployment leaves", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn want(
    State(conductor): State<Conductor>,
    caller: Caller,
    Path((sfc, sfci, function)): Path<(String, String, String)>,
    Json(WantedState { state }): Json<WantedState>,
) -> Result<Json<Deployment>, Error> {
    caller.require(Scope::Write)?;
    Ok(Json(conductor.want(&(caller.tenant, sfc, sfci), &function, state.into()).await?))
}

/// What was decided of a deployment, and why; oldest first, also when it is gone.
#[utoipa::path(
    get,
    path = "/deployments/{sfc}/{sfci}/decisions",
    params(("sfc" = String, Path, description = "The chain"), ("sfci" = String, Path, description = "Its instance")),
    responses(
        (status = 200, description = "The last ones", body = Page<Decision>),
        (status = 404, description = "There was none", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn decisions(
    State(conductor): State<Conductor>,
    caller: Caller,
    Path((sfc, sfci)): Path<(String, String)>,
) -> Result<Json<Page<Decision>>, Error> {
    caller.require(Scope::Read)?;
    let found = conductor.decisions(&(caller.tenant, sfc.clone(), sfci.clone())).await;
    let items = found.map_err(|error| Failure::internal(&error))?;
    if items.is_empty() {
        return Err(Failure::not_found(format_args!("deployment {sfc}/{sfci}")).into());
    }
    Ok(Json(Page { items, next_cursor: None }))
}
