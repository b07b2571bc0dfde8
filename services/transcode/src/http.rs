//! The HTTP face: one file a resource, and one that turns errors into problems. Nothing is decided here.

mod chains;
mod error;
mod events;
mod jobs;

use axum::extract::DefaultBodyLimit;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::limits::BODY_MAX_BYTES;
use crate::store::Store;

/// All routes; every one needs a caller.
pub(crate) fn routes(store: Store) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(chains::list))
        .routes(routes!(jobs::create, jobs::list))
        .routes(routes!(jobs::show))
        .routes(routes!(jobs::cancel))
        .routes(routes!(events::watch))
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .with_state(store)
}
