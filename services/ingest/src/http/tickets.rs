//! `POST /tickets`: a signed request with which a client puts a file into the object store itself; `POST /tickets/{id}/complete`: it has.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use flame_api::ingest::{NewTicket, Ticket, TicketDone, Upload};
use flame_api::problem::Problem;
use flame_service_host::{Caller, Failure, FailureResult, FreeSpace, Json, Path, Scope};
use time::OffsetDateTime;
use uuid::Uuid;

use super::uploads::existing;
use super::{Door, error};
use crate::labels::Labels;

/// S3's largest PUT.
const PUT_MAX_BYTES: u64 = 5 << 30;

/// Begins an upload whose bytes go to the object store: make the request that the answer describes, then call `complete`.
#[utoipa::path(post, operation_id = "new_ticket", path = "/tickets", tag = "tickets", request_body = NewTicket, responses(
    (status = 201, description = "The request to make; `Location` tells where to follow the upload", body = Ticket),
    (status = 400, description = "A label, the size or the digest is malformed", body = Problem, content_type = "application/problem+json"),
    (status = 413, description = "Longer than one request, or than the tenant has room for", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "The tenant has too many unfinished uploads", body = Problem, content_type = "application/problem+json"),
    (status = 507, description = "The disk is nearly full", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn create(
    caller: Caller,
    _: FreeSpace,
    State(door): State<Door>,
    Json(new): Json<NewTicket>,
) -> FailureResult<Response> {
    caller.require(Scope::Write)?;
    let labels = Labels::new(new.file_name, new.title, new.chain)?;
    if new.size_bytes == 0 {
        return Err(Failure::bad_request("size_bytes is 0: there is nothing to upload"));
    }
    let max_bytes = door.intake.limits.max_upload.0.min(PUT_MAX_BYTES);
    if new.size_bytes > max_bytes {
        let detail = format!("the file has {} bytes, one request takes {max_bytes} at most: use tus", new.size_bytes);
        return Err(error::too_large(detail));
    }
    let sha256 = new.sha256.as_deref().map(digest).transpose()?;
    let ticket = door.intake.ticket(caller.tenant, labels, new.size_bytes, sha256).await?;
    let id = ticket.record.id;
    let body = Ticket {
        id,
        method: "PUT".to_owned(),
        url: ticket.put.url,
        headers: ticket.put.headers.into_iter().collect(),
        expires_at: OffsetDateTime::now_utc() + door.intake.limits.ticket.0,
    };
    Ok((StatusCode::CREATED, [(header::LOCATION, format!("/uploads/{id}"))], Json(body)).into_response())
}

/// Says that the ticket's request has been made: what is stored is read, compared, and processed as any upload. Repeat it when its answer
/// was lost.
#[utoipa::path(post, operation_id = "complete_ticket", path = "/tickets/{id}/complete", tag = "tickets", request_body = TicketDone,
    params(("id" = Uuid, Path, description = "The ticket")), responses(
    (status = 202, description = "It will be processed; `Location` tells where to follow it", body = Upload),
    (status = 400, description = "The digest is malformed, or not that of what is stored", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is no such ticket", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "Nothing has been stored yet, or not what was promised", body = Problem, content_type = "application/problem+json"),
    (status = 410, description = "It was ended or has expired", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn complete(
    caller: Caller,
    State(door): State<Door>,
    Path(id): Path<Uuid>,
    Json(done): Json<TicketDone>,
) -> FailureResult<Response> {
    caller.require(Scope::Write)?;
    let record = existing(&door, &caller, id).await?;
    let sha256 = done.sha256.as_deref().map(digest).transpose()?.map(hex::encode);
    door.intake.complete_ticket(record, sha256).await?;
    let record = existing(&door, &caller, id).await?;
    let upload = record.to_wire().ok_or_else(|| error::gone("the upload has ended"))?;
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, format!("/uploads/{id}"))], Json(upload)).into_response())
}

/// A SHA-256 in hex.
fn digest(text: &str) -> FailureResult<[u8; 32]> {
    let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| Failure::bad_request("sha256 is 64 hexadecimal digits"))
}
