//! `/api/router/activity`: what this router does besides passing on, as it happens.

use axum::extract::State;
use flame_api::router::{Activity, ActivityTotals, MulticastCounts};
use flame_service_host::{Caller, FailureResult, Json, Query, Scope};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::endpoints::is_visible;
use crate::multicast::Multicast;
use crate::registry::Registry;

/// What is new.
#[derive(Debug, Deserialize, IntoParams)]
struct Since {
    /// Events after this number only; `last` of the answer before.
    #[serde(default)]
    after: u64,
}

#[derive(Clone)]
struct Told {
    registry: Registry,
    multicast: Option<Multicast>,
}

/// Needs a caller.
pub(crate) fn routes(registry: Registry, multicast: Option<Multicast>) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(show)).with_state(Told { registry, multicast })
}

/// The latest requests that this router asked again, of a second endpoint, went on with elsewhere or searched for (256 are kept), and
/// how often that happened since its start. Callers that are no service see events of their tenant's names and the shared ones.
#[utoipa::path(
    get,
    path = "/api/router/activity",
    params(Since),
    responses((status = 200, body = Activity), (status = 403, description = "without the scope `read`"))
)]
async fn show(
    State(Told { registry, multicast }): State<Told>,
    caller: Caller,
    Query(Since { after }): Query<Since>,
) -> FailureResult<Json<Activity>> {
    let sees_all = caller.is_service();
    if !sees_all {
        caller.require(Scope::Read)?;
    }
    let activity = registry.activity();
    let (events, last) = activity.after(after, |event| sees_all || is_visible(&event.name, &caller.tenant));
    let sees_totals = sees_all || [Scope::Metrics, Scope::Admin].iter().any(|scope| caller.scopes().contains(scope));
    let totals = sees_totals.then(|| ActivityTotals {
        counts: activity.counts().collect(),
        multicast: multicast.map_or_else(MulticastCounts::default, |multicast| multicast.counts()),
    });
    Ok(Json(Activity { totals, events, last }))
}
