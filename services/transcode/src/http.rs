//! The HTTP face: one file a resource. Nothing is decided here.

mod chains;
mod derived;
mod encoders;
mod jobs;
mod ladders;

use axum::extract::{DefaultBodyLimit, FromRef};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::encoders::Encoders;
use crate::limits::BODY_MAX_BYTES;
use crate::live::Ladders;
use crate::store::Store;
use crate::transrate::Transrater;

/// What handlers ask for.
#[derive(Debug, Clone)]
struct Api {
    store: Store,
    encoders: Encoders,
    ladders: Ladders,
}

/// All routes; every one needs a caller.
pub(crate) fn routes(store: Store, encoders: Encoders, ladders: Ladders) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(chains::list))
        .routes(routes!(chains::show))
        .routes(routes!(chains::check))
        .routes(routes!(encoders::list))
        .routes(routes!(jobs::create, jobs::list))
        .routes(routes!(jobs::show))
        .routes(routes!(jobs::cancel))
        .routes(routes!(jobs::watch))
        .routes(routes!(ladders::climb))
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .with_state(Api { store, encoders, ladders })
}

/// What viewers call.
pub(crate) fn public(transrater: Transrater) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(derived::asset)).routes(routes!(derived::track)).with_state(transrater)
}

// === impl Api ===

impl FromRef<Api> for Store {
    fn from_ref(api: &Api) -> Self {
        api.store.clone()
    }
}

impl FromRef<Api> for Encoders {
    fn from_ref(api: &Api) -> Self {
        api.encoders.clone()
    }
}

impl FromRef<Api> for Ladders {
    fn from_ref(api: &Api) -> Self {
        api.ladders.clone()
    }
}
