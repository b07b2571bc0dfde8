//! The HTTP face: one file a resource, and one that turns errors into problems. Nothing is decided here.

mod alerts;
mod deployments;
mod error;
mod plans;

use axum::extract::DefaultBodyLimit;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::conductor::Conductor;

/// Longest body: a template, its imports and its alerts.
const BODY_MAX_BYTES: usize = 4 << 20;

/// The routes; all need a caller.
pub(crate) fn routes(conductor: Conductor) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(deployments::deploy, deployments::list))
        .routes(routes!(deployments::get, deployments::undeploy))
        .routes(routes!(deployments::decisions))
        .routes(routes!(plans::plan))
        .routes(routes!(alerts::told))
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .with_state(conductor)
}
