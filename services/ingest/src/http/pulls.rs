//! `POST /pulls`: fetch a URL and treat it as an upload.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use flame_api::ingest::{NewPull, Upload};
use flame_api::problem::Problem;
use flame_service_host::{Caller, Failure, FailureResult, FreeSpace, Json, Scope};

use super::{Door, error};
use crate::intake::Announcement;
use crate::labels::{FILE_NAME_MAX_BYTES, Labels};
use crate::pull::address::{self, AddressError};
use crate::record::Origin;

/// What can be done here.
#[utoipa::path(options, path = "/pulls", tag = "pulls", responses(
    (status = 204, description = "`Allow` names the methods"),
))]
pub(super) async fn options() -> Response {
    (StatusCode::NO_CONTENT, [(header::ALLOW, "OPTIONS, POST")]).into_response()
}

/// Fetches a URL. What goes wrong there makes the upload `failed` with the reason.
#[utoipa::path(post, path = "/pulls", tag = "pulls", request_body = NewPull, responses(
    (status = 202, description = "It will be fetched; `Location` tells where to follow it", body = Upload),
    (status = 400, description = "The URL or a label is malformed", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "The URL leads to a private address", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "The tenant has too many unfinished uploads or pulls", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Too many pulls wait", body = Problem, content_type = "application/problem+json"),
    (status = 507, description = "The disk is nearly full", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn create(
    caller: Caller,
    _: FreeSpace,
    State(door): State<Door>,
    Json(pull): Json<NewPull>,
) -> FailureResult<Response> {
    caller.require(Scope::Write)?;
    // Names are resolved when they are connected to; what can be seen in the URL itself is said at once.
    let url = address::check_url(&pull.url, door.pulls.allow_private).map_err(|error| match error {
        AddressError::Private { .. } => {
            Failure::new(StatusCode::FORBIDDEN, "private-address", "Not from there", error.to_string())
        }
        AddressError::Url(_) | AddressError::Unresolved { .. } => Failure::bad_request(error.to_string()),
    })?;
    let last = url.path_segments().and_then(|mut segments| segments.next_back()).unwrap_or_default();
    let name = percent_decoded(last);
    let labels = Labels::new(Some(name), pull.title, pull.chain)?;
    let (open, own) = door.intake.uploads.open_pulls(&caller.tenant).await?;
    if own >= door.pulls.tenant_waiting {
        return Err(error::too_many_uploads(format!(
            "tenant {} has {own} unfinished pulls, as many as it may (pulls.tenant_waiting): wait until some are done, or delete some",
            caller.tenant
        )));
    }
    if open >= door.pulls.max_waiting {
        return Err(Failure::unavailable_alone("too many pulls wait already; try again later", 60));
    }
    let announcement = Announcement {
        tenant: caller.tenant,
        origin: Origin::Pull,
        length_bytes: None,
        labels,
        url: Some(url.into()),
        concat: None,
    };
    let record = door.intake.announce(announcement).await?;
    door.intake.pulls.notify_one();
    let upload = record.to_wire().ok_or_else(|| error::gone("the upload has ended"))?;
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, format!("/uploads/{}", record.id))], Json(upload)).into_response())
}

/// The last segment as people read it; one that cannot be a label is left out, for it was not chosen by the caller.
fn percent_decoded(segment: &str) -> String {
    let decoded = percent_encoding::percent_decode_str(segment).decode_utf8_lossy();
    if decoded.len() <= FILE_NAME_MAX_BYTES && !decoded.chars().any(char::is_control) {
        decoded.into_owned()
    } else {
        String::new()
    }
}
