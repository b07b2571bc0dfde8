//! Errors become problems here, and nowhere else.

use axum::http::StatusCode;
use flame_service_host::Failure;

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
    Failure::not_found(format_args!("name `{name}` served here"))
}
