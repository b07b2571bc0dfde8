//! The HTTP surface: one file a resource. What each answers is decided elsewhere; here it is only spoken.

use axum::middleware::from_fn;
use flame_service_host::{Pages, Routes};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::PullConfig;
use crate::intake::Intake;

mod error;
mod files;
mod pulls;
pub(crate) mod tus;
mod uploads;

/// Methods that pages of allowed origins may use.
const METHODS: &str = "GET, HEAD, POST, PATCH, PUT, DELETE, OPTIONS";
/// Request headers that they may set.
const REQUEST_HEADERS: &str = "Authorization, Content-Type, Content-Digest, Repr-Digest, Tus-Resumable, Upload-Checksum, \
                               Upload-Length, Upload-Metadata, Upload-Offset";
/// Answer headers that they may read.
const ANSWER_HEADERS: &str = "Location, Retry-After, Tus-Checksum-Algorithm, Tus-Extension, Tus-Max-Size, Tus-Resumable, \
                              Tus-Version, Upload-Expires, Upload-Length, Upload-Metadata, Upload-Offset";

/// What handlers share.
#[derive(Debug, Clone)]
pub struct Door {
    intake: Intake,
    pulls: PullConfig,
}

/// The routes of the service.
#[must_use]
pub fn routes(intake: Intake, pulls: PullConfig) -> Routes {
    let private = OpenApiRouter::new()
        .routes(routes!(uploads::list, tus::create))
        .routes(routes!(uploads::show, tus::offset, tus::append, tus::terminate))
        .routes(routes!(files::put))
        .routes(routes!(pulls::create))
        .with_state(Door { intake: intake.clone(), pulls })
        .layer(from_fn(tus::stamp));
    // A browser's preflight carries no credentials.
    let public = OpenApiRouter::new()
        .routes(routes!(tus::options))
        .routes(routes!(tus::upload_options))
        .routes(routes!(files::options))
        .routes(routes!(pulls::options))
        .with_state(Door { intake, pulls });
    Routes { private, public }
}

/// What pages of other origins may do.
#[must_use]
pub fn pages(allowed_origins: Vec<String>) -> Pages {
    Pages {
        origins: allowed_origins,
        methods: METHODS,
        request_headers: REQUEST_HEADERS,
        answer_headers: ANSWER_HEADERS,
    }
}
