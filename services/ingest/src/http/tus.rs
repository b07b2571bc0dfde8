//! tus 1.0 (<https://tus.io/protocols/resumable-upload>): core, creation, creation-with-upload, creation-defer-length,
//! termination, checksum, expiration, concatenation. Not here: concatenation-unfinished; a final upload is made of finished parts.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use flame_api::ingest::UploadState;
use flame_api::problem::Problem;
use flame_service_host::{Caller, Failure, FailureResult, FreeSpace, Path, Scope};
use uuid::Uuid;

use super::uploads::existing;
use super::{Door, error};
use crate::concat::Concat;
use crate::digest::TUS_ALGORITHMS;
use crate::holdings;
use crate::intake::{Announcement, PATIENCE};
use crate::labels::Labels;
use crate::record::{Origin, Record, Stage};
use crate::writers::Turn;
use headers::{
    BODY_TYPE, EXTENSIONS, SpeaksTus, TUS_CHECKSUM_ALGORITHM, TUS_EXTENSION, TUS_MAX_SIZE, TUS_RESUMABLE, TUS_VERSION,
    UPLOAD_CONCAT, UPLOAD_DEFER_LENGTH, UPLOAD_EXPIRES, UPLOAD_LENGTH, UPLOAD_METADATA, UPLOAD_OFFSET, VERSION,
};

mod concat;
pub(crate) mod headers;

/// What the server can do.
#[utoipa::path(options, path = "/uploads", tag = "tus", responses(
    (status = 204, description = "Version, extensions and bounds, in headers"),
))]
pub(super) async fn options(State(door): State<Door>) -> Response {
    abilities(&door)
}

/// What the server can do.
#[utoipa::path(options, path = "/uploads/{id}", tag = "tus", params(("id" = String, Path, description = "The upload")), responses(
    (status = 204, description = "Version, extensions and bounds, in headers"),
))]
pub(super) async fn upload_options(State(door): State<Door>) -> Response {
    abilities(&door)
}

/// Announces an upload; with a body of `application/offset+octet-stream` it brings the first bytes too.
#[utoipa::path(post, path = "/uploads", tag = "tus",
    params(
        ("Tus-Resumable" = String, Header, description = "`1.0.0`"),
        ("Upload-Length" = Option<u64>, Header, description = "Bytes of the whole; not with the next, nor of a final upload"),
        ("Upload-Defer-Length" = Option<u64>, Header, description = "`1`: the length comes with a later PATCH"),
        ("Upload-Concat" = Option<String>, Header, description = "`partial`, or `final;` and the URLs of finished partial uploads, with spaces between"),
        ("Upload-Metadata" = Option<String>, Header, description = "Pairs of key and base64 value: `filename`, `title`, `chain`"),
        ("Upload-Checksum" = Option<String>, Header, description = "`sha1` or `sha256` of this body, base64"),
    ),
    request_body(content_type = "application/offset+octet-stream", content = Option<String>, description = "The first bytes, if any"),
    responses(
        (status = 201, description = "`Location` names it; `Upload-Offset` says what is stored"),
        (status = 400, description = "A header is malformed", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such partial upload", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A partial upload is unfinished, or part of another one", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "Another version of tus", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "Longer than `Tus-Max-Size`, or than the tenant has room for", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "A body of another type", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "The tenant has too many unfinished uploads", body = Problem, content_type = "application/problem+json"),
        (status = 460, description = "The checksum is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "The disk is nearly full", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn create(
    caller: Caller,
    _: SpeaksTus,
    _: FreeSpace,
    State(door): State<Door>,
    headers: HeaderMap,
    body: Body,
) -> FailureResult<Response> {
    caller.require(Scope::Write)?;
    let concat = concat::of(&headers, door.intake.limits.max_partials)?;
    if let Some((concat @ Concat::Final(_), partials)) = concat {
        return concat::create_final(&door, caller.tenant, &headers, concat, &partials).await;
    }
    let length_bytes = length(&headers)?;
    if let Some(length_bytes) = length_bytes {
        check_size(&door, length_bytes)?;
    }
    let labels = labels(&headers)?;
    let promise = headers::promise(&headers)?;
    let brings = brings_bytes(&headers)?;
    if let (true, Some(coming_bytes)) = (brings, headers::number(&headers, &header::CONTENT_LENGTH)?) {
        check_room(coming_bytes, length_bytes.unwrap_or(door.intake.limits.max_upload.0))?;
    }

    let announcement = Announcement {
        tenant: caller.tenant,
        origin: Origin::Tus,
        length_bytes,
        labels,
        url: None,
        concat: concat.map(|(concat, _)| concat),
    };
    let record = door.intake.announce(announcement).await?;
    let location = HeaderValue::from_str(&format!("/uploads/{}", record.id)).expect("a UUID is ASCII");
    let mut stored_bytes = 0;
    if brings && length_bytes != Some(0) {
        let turn = take_turn(&door, record.id).await?;
        // The upload exists from here on: whatever happens to its first bytes, the client learns its name.
        let failed = |failure: Failure| failure.with_header(header::LOCATION, location.clone());
        let taken = door.intake.take_in(turn, record.clone(), promise, body.into_data_stream()).await;
        let (received, end) = taken.map_err(Failure::from).map_err(failed)?;
        if let Some(failure) = error::of_end(end) {
            return Err(failed(failure));
        }
        stored_bytes = received.offset_bytes;
    }
    let mut response = progress(StatusCode::CREATED, &record, stored_bytes);
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// Where an upload stands. Whoever asks is about to go on with it: a connection that still writes is ended first.
#[utoipa::path(head, path = "/uploads/{id}", tag = "tus",
    params(
        ("id" = Uuid, Path, description = "The upload"),
        ("Tus-Resumable" = String, Header, description = "`1.0.0`"),
    ),
    responses(
        (status = 200, description = "`Upload-Offset`, `Upload-Length` or `Upload-Defer-Length`, `Upload-Concat` and `Upload-Expires`. A final upload has an offset once its parts are joined"),
        (status = 404, description = "There is no such upload"),
        (status = 410, description = "It was ended or has expired"),
        (status = 412, description = "Another version of tus"),
        (status = 423, description = "Another connection holds it"),
    ))]
pub(super) async fn offset(
    caller: Caller,
    _: SpeaksTus,
    State(door): State<Door>,
    Path(id): Path<Uuid>,
) -> FailureResult<Response> {
    caller.require(Scope::Write)?;
    let mut record = existing(&door, &caller, id).await?;
    // Nobody sends bytes of a final upload; looking at it is no reason to stop the joining.
    if !record.is_complete() && record.origin == Origin::Tus && !record.is_final() {
        let _turn = take_turn(&door, id).await?;
        record = existing(&door, &caller, id).await?;
    }
    let mut response = progress(StatusCode::OK, &record, record.offset_bytes);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match record.length_bytes {
        Some(length_bytes) => response.headers_mut().insert(UPLOAD_LENGTH, length_bytes.into()),
        None => response.headers_mut().insert(UPLOAD_DEFER_LENGTH, HeaderValue::from_static("1")),
    };
    if let Some(concat) = record.concat.as_ref().and_then(|concat| HeaderValue::from_str(concat.as_str()).ok()) {
        response.headers_mut().insert(UPLOAD_CONCAT, concat);
    }
    if record.is_final() && !record.is_complete() {
        response.headers_mut().remove(UPLOAD_OFFSET);
    }
    Ok(response)
}

/// Brings bytes from an offset on.
#[utoipa::path(patch, path = "/uploads/{id}", tag = "tus",
    params(
        ("id" = Uuid, Path, description = "The upload"),
        ("Tus-Resumable" = String, Header, description = "`1.0.0`"),
        ("Upload-Offset" = u64, Header, description = "Where these bytes begin"),
        ("Upload-Length" = Option<u64>, Header, description = "Bytes of the whole, of an upload that was announced without; once"),
        ("Upload-Checksum" = Option<String>, Header, description = "`sha1` or `sha256` of this body, base64"),
    ),
    request_body(content_type = "application/offset+octet-stream", content = String, description = "The bytes"),
    responses(
        (status = 204, description = "`Upload-Offset` says what is stored"),
        (status = 400, description = "A header is malformed", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "A final upload takes no bytes", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such upload", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "Nothing came for too long; what came is stored", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It stands at another offset", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "It was ended or has expired", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "Another version of tus", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "More bytes than were announced, or than the tenant has room for", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "A body of another type", body = Problem, content_type = "application/problem+json"),
        (status = 423, description = "Another connection goes on with it", body = Problem, content_type = "application/problem+json"),
        (status = 460, description = "The checksum is wrong; nothing of this body is kept", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "The disk is nearly full", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn append(
    caller: Caller,
    _: SpeaksTus,
    _: FreeSpace,
    State(door): State<Door>,
    Path(id): Path<Uuid>,
    headers: HeaderMap,
    body: Body,
) -> FailureResult<Response> {
    caller.require(Scope::Write)?;
    if !brings_bytes(&headers)? {
        return Err(wrong_type("nothing"));
    }
    let offset_bytes = headers::number(&headers, &UPLOAD_OFFSET)?;
    let offset_bytes = offset_bytes.ok_or_else(|| Failure::bad_request("Upload-Offset is missing"))?;
    let coming_bytes = headers::number(&headers, &header::CONTENT_LENGTH)?;
    let promise = headers::promise(&headers)?;
    // Found before it is asked to stop for: a stranger's PATCH ends nobody's connection.
    let found = existing(&door, &caller, id).await?;
    if found.origin != Origin::Tus {
        return Err(Failure::conflict(format!("upload {id} does not come by tus")));
    }
    if found.is_final() {
        return Err(concat::takes_no_bytes(id));
    }
    let length_bytes = headers::number(&headers, &UPLOAD_LENGTH)?;
    let turn = take_turn(&door, id).await?;
    let mut record = existing(&door, &caller, id).await?;
    if record.offset_bytes != offset_bytes {
        let stands = record.offset_bytes;
        return Err(Failure::conflict(format!("upload {id} stands at {stands}, these bytes begin at {offset_bytes}"))
            .with_header(UPLOAD_OFFSET, stands.into()));
    }
    let known_bytes = record.length_bytes.or(length_bytes);
    if let (Some(said_bytes), Some(known_bytes)) = (length_bytes, known_bytes)
        && (said_bytes != known_bytes || said_bytes < offset_bytes)
    {
        let detail = format!(
            "Upload-Length is {said_bytes}, but upload {id} has {known_bytes} bytes, {offset_bytes} of them stored"
        );
        return Err(Failure::bad_request(detail));
    }
    let end_bytes = known_bytes.unwrap_or(door.intake.limits.max_upload.0);
    check_room(coming_bytes.unwrap_or(0), end_bytes.saturating_sub(offset_bytes))?;
    if record.length_bytes.is_none()
        && let Some(length_bytes) = length_bytes
    {
        check_size(&door, length_bytes)?;
        let uploads = &door.intake.uploads;
        let set = match uploads.set_length(id, length_bytes).await {
            Ok(set) => set,
            Err(refused) => {
                holdings::make_room(&door.intake, &record.tenant, refused).await?;
                uploads.set_length(id, length_bytes).await?
            }
        };
        if !set {
            return Err(Failure::conflict(format!("upload {id} changed meanwhile; look again")));
        }
        record.length_bytes = Some(length_bytes);
    }
    if record.is_complete() || record.is_whole_partial() {
        return Ok(progress(StatusCode::NO_CONTENT, &record, offset_bytes));
    }
    let (received, end) = door.intake.take_in(turn, record.clone(), promise, body.into_data_stream()).await?;
    match error::of_end(end) {
        Some(failure) => Err(failure),
        None => Ok(progress(StatusCode::NO_CONTENT, &record, received.offset_bytes)),
    }
}

/// Ends an upload and deletes what is stored of it. One that has become an asset is deleted with the asset.
#[utoipa::path(delete, path = "/uploads/{id}", tag = "tus",
    params(
        ("id" = Uuid, Path, description = "The upload"),
        ("Tus-Resumable" = String, Header, description = "`1.0.0`"),
    ),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, description = "There is no such upload", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is being processed, or is an asset already", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "It is gone already", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "Another version of tus", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn terminate(
    caller: Caller,
    _: SpeaksTus,
    State(door): State<Door>,
    Path(id): Path<Uuid>,
) -> FailureResult<Response> {
    caller.require(Scope::Write)?;
    existing(&door, &caller, id).await?;
    let _turn = take_turn(&door, id).await?;
    let record = existing(&door, &caller, id).await?;
    let conflict = |what: &str| Err(Failure::conflict(format!("upload {id} {what}")));
    if let Some(of) = door.intake.uploads.part_of(id).await? {
        return conflict(&format!("is a part of upload {of}; end that"));
    }
    match record.stage.state() {
        Some(UploadState::Receiving | UploadState::Failed) => {}
        Some(UploadState::Processing) => return conflict("is being processed; wait until it is done or has failed"),
        Some(UploadState::Done) => return conflict("is an asset now; delete that"),
        None => return Err(error::gone("the upload has ended")),
    }
    if !door.intake.end(id, record.stage, "its owner ended it").await? {
        return conflict("changed meanwhile; look again");
    }
    Ok((StatusCode::NO_CONTENT, [(TUS_RESUMABLE, VERSION)]).into_response())
}

/// Middleware: who speaks tus hears tus, also in refusals.
pub(super) async fn stamp(request: Request, next: Next) -> Response {
    let speaks = request.headers().contains_key(TUS_RESUMABLE);
    let mut response = next.run(request).await;
    if speaks {
        response.headers_mut().insert(TUS_RESUMABLE, VERSION);
    }
    response
}

fn abilities(door: &Door) -> Response {
    let max_bytes = HeaderValue::from(door.intake.limits.max_upload.0);
    let headers = [
        (TUS_RESUMABLE, VERSION),
        (TUS_VERSION, VERSION),
        (TUS_EXTENSION, HeaderValue::from_static(EXTENSIONS)),
        (TUS_CHECKSUM_ALGORITHM, HeaderValue::from_static(TUS_ALGORITHMS)),
        (TUS_MAX_SIZE, max_bytes),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// An answer that says where the upload stands.
fn progress(status: StatusCode, record: &Record, offset_bytes: u64) -> Response {
    let mut response = (status, [(TUS_RESUMABLE, VERSION), (UPLOAD_OFFSET, offset_bytes.into())]).into_response();
    let unfinished =
        record.stage == Stage::Receiving && (record.is_partial() || record.length_bytes != Some(offset_bytes));
    // The row's time; each arrival of bytes gives the upload its whole life again, so it is a lower bound.
    if let Some(date) = record.expires_at.filter(|_| unfinished).and_then(headers::http_date) {
        response.headers_mut().insert(UPLOAD_EXPIRES, date);
    }
    response
}

async fn take_turn(door: &Door, id: Uuid) -> FailureResult<Turn> {
    let turn = door.intake.writers.take(id, PATIENCE).await;
    turn.ok_or_else(|| error::locked(format!("another connection holds upload {id} and does not stop; try again")))
}

/// Whether the request brings bytes of the upload. A body of another type is refused with 415.
fn brings_bytes(headers: &HeaderMap) -> FailureResult<bool> {
    let has_body = headers::number(headers, &header::CONTENT_LENGTH)?.is_some_and(|length| length > 0)
        || headers.contains_key(header::TRANSFER_ENCODING);
    match headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes) {
        Some(kind) if kind.eq_ignore_ascii_case(BODY_TYPE.as_bytes()) => Ok(true),
        Some(kind) if has_body => Err(wrong_type(&String::from_utf8_lossy(kind))),
        None if has_body => Err(wrong_type("unknown")),
        Some(_) | None => Ok(false),
    }
}

fn wrong_type(found: &str) -> Failure {
    let detail = format!("the body is of the type `{found}`, bytes of an upload come as `{BODY_TYPE}`");
    Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "The body is of another type", detail)
}

/// The length announced; `None` where it is to come later. One of the two has to be said.
fn length(headers: &HeaderMap) -> FailureResult<Option<u64>> {
    let length_bytes = headers::number(headers, &UPLOAD_LENGTH)?;
    match (length_bytes, headers.get(UPLOAD_DEFER_LENGTH).map(HeaderValue::as_bytes)) {
        (Some(_), None) => Ok(length_bytes),
        (None, Some(b"1")) => Ok(None),
        (None, Some(_)) => Err(Failure::bad_request("Upload-Defer-Length can only be `1`")),
        (Some(_), Some(_)) => Err(Failure::bad_request("Upload-Length and Upload-Defer-Length exclude each other")),
        (None, None) => {
            Err(Failure::bad_request("Upload-Length is missing; `Upload-Defer-Length: 1` says that it comes later"))
        }
    }
}

fn labels(headers: &HeaderMap) -> FailureResult<Labels> {
    let metadata = headers.get(UPLOAD_METADATA).map(HeaderValue::to_str).transpose();
    let metadata = metadata.map_err(|_| Failure::bad_request("Upload-Metadata is not ASCII: values are base64"))?;
    Ok(Labels::from_tus(metadata.unwrap_or_default())?)
}

fn check_size(door: &Door, length_bytes: u64) -> FailureResult<()> {
    let max_bytes = door.intake.limits.max_upload.0;
    if length_bytes <= max_bytes {
        return Ok(());
    }
    Err(error::too_large(format!("the upload has {length_bytes} bytes, at most {max_bytes} are taken"))
        .with_header(TUS_MAX_SIZE, max_bytes.into()))
}

fn check_room(coming_bytes: u64, room_bytes: u64) -> FailureResult<()> {
    if coming_bytes <= room_bytes {
        return Ok(());
    }
    Err(error::too_large(format!("{coming_bytes} bytes come, the upload lacks only {room_bytes}")))
}
