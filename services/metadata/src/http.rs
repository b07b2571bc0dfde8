//! The HTTP face: one file a resource, and one that turns errors into problems. Nothing is decided here.

mod assets;
mod batch;
mod changes;
mod error;
mod facets;
mod history;
mod imports;
mod provenance;
mod public;
mod scores;
mod subtitles;
mod versions;

use axum::extract::DefaultBodyLimit;
use flame_api::metadata::IMPORT_BODY_MAX_BYTES;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::limits::BODY_MAX_BYTES;
use crate::store::Store;

pub(crate) use self::public::Shown;

/// What anybody may ask.
pub(crate) fn public(shown: Shown) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(public::show)).with_state(shown)
}

/// All other routes; every one needs a caller.
pub(crate) fn routes(store: Store) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(assets::create, assets::list, batch::edit))
        .routes(routes!(assets::show, assets::patch, assets::delete))
        .routes(routes!(assets::standing))
        .routes(routes!(facets::list))
        .routes(routes!(changes::follow))
        .routes(routes!(provenance::show))
        .routes(routes!(history::list))
        .routes(routes!(history::restore))
        .routes(routes!(versions::publish))
        .routes(routes!(versions::fail))
        .routes(routes!(scores::list))
        .routes(routes!(scores::put))
        .routes(routes!(subtitles::put, subtitles::delete))
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .merge(
            OpenApiRouter::new().routes(routes!(imports::import)).layer(DefaultBodyLimit::max(IMPORT_BODY_MAX_BYTES)),
        )
        .with_state(store)
}
