//! tus 1.0, concatenation: one upload out of several that came at the same time.
//!
//! A final upload is answered once its row is synced; its parts are joined after that, and until then a HEAD of it has no
//! offset, as the extension allows.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use flame_service_host::{Failure, FailureResult};
use uuid::Uuid;

use super::headers::{self, UPLOAD_CONCAT, UPLOAD_DEFER_LENGTH, UPLOAD_LENGTH, UPLOAD_OFFSET};
use super::{Door, brings_bytes, labels, progress};
use crate::concat::Concat;
use crate::intake::Announcement;
use crate::record::Origin;

/// What the request says about other uploads.
pub(super) fn of(headers: &HeaderMap, max: usize) -> FailureResult<Option<(Concat, Vec<Uuid>)>> {
    let Some(value) = headers.get(UPLOAD_CONCAT) else { return Ok(None) };
    let text = value.to_str().map_err(|_| Failure::bad_request("Upload-Concat is not ASCII"))?;
    Ok(Some(Concat::parse(text, max)?))
}

/// Announces a final upload.
pub(super) async fn create_final(
    door: &Door,
    tenant: String,
    headers: &HeaderMap,
    concat: Concat,
    partials: &[Uuid],
) -> FailureResult<Response> {
    if headers.contains_key(UPLOAD_LENGTH) || headers.contains_key(UPLOAD_DEFER_LENGTH) {
        return Err(Failure::bad_request(
            "the length of a final upload is that of its parts: leave Upload-Length away",
        ));
    }
    if headers::number(headers, &header::CONTENT_LENGTH)?.is_some_and(|length| length > 0) && brings_bytes(headers)? {
        return Err(Failure::bad_request("a final upload is made of its parts: leave the body away"));
    }
    let announcement = Announcement {
        tenant,
        origin: Origin::Tus,
        length_bytes: None,
        labels: labels(headers)?,
        url: None,
        concat: Some(concat),
    };
    let record = door.intake.announce_final(announcement, partials).await??;
    let mut response = progress(StatusCode::CREATED, &record, 0);
    response.headers_mut().remove(UPLOAD_OFFSET);
    let location = HeaderValue::from_str(&format!("/uploads/{}", record.id)).expect("a UUID is ASCII");
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// 403, as the extension asks for.
pub(super) fn takes_no_bytes(id: Uuid) -> Failure {
    let detail = format!("upload {id} is made of other uploads and takes no bytes of its own");
    Failure::new(StatusCode::FORBIDDEN, "final-upload", "A final upload takes no bytes", detail)
}
