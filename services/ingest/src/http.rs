//! The HTTP surface: one file a resource. What each answers is decided elsewhere; here it is only spoken.

use std::sync::Arc;

use axum::middleware::{from_fn, from_fn_with_state};
use flame_service_host::Routes;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::PullConfig;
use crate::intake::Intake;

mod browser;
mod error;
mod files;
mod pulls;
mod tus;
mod uploads;

/// What handlers share.
#[derive(Debug, Clone)]
pub struct Door {
    intake: Intake,
    pulls: PullConfig,
}

/// The routes of the service.
#[must_use]
pub fn routes(intake: Intake, pulls: PullConfig, allowed_origins: &[String]) -> Routes {
    let origins: Arc<[String]> = allowed_origins.into();
    let private = OpenApiRouter::new()
        .routes(routes!(uploads::list, tus::create))
        .routes(routes!(uploads::show, tus::offset, tus::append, tus::terminate))
        .routes(routes!(files::put))
        .routes(routes!(pulls::create))
        .with_state(Door { intake: intake.clone(), pulls })
        .layer(from_fn(tus::stamp))
        .layer(from_fn_with_state(Arc::clone(&origins), browser::guard));
    // A browser's preflight carries no credentials.
    let public = OpenApiRouter::new()
        .routes(routes!(tus::options))
        .routes(routes!(tus::upload_options))
        .routes(routes!(files::options))
        .routes(routes!(pulls::options))
        .with_state(Door { intake, pulls })
        .layer(from_fn_with_state(origins, browser::guard));
    Routes { private, public }
}
