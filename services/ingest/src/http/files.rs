//! `PUT /files/{name}`: a whole file in one request. The name is a label, never a path.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flame_api::ingest::Upload;
use flame_api::problem::Problem;
use flame_service_host::{Caller, Failure, FailureResult, FreeSpace, Json, Path, Query, Scope};
use serde::Deserialize;
use utoipa::IntoParams;

use super::uploads::existing;
use super::{Door, error};
use crate::digest::Promise;
use crate::intake::{Announcement, PATIENCE};
use crate::labels::Labels;
use crate::receive::ReceiveError;
use crate::record::Origin;

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// What is said about the file.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FileQuery {
    /// Title; the file name otherwise.
    title: Option<String>,
    /// Chain to run on arrival: one of those that transcode knows by name (`ladder` by default), or `none`.
    chain: Option<String>,
}

/// What can be done here.
#[utoipa::path(options, path = "/files/{name}", tag = "files", params(("name" = String, Path, description = "The file's name")), responses(
    (status = 204, description = "`Allow` names the methods"),
))]
pub(super) async fn options() -> Response {
    (StatusCode::NO_CONTENT, [(header::ALLOW, "OPTIONS, PUT")]).into_response()
}

/// Stores a file. If the connection breaks, nothing of it is kept.
#[utoipa::path(put, path = "/files/{name}", tag = "files",
    params(
        ("name" = String, Path, description = "The file's name, a label"),
        FileQuery,
        ("Content-Digest" = Option<String>, Header, description = "RFC 9530: `sha-256=:<base64>:` is verified"),
    ),
    request_body(content_type = "application/octet-stream", content = String, description = "The file"),
    responses(
        (status = 201, description = "It is stored and will be processed; `Location` tells where to follow it", body = Upload),
        (status = 400, description = "A label or header is malformed, or the digest is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "Nothing came for too long", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "Longer than the service takes, or than the tenant has room for", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is encoded", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "The tenant has too many unfinished uploads", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "The disk is nearly full", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn put(
    caller: Caller,
    _: FreeSpace,
    State(door): State<Door>,
    Path(name): Path<String>,
    Query(query): Query<FileQuery>,
    headers: HeaderMap,
    body: Body,
) -> FailureResult<Response> {
    caller.require(Scope::Write)?;
    let labels = Labels::new(Some(name), query.title, query.chain)?;
    let plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if !headers.get(header::CONTENT_ENCODING).is_none_or(plain) {
        let detail = "files are stored as they come: send it without Content-Encoding";
        return Err(Failure::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-encoding",
            "The body is encoded",
            detail,
        ));
    }
    let mut promise = match digest(&headers, &CONTENT_DIGEST)? {
        Some(promise) => Some(promise),
        // Without an encoding and a range they are of the same bytes.
        None => digest(&headers, &REPR_DIGEST)?,
    };
    let length_bytes = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let max_bytes = door.intake.limits.max_upload.0;
    if let Some(length_bytes) = length_bytes.filter(|length| *length > max_bytes) {
        return Err(error::too_large(format!("the file has {length_bytes} bytes, at most {max_bytes} are taken")));
    }

    if length_bytes == Some(0) && promise.take_if(|_| true).is_some_and(|promise| !promise.is_kept()) {
        return Err(digest_mismatch());
    }

    let tenant = caller.tenant.clone();
    let announcement = Announcement { tenant, origin: Origin::Put, length_bytes, labels, url: None, concat: None };
    let record = door.intake.announce(announcement).await?;
    if length_bytes != Some(0) {
        let turn = door.intake.writers.take(record.id, PATIENCE).await;
        let turn = turn.ok_or_else(|| error::locked("the upload is in use"))?;
        let (_, end) = match door.intake.take_in(turn, record.clone(), promise, body.into_data_stream()).await {
            Err(ReceiveError::Checksum) => return Err(digest_mismatch()),
            other => other?,
        };
        if let Some(failure) = error::of_end(end) {
            return Err(failure);
        }
    }
    let record = existing(&door, &caller, record.id).await?;
    let upload = record.to_wire().ok_or_else(|| error::gone("the upload has ended"))?;
    Ok((StatusCode::CREATED, [(header::LOCATION, format!("/uploads/{}", record.id))], Json(upload)).into_response())
}

fn digest(headers: &HeaderMap, name: &HeaderName) -> FailureResult<Option<Promise>> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let text = value.to_str().map_err(|_| Failure::bad_request(format!("{name} is not ASCII")))?;
    Ok(Promise::from_digest_field(text)?)
}

fn digest_mismatch() -> Failure {
    let detail = "the bytes that came do not have the digest that was sent; nothing of them was kept";
    Failure::new(StatusCode::BAD_REQUEST, "digest-mismatch", "Digest mismatch", detail)
}
