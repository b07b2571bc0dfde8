//! `GET /assets/{id}/scores`, `PUT /assets/{id}/scores/{job}`: what was measured of an asset's media.

use axum::extract::State;
use axum::http::StatusCode;
use flame_api::metadata::{NewScore, Score};
use flame_api::{Page, Problem};
use flame_service_host::{Caller, FreeSpace, Json, Path, Scope};
use uuid::Uuid;

use super::assets::missing;
use super::error::Error;
use crate::limits;
use crate::store::{Scored, Store};

/// What was measured of an asset's media, newest first: at most 100.
#[utoipa::path(
    get,
    path = "/assets/{id}/scores",
    operation_id = "scores",
    params(("id" = Uuid, Path, description = "The asset")),
    responses(
        (status = 200, description = "All that is kept", body = Page<Score>),
        (status = 404, description = "There is no such asset, or it is another tenant's", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<Json<Page<Score>>, Error> {
    caller.require(Scope::Read)?;
    let items = store.scores(&caller.tenant, id).await?.ok_or_else(|| missing(id))?;
    Ok(Json(Page { items, next_cursor: None }))
}

/// Notes what a job has measured. Repeating it changes nothing and answers 200.
#[utoipa::path(
    put,
    path = "/assets/{id}/scores/{job}",
    operation_id = "put_score",
    params(
        ("id" = Uuid, Path, description = "The asset"),
        ("job" = Uuid, Path, description = "The job of the quality service"),
    ),
    request_body = NewScore,
    responses(
        (status = 201, description = "Noted"),
        (status = 200, description = "Was noted before"),
        (status = 404, description = "There is no such asset, or it is another tenant's", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "A value is outside of its limits", body = Problem,
            content_type = "application/problem+json"),
        (status = 507, description = "The disk is nearly full", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn put(
    State(store): State<Store>,
    caller: Caller,
    _: FreeSpace,
    Path((id, job)): Path<(Uuid, Uuid)>,
    Json(new): Json<NewScore>,
) -> Result<StatusCode, Error> {
    caller.require(Scope::Write)?;
    limits::check_score(&new)?;
    match store.score(&caller.tenant, id, job, &new).await? {
        Scored::New => Ok(StatusCode::CREATED),
        Scored::Known => Ok(StatusCode::OK),
        Scored::Missing => Err(missing(id).into()),
    }
}
