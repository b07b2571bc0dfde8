//! `POST /assets/{asset}/viewer-links`: a caller who may read a protected asset gets a link that plays it.

use axum::extract::State as Shared;
use axum::http::StatusCode;
use flame_api::Problem;
use flame_api::viewers::ViewerLink;
use flame_service_host::keys::unix_seconds;
use flame_service_host::{Caller, Failure, FailureResult, Json, Path, Scope};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{State, error};

/// Signs a link that opens the asset for a while: no longer than the caller's own token lives. Nothing is kept of it.
#[utoipa::path(
    post,
    operation_id = "viewer_link",
    path = "/assets/{asset}/viewer-links",
    params(("asset" = Uuid, Path, description = "The asset")),
    responses(
        (status = 200, description = "The link. Who has it plays the asset, until it ends", body = ViewerLink),
        (status = 403, description = "The caller may not read", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such asset, or it is another tenant's", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "No links are signed here (`not-signed-here`)", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The catalogue does not answer", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn sign(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(asset): Path<Uuid>,
) -> FailureResult<Json<ViewerLink>> {
    caller.require(Scope::Read)?;
    let found = state.presentations.current(asset).await.map_err(|error| error::of_catalogue(&error))?;
    if found.is_none_or(|found| found.tenant != caller.tenant) {
        return Err(Failure::not_found(format_args!("asset {asset}")));
    }
    let links = state.links.as_ref().ok_or_else(not_here)?;
    let link = links.sign(asset, caller.ends_unix_s, unix_seconds());
    let link = link.map_err(|error| Failure::internal(&error))?;
    let expires_at = i64::try_from(link.expires_unix_s).ok();
    let expires_at = expires_at.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let expires_at = expires_at.ok_or_else(|| Failure::bad_request("the token ends after the end of all time"))?;
    Ok(Json(ViewerLink { path: link.path, others: link.others, expires_at }))
}

fn not_here() -> Failure {
    Failure::new(
        StatusCode::CONFLICT,
        "not-signed-here",
        "No links are signed here",
        "this service has no key that signs links: set `[viewers.links]`, or sign one where the key is (`flame token sign-url`)",
    )
}
