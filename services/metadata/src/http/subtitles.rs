//! `PUT|DELETE /assets/{id}/subtitles/{subtitle}`: which subtitles an asset has.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use flame_api::Problem;
use flame_api::metadata::Asset;
use flame_api::subtitles::NewSubtitle;
use flame_service_host::{Caller, Failure, FreeSpace, IfMatch, Json, Path, Scope};
use uuid::Uuid;

use super::assets::{answer, by, missing, stale};
use super::error::Error;
use crate::limits;
use crate::store::{Listed, Store, Unlisted};

/// Lists subtitles that are stored (ingest does, once it has read and stored a file). Repeating it changes nothing and
/// answers 200.
#[utoipa::path(
    put,
    path = "/assets/{id}/subtitles/{subtitle}",
    operation_id = "list_subtitle",
    params(
        ("id" = Uuid, Path, description = "The asset"),
        ("subtitle" = String, Path, description = "The name of the subtitles: 12 lower-case hexadecimal digits"),
        ("If-Match" = Option<String>, Header, description = "The ETag that was read, to change only that revision"),
    ),
    request_body = NewSubtitle,
    responses(
        (status = 201, description = "Listed: the asset as it is now", body = Asset),
        (status = 200, description = "They were listed before; title, default and key are as they are said now", body = Asset),
        (status = 404, description = "There is no such asset", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "The name stands for another text", body = Problem,
            content_type = "application/problem+json"),
        (status = 412, description = "The asset has changed since", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "A value is outside of its limits, or the asset has as many as it may have",
            body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "The disk is nearly full", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn put(
    State(store): State<Store>,
    caller: Caller,
    _: FreeSpace,
    Path((id, name)): Path<(Uuid, String)>,
    seen: Option<IfMatch>,
    Json(new): Json<NewSubtitle>,
) -> Result<Response, Error> {
    caller.require(Scope::Write)?;
    limits::check_subtitle(&caller.tenant, id, &name, &new)?;
    match store.list_subtitle(by(&caller), (id, &name), seen.as_ref(), &new).await? {
        Listed::New(asset) => Ok((StatusCode::CREATED, answer(*asset)).into_response()),
        Listed::Known(asset) => Ok(answer(*asset)),
        Listed::Differs => {
            let detail = format!("subtitles {name} of asset {id} are another text; the name follows from it");
            Err(Failure::conflict(detail).into())
        }
        Listed::TooMany => Err(limits::too_many_subtitles().into()),
        Listed::Stale(revision) => Err(stale(id, revision).into()),
        Listed::Missing => Err(missing(id).into()),
    }
}

/// Takes subtitles from an asset. Their object is removed from the store soon after.
#[utoipa::path(
    delete,
    path = "/assets/{id}/subtitles/{subtitle}",
    operation_id = "unlist_subtitle",
    params(
        ("id" = Uuid, Path, description = "The asset"),
        ("subtitle" = String, Path, description = "The name of the subtitles"),
        ("If-Match" = Option<String>, Header, description = "The ETag that was read, to change only that revision"),
    ),
    responses(
        (status = 204, description = "They are gone"),
        (status = 404, description = "There is no such asset, or it has none of that name", body = Problem,
            content_type = "application/problem+json"),
        (status = 412, description = "The asset has changed since", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(
    State(store): State<Store>,
    caller: Caller,
    Path((id, name)): Path<(Uuid, String)>,
    seen: Option<IfMatch>,
) -> Result<StatusCode, Error> {
    caller.require(Scope::Write)?;
    match store.unlist_subtitle(by(&caller), (id, &name), seen.as_ref()).await? {
        Unlisted::Done => Ok(StatusCode::NO_CONTENT),
        Unlisted::Stale(revision) => Err(stale(id, revision).into()),
        Unlisted::Missing => Err(Failure::not_found(format_args!("subtitles {name} of asset {id}")).into()),
    }
}
