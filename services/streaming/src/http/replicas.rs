//! `PUT /replicas/{asset}`: has an asset brought to this site before anybody asks for it.

use axum::extract::State as Shared;
use axum::http::StatusCode;
use flame_api::Problem;
use flame_api::replicas::{PlaceQuery, Placement};
use flame_naming::Label;
use flame_service_host::{Caller, Failure, FailureResult, Json, Path, Query, Scope};
use uuid::Uuid;

use super::{State, error};
use crate::replicas::keys;
use crate::store::ReadError;

/// Has what plays of an asset copied into the store of this site, and says how far it is. Repeating it begins nothing twice, and what could
/// not be had is tried again.
#[utoipa::path(
    put,
    operation_id = "place",
    path = "/replicas/{asset}",
    params(("asset" = Uuid, Path, description = "The asset"), PlaceQuery),
    responses(
        (status = 200, description = "How far it is", body = Placement),
        (status = 400, description = "`from` is no site", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such asset, or it is another tenant's", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "This site keeps no copies (`no-replicas`)", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The catalogue or the object store is away", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn place(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(asset): Path<Uuid>,
    Query(query): Query<PlaceQuery>,
) -> FailureResult<Json<Placement>> {
    caller.require(Scope::Write)?;
    let replicas = state.store.replicas().ok_or_else(not_here)?;
    let from = query.from.as_deref().map(str::parse::<Label>).transpose();
    let from = from.map_err(|error| Failure::bad_request(format!("`from` is no site: {error}")))?;
    let found = state.presentations.current(asset).await.map_err(|error| error::of_catalogue(&error))?;
    let presentation = found.filter(|found| found.tenant == caller.tenant);
    let presentation = presentation.ok_or_else(|| Failure::not_found(format_args!("asset {asset}")))?;
    let placed = replicas.place(&keys(asset, &presentation), from.as_ref()).await.map_err(ReadError::from);
    placed.map(Json).map_err(|error| error::of_read(&error, &error))
}

/// Nothing is shared with other sites here.
pub(super) fn not_here() -> Failure {
    let detail = "the store of this site is shared with no other: set `[replicas]` of streaming";
    Failure::new(StatusCode::CONFLICT, "no-replicas", "No replicas", detail)
}
