//! `GET /assets/{id}/provenance`: which source, job, chain, parameters, tools and scores made the bytes that viewers get.

use axum::extract::State;
use flame_api::Problem;
use flame_api::metadata::{Provenance, ProvenanceQuery, Score};
use flame_service_host::{Caller, Failure, Json, Path, Query, Scope};
use uuid::Uuid;

use super::assets::missing;
use super::error::Error;
use crate::store::Store;

/// Where the bytes of an asset came from, and what was made of them; with `version` and `track`, which a media URL names, of those
/// bytes alone.
#[utoipa::path(
    get,
    path = "/assets/{id}/provenance",
    operation_id = "provenance",
    params(("id" = Uuid, Path, description = "The asset"), ProvenanceQuery),
    responses(
        (status = 200, description = "What is recorded", body = Provenance),
        (status = 400, description = "A parameter is unknown or malformed", body = Problem,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such asset, version or track, or it is another tenant's", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Query(query): Query<ProvenanceQuery>,
) -> Result<Json<Provenance>, Error> {
    caller.require(Scope::Read)?;
    let mut found = store.provenance(&caller.tenant, id).await?.ok_or_else(|| missing(id))?;
    // What was measured of all that plays, or of the whole version, was measured of what is asked for too.
    let is_of = |asked: &Option<String>, of: &Option<String>| asked.is_none() || of.is_none() || asked == of;
    found
        .scores
        .retain(|Score { score, .. }| is_of(&query.version, &score.version) && is_of(&query.track, &score.track));
    if let Some(version) = &query.version {
        found.versions.retain(|made| made.version.name == *version);
        if found.versions.is_empty() {
            return Err(Failure::not_found(format_args!("version {version} of asset {id}")).into());
        }
    }
    if let Some(track) = &query.track {
        found.versions.iter_mut().for_each(|made| made.version.tracks.retain(|one| one.name == *track));
        found.versions.retain(|made| !made.version.tracks.is_empty());
        if found.versions.is_empty() {
            return Err(Failure::not_found(format_args!("track {track} of asset {id}")).into());
        }
    }
    Ok(Json(found))
}
