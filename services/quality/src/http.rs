//! The HTTP face: one file a resource, and what both kinds of jobs share ([`jobs`]). Nothing is decided here.

mod comparisons;
mod files;
mod inspections;
mod jobs;
mod suites;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, FromRef};
use flame_api::quality::suites::RUN_MAX_BYTES;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::limits::{BODY_MAX_BYTES, Bounds};
use crate::results::Results;
use crate::store::Store;

/// What handlers ask for.
#[derive(Debug, Clone)]
struct Api {
    store: Store,
    results: Results,
    bounds: Arc<Bounds>,
}

/// All routes; every one needs a caller.
pub(crate) fn routes(store: Store, results: Results, bounds: Bounds) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(comparisons::create, comparisons::list))
        .routes(routes!(comparisons::show))
        .routes(routes!(comparisons::watch))
        .routes(routes!(comparisons::cancel))
        .routes(routes!(files::file))
        .routes(routes!(files::picture))
        .routes(routes!(inspections::create, inspections::list))
        .routes(routes!(inspections::show))
        .routes(routes!(inspections::watch))
        .routes(routes!(inspections::cancel))
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .merge(
            OpenApiRouter::new()
                .routes(routes!(suites::list))
                .routes(routes!(suites::note, suites::runs))
                .layer(DefaultBodyLimit::max(RUN_MAX_BYTES)),
        )
        .with_state(Api { store, results, bounds: Arc::new(bounds) })
}

// === impl Api ===

impl FromRef<Api> for Store {
    fn from_ref(api: &Api) -> Self {
        api.store.clone()
    }
}

impl FromRef<Api> for Results {
    fn from_ref(api: &Api) -> Self {
        api.results.clone()
    }
}

impl FromRef<Api> for Arc<Bounds> {
    fn from_ref(api: &Api) -> Self {
        Arc::clone(&api.bounds)
    }
}
