//! `POST /assets/{id}/subtitles`: subtitles of an asset, in one request.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use flame_api::problem::Problem;
use flame_api::subtitles::{AddedSubtitle, SubtitleQuery};
use flame_service_host::precondition::revision_etag;
use flame_service_host::{Caller, Failure, FailureResult, FreeSpace, Json, Path, Query, Scope};
use futures_util::StreamExt;
use uuid::Uuid;

use super::{Door, error};
use crate::subtitles::{Brought, Subtitles, format_of};

/// What can be done here.
#[utoipa::path(options, path = "/assets/{id}/subtitles", tag = "subtitles", params(("id" = Uuid, Path, description = "The asset")), responses(
    (status = 204, description = "`Allow` names the methods"),
), operation_id = "subtitle_options")]
pub(super) async fn options() -> Response {
    (StatusCode::NO_CONTENT, [(header::ALLOW, "OPTIONS, POST")]).into_response()
}

/// Adds subtitles to an asset. WebVTT, SubRip and TTML are told apart by their bytes; where those do not tell, by
/// `Content-Type`. Repeating it is safe: the same text, language and role are the same subtitles.
#[utoipa::path(post, path = "/assets/{id}/subtitles", tag = "subtitles", operation_id = "add_subtitle",
    params(
        ("id" = Uuid, Path, description = "The asset"),
        SubtitleQuery,
        ("If-Match" = Option<String>, Header, description = "The ETag of the asset that was read, to change only that revision"),
    ),
    request_body(content_type = "text/vtt", content = String, description = "The file"),
    responses(
        (status = 201, description = "They are listed; `ETag` is the asset's", body = AddedSubtitle),
        (status = 200, description = "They were listed before; title and default are as they are said now", body = AddedSubtitle),
        (status = 400, description = "The language is none, or nobody says it", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such asset", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "Nothing came for too long", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "The asset has changed since", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "Longer than the service takes", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The file cannot be read (`unreadable-subtitles`: the detail names the line), a value is outside of its limits, or the asset has as many as it may have", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The catalogue or the object store is away, or too many are being read", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "The disk is nearly full", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn add(
    caller: Caller,
    _: FreeSpace,
    State(door): State<Door>,
    Path(id): Path<Uuid>,
    Query(query): Query<SubtitleQuery>,
    headers: HeaderMap,
    body: Body,
) -> FailureResult<Response> {
    caller.require(Scope::Write)?;
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let hint = text(header::CONTENT_TYPE).and_then(format_of);
    let seen = text(header::IF_MATCH).map(str::to_owned);
    let subtitles = &door.subtitles;
    // Nobody sends a file for what there is not.
    let known = subtitles.asset(&caller.tenant, id).await?;
    let _place = subtitles.place().await.ok_or_else(|| error::busy("other subtitles are being read; try again"))?;
    let bytes = whole(body, subtitles).await?;
    let brought = Brought { tenant: caller.tenant, asset: id, query, hint, seen, bytes };
    let added = subtitles.add(&known, brought).await?;
    let status = if added.is_new { StatusCode::CREATED } else { StatusCode::OK };
    let etag: HeaderValue = revision_etag(added.revision);
    Ok((status, [(header::ETAG, etag)], Json(added.answer)).into_response())
}

/// The body in memory, within its bounds.
async fn whole(body: Body, subtitles: &Subtitles) -> FailureResult<Bytes> {
    let (max_bytes, idle) = (subtitles.max_bytes(), subtitles.idle());
    let mut pieces = body.into_data_stream();
    let mut bytes = BytesMut::new();
    loop {
        match tokio::time::timeout(idle, pieces.next()).await {
            Ok(Some(Ok(piece))) if (bytes.len() + piece.len()) as u64 <= max_bytes => bytes.extend_from_slice(&piece),
            Ok(Some(Ok(_))) => {
                return Err(error::too_large(format!(
                    "the file has more than {max_bytes} bytes, the most that are taken"
                )));
            }
            Ok(Some(Err(broken))) => {
                return Err(Failure::bad_request(format!("the body broke off after {} bytes: {broken}", bytes.len())));
            }
            Ok(None) => return Ok(bytes.freeze()),
            Err(_elapsed) => {
                let detail = format!("nothing came for {} s", idle.as_secs());
                return Err(Failure::new(StatusCode::REQUEST_TIMEOUT, "idle", "The body stood still", detail));
            }
        }
    }
}
