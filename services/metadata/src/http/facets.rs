//! `GET /facets`: how often each value of some fields occurs.

use axum::extract::State;
use flame_api::Problem;
use flame_api::metadata::{FacetQuery, Facets, Matches};
use flame_service_host::{Caller, Json, Query, Scope};

use super::assets::filter;
use super::error::Error;
use crate::facet::Tally;
use crate::limits::Refused;
use crate::search::{self, Wanted};
use crate::store::{Selection, Store};

/// How often each value of some fields occurs among the caller's assets, or among those that a search finds and a filter wants. Costs
/// are bounded: of so many assets the newest are counted, and the answer says so.
#[utoipa::path(
    get,
    path = "/facets",
    operation_id = "facets",
    params(FacetQuery),
    responses(
        (status = 200, description = "The counts", body = Facets),
        (status = 400, description = "A parameter is unknown, missing or malformed", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "The search is too long, or a field or the filter is not understood", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(store): State<Store>,
    caller: Caller,
    Query(query): Query<FacetQuery>,
) -> Result<Json<Facets>, Error> {
    caller.require(Scope::Read)?;
    let tenant = &caller.tenant;
    let tally = Tally::parse(&query.by).map_err(|reason| Refused { field: "by".to_owned(), reason })?;
    let filter = filter(query.filter.as_deref())?;
    let search = match search::parse(tenant, query.q.as_deref().unwrap_or_default())? {
        Wanted::Everything => None,
        Wanted::Nothing => {
            return Ok(Json(Facets { matches: Matches { count: 0, more: false }, facets: tally.told() }));
        }
        Wanted::Words(search) => Some(search),
    };
    let (search, filter) = (search.as_ref(), filter.as_ref());
    let selection = Selection { tenant, search, state: query.state, deleted: false, filter };
    Ok(Json(store.facets(selection, tally).await?))
}
