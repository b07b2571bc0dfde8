//! `GET /uploads` and `GET /uploads/{id}`: where uploads stand, as JSON. Looking disturbs no upload in motion.

use axum::extract::State;
use flame_api::Page;
use flame_api::ingest::Upload;
use flame_api::page::{LIMIT_DEFAULT, LIMIT_MAX, PageQuery};
use flame_api::problem::Problem;
use flame_service_host::{Caller, Failure, FailureResult, Json, Path, Query, Scope};
use uuid::Uuid;

use super::{Door, error};
use crate::record::Record;

/// Uploads, newest first.
#[utoipa::path(get, path = "/uploads", tag = "uploads", params(PageQuery), responses(
    (status = 200, description = "A page of uploads", body = Page<Upload>),
    (status = 400, description = "The cursor or the limit is malformed", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(
    caller: Caller,
    State(door): State<Door>,
    Query(query): Query<PageQuery>,
) -> FailureResult<Json<Page<Upload>>> {
    caller.require(Scope::Read)?;
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Failure::bad_request(format!("limit is {limit}, it must be 1 to {LIMIT_MAX}")));
    }
    let before = query.cursor.as_deref().map(str::parse::<Uuid>).transpose();
    let before = before.map_err(|_| Failure::bad_request("the cursor is none that this service gave"))?;
    // One more than wanted tells whether there is another page.
    let mut records = door.intake.uploads.page(&caller.tenant, before, limit + 1).await?;
    let more = records.len() > limit as usize;
    records.truncate(limit as usize);
    let next_cursor = records.last().filter(|_| more).map(|record| record.id.to_string());
    Ok(Json(Page { items: records.iter().filter_map(Record::to_wire).collect(), next_cursor }))
}

/// What became of an upload.
#[utoipa::path(get, path = "/uploads/{id}", tag = "uploads", params(("id" = Uuid, Path, description = "The upload")), responses(
    (status = 200, description = "Its state", body = Upload),
    (status = 404, description = "There is no such upload", body = Problem, content_type = "application/problem+json"),
    (status = 410, description = "It was ended or has expired", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn show(
    caller: Caller,
    State(door): State<Door>,
    Path(id): Path<Uuid>,
) -> FailureResult<Json<Upload>> {
    caller.require(Scope::Read)?;
    let record = existing(&door, &caller, id).await?;
    record.to_wire().map(Json).ok_or_else(|| error::gone("the upload has ended"))
}

/// The caller's upload, or 404 or 410.
pub(super) async fn existing(door: &Door, caller: &Caller, id: Uuid) -> FailureResult<Record> {
    let record = door.intake.uploads.find(&caller.tenant, id).await?;
    let record = record.ok_or_else(|| Failure::not_found(format_args!("upload {id}")))?;
    if record.stage.state().is_none() {
        let reason = record.error.as_deref().unwrap_or("it was ended");
        return Err(error::gone(format!("upload {id} is gone: {reason}")));
    }
    Ok(record)
}
