//! The HTTP face: one file a resource, and one that turns errors into problems. Nothing is decided here.

mod alerts;
mod deployments;
mod error;
mod plans;
mod solutions;

use axum::extract::DefaultBodyLimit;
use flame_service_host::{Caller, Scope};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::conductor::Conductor;
use crate::rights::Trust;

/// Longest body: a template, its imports and its alerts.
const BODY_MAX_BYTES: usize = 4 << 20;

/// How far a caller is trusted: as the router does where names are registered. A credential that is confined to some names, as
/// endpoints get them, makes nobody an administrator: templates can read it.
fn trust(caller: &Caller) -> Trust {
    let is_admin = caller.names.is_none() && caller.require(Scope::Admin).is_ok();
    if caller.is_service() || is_admin { Trust::Admin } else { Trust::Tenant }
}

/// The routes; all need a caller.
pub(crate) fn routes(conductor: Conductor) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(deployments::deploy, deployments::list))
        .routes(routes!(deployments::get, deployments::undeploy))
        .routes(routes!(deployments::decisions))
        .routes(routes!(deployments::want))
        .routes(routes!(deployments::template))
        .routes(routes!(plans::plan))
        .routes(routes!(solutions::solve))
        .routes(routes!(alerts::told))
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .with_state(conductor)
}
