//! Errors become problems here, and nowhere else.

use axum::http::StatusCode;
use flame_service_host::Failure;

use crate::queue::StoreError;

/// Seconds after which a caller may try a busy database again.
const RETRY_AFTER_S: u32 = 1;

/// A job that is not queued, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {reason}")]
pub struct NotQueued {
    /// The field, in JSON's words: `probe.video.codec`.
    pub field: &'static str,
    /// What it must be.
    pub reason: String,
}

/// Why a handler gives up; becomes a [`Failure`].
#[derive(Debug)]
pub enum Error {
    /// What was asked for does not fit.
    NotQueued(NotQueued),
    /// The database did not do it.
    Store(StoreError),
    /// Any other answer.
    Answer(Failure),
}

// === impl Error ===

impl From<NotQueued> for Error {
    fn from(refused: NotQueued) -> Self {
        Self::NotQueued(refused)
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Answer(failure)
    }
}

impl axum::response::IntoResponse for Error {
    fn into_response(self) -> axum::response::Response {
        let failure = match self {
            Self::Answer(failure) => failure,
            Self::NotQueued(refused) => {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                Failure::new(status, "unprocessable", "The request does not fit", refused.to_string())
            }
            Self::Store(error) => match &error {
                StoreError::Busy(_) => Failure::unavailable("the database is busy", RETRY_AFTER_S).because(&error),
                StoreError::Full(_) => {
                    let detail = "the disk under the database is full; delete something and try again";
                    Failure::new(StatusCode::INSUFFICIENT_STORAGE, "insufficient-storage", "The disk is full", detail)
                        .because(&error)
                }
                StoreError::Folder { .. }
                | StoreError::TooNew { .. }
                | StoreError::Migration { .. }
                | StoreError::Database(_)
                | StoreError::Damaged { .. } => Failure::internal(&error),
            },
        };
        failure.into_response()
    }
}
