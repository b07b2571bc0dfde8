//! `GET /stats`.

use axum::extract::State;
use flame_api::vcdn::{AssetFigures, Figures, Kept, Stats, Voices};
use flame_service_host::{Caller, FailureResult, Json, Scope};

use crate::Surrogate;

/// Assets that are listed.
const LISTED: usize = 1000;

/// What the caller's tenant keeps here, and how its viewers were answered since the start.
#[utoipa::path(get, path = "/stats", responses((status = 200, description = "Figures", body = Stats)))]
pub(super) async fn show(State(surrogate): State<Surrogate>, caller: Caller) -> FailureResult<Json<Stats>> {
    caller.require(Scope::Read)?;
    let mine = |tenant: &str| tenant == caller.tenant;
    let mut stats = Stats { surrogate: surrogate.id.to_string(), ..Stats::default() };
    let names = surrogate.fronts.iter().map(|front| &front.name).filter(|name| mine(name.tenant().as_str()));
    stats.names = names.map(ToString::to_string).collect();
    for (tenant, shelf) in surrogate.shelves.iter().filter(|(tenant, _)| mine(tenant)) {
        let [memory_objects, memory_bytes, disk_objects, disk_bytes] = shelf.size();
        let (fills, filling_bytes) = (shelf.filling() as u64, shelf.filling_bytes());
        let tenant = tenant.clone();
        let tiers = Kept { tenant, memory_objects, memory_bytes, disk_objects, disk_bytes, fills, filling_bytes };
        stats.kept.push(tiers);
    }
    let (mut total, mut voices) = (Figures::default(), Voices::default());
    for (tenant, shelf) in surrogate.shelves.iter().filter(|(tenant, _)| mine(tenant)) {
        let (sessions, complaining) = shelf.sessions.voices();
        voices.sessions += sessions;
        voices.complaining += complaining;
        for (asset, figures, viewing) in shelf.assets.list() {
            total.add(&figures);
            stats.assets.push(AssetFigures { tenant: tenant.clone(), asset, figures, viewing });
        }
    }
    stats.assets.truncate(LISTED);
    (stats.total, stats.voices) = (total, voices);
    Ok(Json(stats))
}
