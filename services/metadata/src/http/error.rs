//! Errors become problems here, and nowhere else.

use axum::http::StatusCode;
use flame_service_host::Failure;

use crate::limits::Refused;
use crate::store::StoreError;

/// Seconds after which a caller may try a busy database again.
const RETRY_AFTER_S: u32 = 1;

/// Why a handler gives up; becomes a [`Failure`].
pub(super) enum Error {
    Refused(Refused),
    Store(StoreError),
    Answer(Failure),
}

// === impl Error ===

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
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
            Self::Refused(refused) => {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                Failure::new(status, "unprocessable", "The request does not fit", refused.to_string())
            }
            Self::Store(error) => match &error {
                StoreError::Busy(_) => Failure::unavailable("the database is busy", RETRY_AFTER_S).because(&error),
                StoreError::Away(_) => {
                    Failure::unavailable("the server of the database is away", RETRY_AFTER_S).because(&error)
                }
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
