//! `GET /`: one plain page until the portal is there: names, assets, a player.

use utoipa_axum::router::OpenApiRouter;

/// The page needs no caller: what it shows, it asks for itself.
pub(crate) fn routes() -> OpenApiRouter {
    OpenApiRouter::new().route("/", axum::routing::get(async || "FLAME\n"))
}
