//! `PATCH /assets`: edits of several assets in one call.

use axum::extract::State;
use axum::http::StatusCode;
use flame_api::Problem;
use flame_api::metadata::{AssetEdit, AssetEdits, BATCH_MAX, EditOutcome, EditOutcomes};
use flame_service_host::{Caller, FreeSpace, IfMatch, Json, Scope};

use super::assets::by;
use super::error::Error;
use crate::limits::Refused;
use crate::store::{Patched, Store};

/// Edits up to 100 assets. Each edit is a transaction of its own, made as `PATCH /assets/{id}` with `If-Match` would make it, and answered in
/// its place: one that is refused leaves the others alone. Where the database goes away in between, the call is 503: what was made by then
/// stays, and repeating the call answers 412 for it.
#[utoipa::path(
    patch,
    operation_id = "patch_several",
    path = "/assets",
    request_body = AssetEdits,
    responses(
        (status = 200, description = "What became of each, in their order", body = EditOutcomes),
        (status = 413, description = "The body is longer than 128 KiB", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "There are no edits, or more than 100", body = Problem,
            content_type = "application/problem+json"),
        (status = 507, description = "The disk is nearly full", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn edit(
    State(store): State<Store>,
    caller: Caller,
    _: FreeSpace,
    Json(AssetEdits { edits }): Json<AssetEdits>,
) -> Result<Json<EditOutcomes>, Error> {
    caller.require(Scope::Write)?;
    if !(1..=BATCH_MAX).contains(&edits.len()) {
        let reason = format!("must have 1 to {BATCH_MAX} entries, not {}", edits.len());
        return Err(Refused { field: "edits".to_owned(), reason }.into());
    }
    let mut items = Vec::with_capacity(edits.len());
    for AssetEdit { id, revision, patch } in edits {
        let seen = IfMatch::Tags(vec![revision.to_string()]);
        items.push(outcome(store.patch(by(&caller), id, &seen, &patch).await?));
    }
    Ok(Json(EditOutcomes { items }))
}

/// Whose asset it is, or would be, is in the question: an answer does not repeat it.
fn outcome(patched: Patched) -> EditOutcome {
    let refused = |status: StatusCode, slug: &str, title: &str, detail: String| EditOutcome {
        status: status.as_u16(),
        asset: None,
        problem: Some(Problem::new(status.as_u16(), slug, title, detail)),
    };
    match patched {
        Patched::Done(asset) => EditOutcome { status: StatusCode::OK.as_u16(), asset: Some(*asset), problem: None },
        Patched::Refused(why) => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            refused(status, "unprocessable", "The request does not fit", why.to_string())
        }
        Patched::Stale(revision) => {
            let detail = format!("the asset is at revision {revision} now; read it and try again");
            refused(StatusCode::PRECONDITION_FAILED, "precondition-failed", "Precondition failed", detail)
        }
        Patched::Missing => {
            refused(StatusCode::NOT_FOUND, "not-found", "Not found", "there is no such asset".to_owned())
        }
    }
}
