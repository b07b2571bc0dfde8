//! `GET /assets/{id}/history`, `POST /assets/{id}/restore`: what became of an asset, and back.

use axum::extract::State;
use axum::response::Response;
use flame_api::metadata::{Asset, Change, HISTORY_LIMIT_MAX, RestoreQuery};
use flame_api::page::PageQuery;
use flame_api::{Page, Problem};
use flame_service_host::{Caller, Failure, FreeSpace, IfMatch, Json, Path, Query, Scope};
use uuid::Uuid;

use super::assets::{answer, by, missing, stale};
use super::error::Error;
use crate::edit::Unreachable;
use crate::limits::NUMBER_MAX;
use crate::store::{Restored, Store};

/// What became of an asset, newest first; also of one that was deleted.
#[utoipa::path(
    get,
    path = "/assets/{id}/history",
    operation_id = "history",
    params(("id" = Uuid, Path, description = "The asset"), PageQuery),
    responses(
        (status = 200, description = "A page of at most 50 changes", body = Page<Change>),
        (status = 400, description = "A parameter is malformed", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There never was one, or it is another tenant's", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Change>>, Error> {
    caller.require(Scope::Read)?;
    let limit = query.limit.unwrap_or(HISTORY_LIMIT_MAX);
    if !(1..=HISTORY_LIMIT_MAX).contains(&limit) {
        return Err(Failure::bad_request(format!("`limit` must be 1 to {HISTORY_LIMIT_MAX}, not {limit}")).into());
    }
    let before = match query.cursor.as_deref() {
        None => NUMBER_MAX,
        Some(cursor) => {
            cursor.parse().map_err(|_| Failure::bad_request("`cursor` must be the `next_cursor` of the page before"))?
        }
    };
    let page = store.history(&caller.tenant, id, before.min(NUMBER_MAX), limit).await?;
    Ok(Json(page.ok_or_else(|| missing(id))?))
}

/// Takes an asset out of the trash; with `revision`, gives it the edited fields that it had after that revision.
#[utoipa::path(
    post,
    path = "/assets/{id}/restore",
    operation_id = "restore",
    params(
        ("id" = Uuid, Path, description = "The asset"),
        RestoreQuery,
        ("If-Match" = Option<String>, Header, description = "The ETag that was read; needed with `revision`"),
    ),
    responses(
        (status = 200, description = "The asset as it is now", body = Asset),
        (status = 404, description = "There is none, or it is gone for good", body = Problem,
            content_type = "application/problem+json"),
        (status = 410, description = "What it was at that revision is no longer kept", body = Problem,
            content_type = "application/problem+json"),
        (status = 412, description = "It has changed since", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "It has no such revision yet", body = Problem,
            content_type = "application/problem+json"),
        (status = 428, description = "If-Match is missing", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "The disk is nearly full", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn restore(
    State(store): State<Store>,
    caller: Caller,
    _: FreeSpace,
    Path(id): Path<Uuid>,
    Query(query): Query<RestoreQuery>,
    seen: Option<IfMatch>,
) -> Result<Response, Error> {
    caller.require(Scope::Write)?;
    if query.revision.is_some() && seen.is_none() {
        return Err(Failure::precondition_required().into());
    }
    match store.restore(by(&caller), id, seen.as_ref(), query.revision).await? {
        Restored::Done(asset) => Ok(answer(*asset)),
        Restored::Stale(revision) => Err(stale(id, revision).into()),
        Restored::Missing => Err(missing(id).into()),
        Restored::Unreachable(why) => Err(unreachable(id, query.revision.unwrap_or_default(), why)),
    }
}

fn unreachable(id: Uuid, revision: u64, why: Unreachable) -> Error {
    let failure = match why {
        Unreachable::Future => return Error::Refused(crate::limits::no_such_revision(revision)),
        Unreachable::Forgotten => Failure::new(
            axum::http::StatusCode::GONE,
            "gone",
            "It is no longer kept",
            format!(
                "what asset {id} was at revision {revision} is no longer known; GET /assets/{id}/history shows what is"
            ),
        ),
    };
    failure.into()
}
