//! Errors become problems here, and nowhere else.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use flame_service_host::Failure;

use crate::conductor::ConductError;

/// Why a handler gives up.
pub(super) struct Error(Failure);

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl From<ConductError> for Error {
    fn from(error: ConductError) -> Self {
        let refused =
            |slug: &str, title: &str| Failure::new(StatusCode::UNPROCESSABLE_ENTITY, slug, title, error.to_string());
        Self(match &error {
            ConductError::Document(_) => refused("wrong-template", "The template is wrong"),
            ConductError::Demand(_) => refused("wrong-demand", "The demand cannot be answered"),
            ConductError::Plan(_) => refused("no-place", "There is no place for it"),
            ConductError::Alerts(_) => refused("wrong-alerts", "The alerts were not taken"),
            ConductError::Refused(_) => refused("unprocessable", "The request does not fit"),
            ConductError::Forbidden(_) => Failure::new(
                StatusCode::FORBIDDEN,
                "forbidden",
                "The credential does not allow this",
                error.to_string(),
            ),
            ConductError::Absent(_) => Failure::not_found(&error),
            ConductError::Leaving(_) => Failure::conflict(error.to_string()),
            ConductError::Target(_) | ConductError::Store(_) | ConductError::Search(_) => Failure::internal(&error),
        })
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}
