//! `/api/router/paths`: names that stand for several functions in a row, and where a request would meet each now.

use axum::extract::State;
use flame_api::Page;
use flame_api::router::{Path, PathFunction};
use flame_naming::Name;
use flame_naming::path::Paths;
use flame_service_host::{Caller, FailureResult, Json, Scope};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::registry::Registry;

/// The routes; every one needs a caller.
pub(crate) fn routes(paths: Paths, registry: Registry) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(list)).with_state((paths, registry))
}

/// All paths. Callers that are no service see those of their tenant and the shared ones.
#[utoipa::path(
    get,
    path = "/api/router/paths",
    responses((status = 200, body = Page<Path>), (status = 403, description = "without the scope `read`"))
)]
async fn list(State((paths, registry)): State<(Paths, Registry)>, caller: Caller) -> FailureResult<Json<Page<Path>>> {
    let sees_all = caller.is_service();
    if !sees_all {
        caller.require(Scope::Read)?;
    }
    let visible = paths.iter().filter(|(path, _)| {
        let owner = path.tenant().as_str();
        sees_all || owner == caller.tenant || owner == flame_naming::name::DEFAULT_TENANT
    });
    let items = visible.map(|(path, functions)| Path {
        name: path.to_string(),
        functions: functions.iter().map(|function| explained(function, &registry)).collect(),
    });
    Ok(Json(Page { items: items.collect(), next_cursor: None }))
}

pub(super) fn explained(function: &Name, registry: &Registry) -> PathFunction {
    let surrogates = registry.surrogates(function);
    // The nearest comes first, of those that rest or not.
    let nearest = surrogates.iter().find(|one| one.has_room).or(surrogates.first());
    PathFunction {
        name: function.to_string(),
        endpoints: surrogates.len(),
        site: nearest.map(|one| one.site.to_string()),
    }
}
