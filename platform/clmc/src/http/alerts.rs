//! `GET|POST /alerts`, `DELETE /alerts/{sfc}/{sfci}`: the conditions that are looked at, and who is told.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use flame_api::clmc::AlertSpecification;
use flame_api::{Page, Problem};
use flame_service_host::{Caller, Failure, FreeSpace, Json, Path, Scope};

use super::error::Error;
use crate::Clmc;
use crate::alerts::document::DOCUMENT_MAX_BYTES;

/// Puts an alerts document (TOSCA). One of the same chain and instance takes the place of the one before.
#[utoipa::path(
    post,
    path = "/alerts",
    request_body(content = String, content_type = "application/yaml", description = "The document"),
    responses(
        (status = 201, description = "It is looked at from the next window on", body = AlertSpecification),
        (status = 200, description = "It has taken the place of another one", body = AlertSpecification),
        (status = 422, description = "It is wrong: line, column, and what is meant", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "The disk is nearly full", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn put(
    State(clmc): State<Clmc>,
    caller: Caller,
    _: FreeSpace,
    text: String,
) -> Result<Response, Error> {
    caller.require(Scope::Write)?;
    if text.len() > DOCUMENT_MAX_BYTES {
        return Err(Failure::bad_request(format!("the document is longer than {DOCUMENT_MAX_BYTES} bytes")).into());
    }
    let tenant = caller.tenant.clone();
    let put = tokio::task::spawn_blocking(move || clmc.alerts.put(&tenant, text)).await;
    let (specification, was_there) = put.map_err(|error| Failure::internal(&error))??;
    let status = if was_there { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(specification)).into_response())
}

/// The documents of the caller's tenant, and where each trigger stands.
#[utoipa::path(get, path = "/alerts", responses((status = 200, description = "All of them", body = Page<AlertSpecification>)))]
pub(super) async fn list(State(clmc): State<Clmc>, caller: Caller) -> Result<Json<Page<AlertSpecification>>, Error> {
    caller.require(Scope::Read)?;
    Ok(Json(Page { items: clmc.alerts.list(&caller.tenant), next_cursor: None }))
}

/// Removes a document; nothing of it is told any more.
#[utoipa::path(
    delete,
    path = "/alerts/{sfc}/{sfci}",
    params(("sfc" = String, Path, description = "The chain"), ("sfci" = String, Path, description = "Its instance")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn remove(
    State(clmc): State<Clmc>,
    caller: Caller,
    Path((sfc, sfci)): Path<(String, String)>,
) -> Result<StatusCode, Error> {
    caller.require(Scope::Write)?;
    let removed = {
        let (sfc, sfci) = (sfc.clone(), sfci.clone());
        tokio::task::spawn_blocking(move || clmc.alerts.remove(&caller.tenant, &sfc, &sfci)).await
    };
    let removed = removed.map_err(|error| Failure::internal(&error))?;
    if removed.map_err(|error| Failure::internal(&error))? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Failure::not_found(format_args!("alerts document of {sfc}/{sfci}")).into())
}
