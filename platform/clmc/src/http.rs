//! The HTTP face: one file a resource, and one that turns errors into problems. Nothing is decided here.

mod alerts;
mod error;
mod graph;
mod ping;
mod query;
mod write;

use axum::extract::DefaultBodyLimit;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Clmc;

/// The routes that need a caller, and those that do not.
pub(crate) fn routes(clmc: Clmc) -> (OpenApiRouter, OpenApiRouter) {
    let body_max = usize::try_from(clmc.write.body_max.0).unwrap_or(usize::MAX);
    let private = OpenApiRouter::new()
        .routes(routes!(write::write))
        .routes(routes!(write::write_v2))
        .routes(routes!(query::get, query::post))
        .routes(routes!(alerts::put, alerts::list))
        .routes(routes!(alerts::remove))
        .routes(routes!(graph::network))
        .routes(routes!(graph::round_trips))
        .layer(DefaultBodyLimit::max(body_max))
        .with_state(clmc);
    (private, OpenApiRouter::new().routes(routes!(ping::get, ping::head)))
}
