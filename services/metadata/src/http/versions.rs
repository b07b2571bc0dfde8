//! `PUT /assets/{id}/versions/{version}`, `PUT /assets/{id}/failure`: what conditioning made of an asset.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use flame_api::Problem;
use flame_api::metadata::{Asset, Failure as FailureReport, NewVersion};
use flame_service_host::{Caller, Failure, FreeSpace, Json, Path, Scope};
use uuid::Uuid;

use super::assets::{answer, by, missing};
use super::error::Error;
use crate::limits;
use crate::store::{Published, Store};

/// Publishes a version, which plays from then on. Repeating it changes nothing and answers 200.
#[utoipa::path(
    put,
    path = "/assets/{id}/versions/{version}",
    params(
        ("id" = Uuid, Path, description = "The asset"),
        ("version" = String, Path, description = "The version's name: 12 lower-case hexadecimal digits"),
    ),
    request_body = NewVersion,
    responses(
        (status = 201, description = "Published: the asset as it is now", body = Asset),
        (status = 200, description = "Was published before, just so", body = Asset),
        (status = 404, description = "There is no such asset", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "Was published before with other content", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "A value is outside of its limits", body = Problem,
            content_type = "application/problem+json"),
        (status = 507, description = "The disk is nearly full", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn publish(
    State(store): State<Store>,
    caller: Caller,
    _: FreeSpace,
    Path((id, version)): Path<(Uuid, String)>,
    Json(new): Json<NewVersion>,
) -> Result<Response, Error> {
    caller.require(Scope::Write)?;
    limits::check_version_name(&version)?;
    limits::check_version(&new)?;
    match store.publish(by(&caller), id, &version, &new).await? {
        Published::New(asset) => Ok((StatusCode::CREATED, answer(asset)).into_response()),
        Published::Known(asset) => Ok(answer(asset)),
        Published::Differs => {
            let detail = format!("version {version} of asset {id} holds other tracks; versions are immutable");
            Err(Failure::conflict(detail).into())
        }
        Published::Missing => Err(missing(id).into()),
    }
}

/// Notes that conditioning failed. An asset that already plays stays as it is. A nearly full disk is often the reason, and
/// takes these few octets: a job cannot end before it has said why.
#[utoipa::path(
    put,
    path = "/assets/{id}/failure",
    params(("id" = Uuid, Path, description = "The asset")),
    request_body = FailureReport,
    responses(
        (status = 200, description = "The asset as it is now", body = Asset),
        (status = 404, description = "There is no such asset", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn fail(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(report): Json<FailureReport>,
) -> Result<Response, Error> {
    caller.require(Scope::Write)?;
    let asset = store.fail(by(&caller), id, &limits::kept_reason(&report.reason)).await?;
    Ok(answer(asset.ok_or_else(|| missing(id))?))
}
