//! `POST /assets/import`: many whole assets in one call.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use flame_api::Problem;
use flame_api::metadata::{IMPORT_BODY_MAX_BYTES, IMPORT_CONTENT_TYPE, ImportOutcome, ImportOutcomes, ImportedAsset};
use flame_service_host::{Caller, Failure, FreeSpace, Json, Scope};
use uuid::Uuid;

use super::assets::by;
use super::error::Error;
use crate::imports::{self, Fate, Line, Whole};
use crate::limits::Refused;
use crate::store::Store;

/// Registers up to 200 whole assets, a JSON object a line: with their records, versions and subtitles, whose objects are in the store already.
/// One that the catalogue has, by its id or an identifier and its bytes, stays as it is: so repeating the call changes nothing. All that is
/// registered is so in one transaction; a line that is refused leaves the others alone. Where the call itself is refused or fails, nothing of
/// it is registered.
#[utoipa::path(
    post,
    operation_id = "import_assets",
    path = "/assets/import",
    request_body(content = ImportedAsset, content_type = "application/x-ndjson", description = "1 to 200 lines, at most 2 MiB"),
    responses(
        (status = 200, description = "What became of each line, in their order", body = ImportOutcomes),
        (status = 413, description = "The body is longer than 2 MiB", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is of another type", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "There are no lines, or more than 200", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "The database is busy or away", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "The disk is nearly full", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn import(
    State(store): State<Store>,
    caller: Caller,
    _: FreeSpace,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<ImportOutcomes>, Error> {
    caller.require(Scope::Write)?;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case(IMPORT_CONTENT_TYPE) {
        let detail = format!("send the lines as {IMPORT_CONTENT_TYPE}");
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(Failure::new(status, "unsupported-media-type", "The body is of another type", detail).into());
    }
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = format!("the body may have {IMPORT_BODY_MAX_BYTES} bytes; send fewer lines at once");
            Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large", detail)
        }
        _ => Failure::bad_request(rejection.body_text()),
    })?;
    let turn = store.import_turn().await?;
    let tenant = caller.tenant.clone();
    // The turn is in hand there, too: callers who go away leave no more work behind than there are turns.
    let read = tokio::task::spawn_blocking(move || (imports::read(&tenant, &body), turn)).await;
    let (lines, _turn) = read.map_err(|error| Failure::internal(&error))?;
    let lines = lines?;
    let (mut items, mut wholes): (Vec<ImportOutcome>, Vec<Whole>) = (Vec::new(), Vec::new());
    let mut numbers = Vec::new();
    for Line { number, read } in lines {
        match read {
            Ok(whole) => {
                numbers.push(number);
                wholes.push(whole);
            }
            Err(refused) => items.push(unfit(number, &refused)),
        }
    }
    if !wholes.is_empty() {
        let fates = store.import(by(&caller), &wholes).await?;
        let told = numbers.into_iter().zip(&wholes).zip(fates);
        items.extend(told.map(|((line, whole), fate)| outcome(line, whole.asset.id, fate)));
    }
    items.sort_unstable_by_key(|item| item.line);
    Ok(Json(ImportOutcomes { items }))
}

fn unfit(line: usize, refused: &Refused) -> ImportOutcome {
    let status = StatusCode::UNPROCESSABLE_ENTITY.as_u16();
    let problem = Problem::new(status, "unprocessable", "The request does not fit", refused.to_string());
    ImportOutcome { line, status, id: None, problem: Some(problem) }
}

fn outcome(line: usize, id: Uuid, fate: Fate) -> ImportOutcome {
    let done = |status: StatusCode, id| ImportOutcome { line, status: status.as_u16(), id: Some(id), problem: None };
    let conflict = |detail: String| {
        let status = StatusCode::CONFLICT.as_u16();
        let problem = Problem::new(status, "conflict", "Conflict", detail);
        ImportOutcome { line, status, id: None, problem: Some(problem) }
    };
    match fate {
        Fate::New => done(StatusCode::CREATED, id),
        Fate::Known(known) => done(StatusCode::OK, known),
        Fate::Taken => conflict(format!("{id} is taken by another source; choose another id")),
        Fate::Trashed => conflict(format!("asset {id} lies in the trash; `flame asset restore {id}` takes it out")),
        Fate::Deleted => conflict(format!("{id} was deleted for good; choose another id")),
    }
}
