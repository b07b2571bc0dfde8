//! `POST|GET /purges`, `PUT /purges/{id}`.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flame_api::Problem;
use flame_api::vcdn::{Purge, PurgeEntry, Purged};
use flame_service_host::{Caller, Failure, FailureResult, Json, Path, Query, Scope};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::error;
use crate::Surrogate;
use crate::object::UnixMs;
use crate::peers::Told;
use crate::purge::{self, By, Cover};

/// Which purges are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Since {
    /// Those at or after this moment, Unix milliseconds.
    #[serde(default)]
    after: u64,
}

/// Drops what is kept, here and in all other surrogates that can be reached, whatever their own API is called. Noted before it is done. With
/// an `id` that was noted already, it is done only where it is not known yet.
#[utoipa::path(
    post,
    path = "/purges",
    request_body = Purge,
    responses(
        (status = 200, description = "Done here; says by whom else, who could not be told, and whether there may be others", body = Purged),
        (status = 404, description = "Nobody serves the name, or it is another tenant's", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "Another purge has this id", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "Not exactly one of url, prefix and tag; or no name", body = Problem,
            content_type = "application/problem+json"),
        (status = 507, description = "It could not be noted", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    State(surrogate): State<Surrogate>,
    caller: Caller,
    Json(mut purge): Json<Purge>,
) -> FailureResult<Json<Purged>> {
    caller.require(Scope::Write)?;
    purge.name = purge::told(purge.name, &caller.tenant);
    let cover = Cover::of(&purge).map_err(|error| error::of_purge(&error))?;
    if !cover.is_of(&caller.tenant) {
        return Err(error::no_front(&purge.name));
    }
    // It stands once in an entry, where all surrogates look for it.
    let id = purge.id.take().unwrap_or_else(Uuid::now_v7);
    let entry = PurgeEntry { id, at_unix_ms: UnixMs::now().0, purge };
    // Also what is not served here: others ask for it.
    let by = if caller.is_service() { By::Service } else { By::Tenant };
    let objects = surrogate.purge(entry.clone(), by).await.map_err(|error| error::of_purge(&error))?;
    let told = surrogate.peers.tell(&entry, &caller.tenant).await;
    if !surrogate.serves(&cover) && told.is_nobodys() {
        return Err(error::no_front(&entry.purge.name));
    }
    let Told { done: peers, unreached, all_known, unheard_sites } = told;
    Ok(Json(Purged { id, objects, peers, unreached, all_known, unheard_sites }))
}

/// A purge that another surrogate tells of. Told twice, it is done once.
#[utoipa::path(
    put,
    path = "/purges/{id}",
    params(("id" = Uuid, Path, description = "The purge")),
    request_body = PurgeEntry,
    responses(
        (status = 204, description = "Done"),
        (status = 404, description = "The name is not served here; it is noted, for those that ask", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "Another purge has this id", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "Not a purge", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn put(
    State(surrogate): State<Surrogate>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(mut entry): Json<PurgeEntry>,
) -> FailureResult<StatusCode> {
    let cover = Cover::of(&entry.purge).map_err(|error| error::of_purge(&error))?;
    let is_believed = caller.is_service();
    if !is_believed {
        // A surrogate that a tenant has started.
        caller.require(if cover.is_of(&caller.tenant) { Scope::Write } else { Scope::Service })?;
        // The log is ordered by it.
        entry.at_unix_ms = entry.at_unix_ms.min(UnixMs::now().0);
    }
    if entry.id != id {
        return Err(Failure::bad_request("the id of the purge is not that of the URL"));
    }
    let name = entry.purge.name.clone();
    let by = if is_believed { By::Surrogate } else { By::Tenant };
    surrogate.purge(entry, by).await.map_err(|error| error::of_purge(&error))?;
    if surrogate.serves(&cover) { Ok(StatusCode::NO_CONTENT) } else { Err(error::no_front(&name)) }
}

/// That there is a purge: this surrogate asks the others for it. Needs no token, since those who tell of it show
/// theirs to nobody whom they do not know.
#[utoipa::path(
    post,
    path = "/purges/{id}/pulls",
    params(("id" = Uuid, Path, description = "The purge")),
    responses(
        (status = 204, description = "Done"),
        (status = 404, description = "The name is not served here", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "Nobody that it asks knows of the purge", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn pull(State(surrogate): State<Surrogate>, Path(id): Path<Uuid>) -> FailureResult<StatusCode> {
    let covers = surrogate.pull(id).await;
    if covers.is_empty() {
        return Err(Failure::unavailable_alone("nobody that this surrogate asks knows of that purge", 1));
    }
    if covers.iter().any(|cover| surrogate.serves(cover)) {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(error::not_served("there is no name of that purge served here"))
}

/// Purges that this surrogate remembers, oldest first: for those that were away. Callers that are no service see those of their tenant.
#[utoipa::path(
    get,
    path = "/purges",
    params(Since),
    responses(
        (status = 200, description = "Purges", body = [PurgeEntry]),
        (status = 304, description = "None was noted since the one that has this ETag"),
    ),
)]
pub(super) async fn list(
    State(surrogate): State<Surrogate>,
    caller: Caller,
    Query(since): Query<Since>,
    headers: HeaderMap,
) -> FailureResult<Response> {
    let sees_all = caller.is_service();
    if !sees_all {
        caller.require(Scope::Read)?;
    }
    // Before the purges: what comes in between is told twice, not never.
    let etag = surrogate.purges.etag();
    let is_known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes());
    let etag = [(header::ETAG, etag)];
    if is_known {
        return Ok((StatusCode::NOT_MODIFIED, etag).into_response());
    }
    let mut entries = surrogate.purges.since(UnixMs(since.after));
    let is_own = |entry: &PurgeEntry| Cover::of(&entry.purge).is_ok_and(|cover| cover.is_of(&caller.tenant));
    entries.retain(|entry| sees_all || is_own(entry));
    Ok((etag, Json(entries)).into_response())
}
