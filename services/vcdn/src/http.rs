//! The surrogate's own API. Nothing is decided here.

mod error;
mod purges;
mod stats;
mod warm;

use axum::extract::DefaultBodyLimit;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Surrogate;

/// The largest body that is read.
const BODY_MAX_BYTES: usize = 64 << 10;

/// The routes that need a caller, and those that need none.
pub(crate) fn routes(surrogate: Surrogate) -> (OpenApiRouter, OpenApiRouter) {
    let public = OpenApiRouter::new().routes(routes!(purges::pull)).with_state(surrogate.clone());
    let private = OpenApiRouter::new()
        .routes(routes!(stats::show))
        .routes(routes!(purges::create, purges::list))
        .routes(routes!(purges::put))
        .routes(routes!(warm::create))
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .with_state(surrogate);
    (private, public)
}
