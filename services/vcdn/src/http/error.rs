//! Errors become problems here, and nowhere else.

use axum::http::StatusCode;
use flame_service_host::Failure;

use crate::peers::NOT_SERVED;
use crate::purge::PurgeError;

/// The problem of a purge that was not done.
pub(super) fn of_purge(error: &PurgeError) -> Failure {
    match error {
        PurgeError::Scope | PurgeError::TooLong | PurgeError::Path(_) | PurgeError::Name(..) => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            Failure::new(status, "unprocessable", "The request does not fit", error.to_string())
        }
        PurgeError::Taken(_) => Failure::conflict(error.to_string()),
        PurgeError::Note(_) => {
            let detail = "the purge could not be noted, so it was not done; look after the disk and try again";
            let status = StatusCode::INSUFFICIENT_STORAGE;
            Failure::new(status, "insufficient-storage", "The purge was not noted", detail).because(error)
        }
    }
}

/// 404: no such name, or another tenant's.
pub(super) fn no_front(name: &str) -> Failure {
    not_served(format!("there is no name `{name}` served here"))
}

/// 404 of a surrogate that was told of a purge: other surrogates go by its kind, for a router says 404, too.
pub(super) fn not_served(detail: impl Into<String>) -> Failure {
    Failure::new(StatusCode::NOT_FOUND, NOT_SERVED, "Not served here", detail)
}
