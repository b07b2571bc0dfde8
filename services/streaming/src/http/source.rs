//! What ingest calls about channels' sources: `GET /sources`, `POST /channels/{id}/source/publications`, `PUT /channels/{id}/source/standing`.

use axum::extract::State as Shared;
use axum::http::StatusCode;
use flame_api::live::{Channel, NewSourcePublication, Publication, SourceStanding, SourceState};
use flame_api::{Page, Problem};
use flame_service_host::{Caller, FailureResult, Json, Path, Scope};
use uuid::Uuid;

use super::{State, error};

/// The caller's channels whose media a source brings that is not over, for who fetches it.
#[utoipa::path(
    get,
    operation_id = "sources",
    path = "/sources",
    responses((status = 200, description = "All of them: they are few", body = Page<Channel>))
)]
pub(super) async fn list(Shared(state): Shared<State>, caller: Caller) -> FailureResult<Json<Page<Channel>>> {
    caller.require(Scope::Read)?;
    let mut items = state.live.list(&caller.tenant).await;
    items.retain(|channel| channel.source.as_ref().is_some_and(|source| source.state != SourceState::Over));
    Ok(Json(Page { items, next_cursor: None }))
}

/// Begins to send what comes of the channel's source. Whoever sent before does not any more.
#[utoipa::path(
    post,
    operation_id = "publish_source",
    path = "/channels/{id}/source/publications",
    params(("id" = Uuid, Path, description = "The channel")),
    request_body = NewSourcePublication,
    responses(
        (status = 201, description = "Leave to send", body = Publication),
        (status = 403, description = "The channel has ended", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none that has not ended, or it is another tenant's", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The channel has no source", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value is outside of its limits", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn publish(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(new): Json<NewSourcePublication>,
) -> FailureResult<(StatusCode, Json<Publication>)> {
    caller.require(Scope::Write)?;
    let publication = state.live.publish_source(&caller.tenant, id, new.tracks).await.map_err(error::of_live)?;
    Ok((StatusCode::CREATED, Json(publication)))
}

/// Says how it goes with the channel's source.
#[utoipa::path(
    put,
    operation_id = "source_standing",
    path = "/channels/{id}/source/standing",
    params(("id" = Uuid, Path, description = "The channel")),
    request_body = SourceStanding,
    responses(
        (status = 204, description = "Noted"),
        (status = 404, description = "There is none that has not ended, or it is another tenant's", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The channel has no source", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn stand(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(standing): Json<SourceStanding>,
) -> FailureResult<StatusCode> {
    caller.require(Scope::Write)?;
    state.live.note_source(&caller.tenant, id, standing).await.map_err(error::of_live)?;
    Ok(StatusCode::NO_CONTENT)
}
