//! The HTTP side: public media URLs, all of them shared answers that anybody may read and keep.

mod error;
mod media;
mod multivariant;
mod poster;
mod representation;

use std::time::Duration;

use axum::http::{HeaderName, Method, header};
use tower_http::cors::{AllowHeaders, Any, CorsLayer};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::presentation::Presentations;
use crate::store::MediaStore;
use crate::track::Tracks;

/// A browser may remember the answer to its preflight this long; browsers cap it on their own.
const PREFLIGHT_TTL: Duration = Duration::from_secs(86_400);

/// What handlers need.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) presentations: Presentations,
    pub(crate) tracks: Tracks,
    pub(crate) store: MediaStore,
}

/// All routes.
pub(crate) fn routes(state: State) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(multivariant::playlist))
        .routes(routes!(poster::poster))
        .routes(routes!(media::playlist))
        .routes(routes!(media::init))
        .routes(routes!(media::segment))
        .layer(any_origin())
        .with_state(state)
}

/// Pages of any origin may read: there are no credentials that they could abuse. No `Vary`, as nothing varies.
fn any_origin() -> CorsLayer {
    const EXPOSED: [HeaderName; 6] = [
        header::CONTENT_LENGTH,
        header::CONTENT_RANGE,
        header::ETAG,
        HeaderName::from_static("cache-status"),
        HeaderName::from_static("cmsd-static"),
        HeaderName::from_static("cmsd-dynamic"),
    ];
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::HEAD])
        .allow_headers(AllowHeaders::any())
        .expose_headers(EXPOSED)
        .max_age(PREFLIGHT_TTL)
        .vary([])
}
