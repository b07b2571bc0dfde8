//! `GET /chains`, `GET /chains/{name}`, `POST /chains/check`.

use axum::extract::State;
use flame_api::transcode::{Chain, ChainCheck, ChainDetail};
use flame_api::{Page, Problem};
use flame_jobs::http::{Error, NotQueued};
use flame_service_host::{Caller, Failure, Json, Path, Scope};

use super::encoders::away;
use crate::chains;
use crate::encoders::{self, Encoders};
use crate::plan;

/// The chains that can be run by name.
#[utoipa::path(
    get,
    path = "/chains",
    responses((status = 200, description = "All of them", body = Page<Chain>))
)]
pub(super) async fn list(caller: Caller) -> Result<Json<Page<Chain>>, Failure> {
    caller.require(Scope::Read)?;
    Ok(Json(Page { items: chains::list(), next_cursor: None }))
}

/// One of them, with its document.
#[utoipa::path(
    get,
    path = "/chains/{name}",
    params(("name" = String, Path, description = "Its name")),
    responses(
        (status = 200, description = "The chain", body = ChainDetail),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(caller: Caller, Path(name): Path<String>) -> Result<Json<ChainDetail>, Failure> {
    caller.require(Scope::Read)?;
    let text = chains::shipped_text(&name).ok_or_else(|| Failure::not_found(format_args!("chain {name}")))?;
    let chain = flame_chain::read(text, &Default::default()).map_err(|error| Failure::internal(&error))?;
    Ok(Json(chains::detail(chain, text.to_owned())))
}

/// Checks a document, also against the encoders that are installed. Nothing is kept.
#[utoipa::path(
    post,
    path = "/chains/check",
    request_body = ChainCheck,
    responses(
        (status = 200, description = "It is right: what it says", body = ChainDetail),
        (status = 422, description = "It is wrong: where, why, and what was probably meant", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "The encoders cannot be looked at now", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn check(
    State(installed): State<Encoders>,
    caller: Caller,
    Json(check): Json<ChainCheck>,
) -> Result<Json<ChainDetail>, Error> {
    caller.require(Scope::Read)?;
    let refused = |reason: String| NotQueued { field: "document", reason };
    let chain = flame_chain::read(&check.document, &check.parameters)
        .map_err(|error| refused(format!("is refused: {error}")))?;
    if encoders::matter(&chain) {
        let installed = installed.installed().await.map_err(|error| away(&error))?;
        plan::check_encoders(&chain, installed).map_err(|error| refused(format!("is refused: {error}")))?;
    }
    Ok(Json(chains::detail(chain, check.document)))
}
