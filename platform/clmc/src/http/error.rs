//! Errors become problems here, and nowhere else.
//!
//! Clients of InfluxDB read `error` (1.x) or `code` and `message` (2.x) of a refusal; a problem may have members of its own
//! (RFC 9457 section 3.2), so one body says it to all.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flame_service_host::Failure;
use serde_json::{Value, json};

use crate::alerts::AlertError;
use crate::graph::GraphError;
use crate::intake::{BodyError, Findings};
use crate::store::{ScanError, StoreError};

/// Seconds after which a caller may try again.
const RETRY_AFTER_S: u32 = 1;

/// Why a handler gives up.
pub(super) enum Error {
    Body(BodyError),
    /// Some points were taken, others not.
    Partial {
        dropped: usize,
        findings: Findings,
    },
    Store(StoreError),
    Scan(ScanError),
    Alert(AlertError),
    Answer(Failure),
}

// === impl Error ===

impl Error {
    /// As many as there may be are at work.
    pub(super) fn busy(what: &str) -> Self {
        Self::Answer(Failure::unavailable_alone(format!("too many {what} at once"), RETRY_AFTER_S))
    }

    fn failure(self) -> Failure {
        let unprocessable = |detail: String| {
            Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "unprocessable", "The request does not fit", detail)
        };
        match self {
            Self::Body(BodyError::Long(_) | BodyError::Many) => too_large(),
            Self::Body(error @ (BodyError::Gzip(_) | BodyError::Text(_))) => {
                Failure::bad_request(flame_service_host::problem::chain(&error))
            }
            Self::Partial { dropped, findings } => {
                let reasons: Vec<_> =
                    findings.named.iter().map(|(line, reason)| format!("line {line}: {reason}")).collect();
                let more = findings.count - findings.named.len();
                let more = if more > 0 { format!("\nand {more} more") } else { String::new() };
                let detail = format!("partial write: {}{more} dropped={dropped}", reasons.join("\n"));
                Failure::new(StatusCode::BAD_REQUEST, "partial-write", "Some points were not taken", detail)
            }
            Self::Store(error) => match &error {
                StoreError::NoDatabase(_) => {
                    Failure::new(StatusCode::NOT_FOUND, "not-found", "Not found", error.to_string())
                }
                StoreError::Name(_) | StoreError::TooMany(_) => unprocessable(error.to_string()),
                StoreError::Full(_) => {
                    let detail = "the disk under the store is full; delete something and try again";
                    Failure::new(StatusCode::INSUFFICIENT_STORAGE, "insufficient-storage", "The disk is full", detail)
                        .because(&error)
                }
                StoreError::Io { .. } => Failure::internal(&error),
            },
            Self::Scan(error) => match &error {
                ScanError::TooMany(_) => unprocessable(error.to_string()),
                ScanError::Io(_) | ScanError::Damaged => Failure::internal(&error),
            },
            Self::Alert(error) => match &error {
                AlertError::Document(_) | AlertError::TooMany(_) | AlertError::Handler(_) => {
                    unprocessable(error.to_string())
                }
                AlertError::Io(_) => Failure::internal(&error),
            },
            Self::Answer(failure) => failure,
        }
    }
}

fn too_large() -> Failure {
    let detail = "the body is longer than is taken: send fewer points at once, or set `write.body_max`";
    Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large", detail)
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<ScanError> for Error {
    fn from(error: ScanError) -> Self {
        Self::Scan(error)
    }
}

impl From<AlertError> for Error {
    fn from(error: AlertError) -> Self {
        Self::Alert(error)
    }
}

impl From<GraphError> for Error {
    fn from(error: GraphError) -> Self {
        match error {
            GraphError::Store(error) => Self::Store(error),
            GraphError::Scan(error) => Self::Scan(error),
            GraphError::TooMany(error) => Self::Answer(Failure::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "unprocessable",
                "The request does not fit",
                error.to_string(),
            )),
        }
    }
}

impl From<BodyError> for Error {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Answer(failure)
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let lines = match &self {
            Self::Partial { findings, .. } => {
                Some(findings.named.iter().map(|(line, reason)| json!({ "line": line, "reason": reason })).collect())
            }
            Self::Body(_) | Self::Store(_) | Self::Scan(_) | Self::Alert(_) | Self::Answer(_) => None,
        };
        let failure = self.failure();
        let mut body = serde_json::to_value(failure.problem()).unwrap_or_default();
        let code = match failure.problem().status {
            404 => "not found",
            413 => "request too large",
            429 | 503 => "unavailable",
            500.. => "internal error",
            _ => "invalid",
        };
        body["error"] = failure.problem().detail.clone().into();
        body["message"] = failure.problem().detail.clone().into();
        body["code"] = code.into();
        if let Some(lines) = lines {
            body["lines"] = Value::Array(lines);
        }
        let (mut parts, _) = failure.into_response().into_parts();
        parts.headers.remove(header::CONTENT_LENGTH);
        parts.headers.insert("x-influxdb-error", header_text(&body["error"]));
        Response::from_parts(parts, axum::body::Body::from(body.to_string()))
    }
}

/// What a header can say of a text.
fn header_text(text: &Value) -> HeaderValue {
    let plain: String =
        text.as_str().unwrap_or_default().chars().filter(|it| matches!(it, ' '..='~')).take(300).collect();
    HeaderValue::from_str(&plain).unwrap_or(HeaderValue::from_static("see the body"))
}
