//! `GET /graph`, `GET /graph/round-trips`: the network, and the time from every place in it to every endpoint and back.

use axum::extract::State;
use flame_api::clmc::{NetworkGraph, RoundTrip, RoundTripQuery};
use flame_api::{Page, Problem};
use flame_service_host::{Caller, Failure, Json, Query, Scope};
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::Error;
use crate::Clmc;
use crate::graph::round_trip::Wanted;

/// Query of `/graph`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct GraphQuery {
    /// The database: the service function chain
    db: String,
}

/// The network: the site file, with the latencies that were measured lately.
#[utoipa::path(
    get,
    path = "/graph",
    operation_id = "network",
    params(GraphQuery),
    responses(
        (status = 200, description = "Places and links", body = NetworkGraph),
        (status = 404, description = "There is no such database", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "There is too much to look at", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too many questions at once", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn network(
    State(clmc): State<Clmc>,
    caller: Caller,
    Query(query): Query<GraphQuery>,
) -> Result<Json<NetworkGraph>, Error> {
    caller.require(Scope::Read)?;
    let slot = clmc.slot().await?;
    let work = tokio::task::spawn_blocking(move || {
        let _slot = slot;
        clmc.graph.network(&clmc.store, &caller.tenant, &query.db)
    });
    Ok(Json(work.await.map_err(|error| Failure::internal(&error))??))
}

/// The round-trip time of every pair of a place and an endpoint between which there is a way: the network there, the service, and
/// the network back.
#[utoipa::path(
    get,
    path = "/graph/round-trips",
    operation_id = "round_trips",
    params(RoundTripQuery),
    responses(
        (status = 200, description = "All pairs that are asked for", body = Page<RoundTrip>),
        (status = 404, description = "There is no such database", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "There are more pairs than are looked at", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too many questions at once", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn round_trips(
    State(clmc): State<Clmc>,
    caller: Caller,
    Query(query): Query<RoundTripQuery>,
) -> Result<Json<Page<RoundTrip>>, Error> {
    caller.require(Scope::Read)?;
    let slot = clmc.slot().await?;
    let work = tokio::task::spawn_blocking(move || {
        let _slot = slot;
        let wanted = Wanted { source: query.from, endpoint: query.to };
        clmc.graph.round_trips(&clmc.store, &caller.tenant, &query.db, &wanted)
    });
    let items = work.await.map_err(|error| Failure::internal(&error))??;
    Ok(Json(Page { items, next_cursor: None }))
}
