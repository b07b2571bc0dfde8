//! `POST|GET /inspections`, `GET /inspections/{id}`, `GET /inspections/{id}/events`, `POST /inspections/{id}/cancel`.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use axum::response::sse::{Event, Sse};
use flame_api::quality::jobs::{InspectionJob, MeasuringQuery, NewInspection};
use flame_api::{Page, Problem};
use flame_service_host::{Caller, FreeSpace, Json, Path, Query, Scope};
use futures_util::Stream;
use uuid::Uuid;

use super::error::Error;
use super::{events, jobs};
use crate::limits::{self, Bounds};
use crate::store::Store;
use crate::verdict::Asked;

/// Queues an inspection. Repeating it with the same body changes nothing and answers 200.
#[utoipa::path(
    post,
    path = "/inspections",
    operation_id = "create_inspection",
    request_body = NewInspection,
    responses(
        (status = 201, description = "Queued", body = InspectionJob),
        (status = 200, description = "Was queued before, just so: the job as it is now", body = InspectionJob),
        (status = 409, description = "The id stands for another job", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "A value is outside of its limits", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "As many jobs wait as may", body = Problem,
            content_type = "application/problem+json"),
        (status = 507, description = "The disk is nearly full", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    State(store): State<Store>,
    State(bounds): State<Arc<Bounds>>,
    caller: Caller,
    _: FreeSpace,
    Json(new): Json<NewInspection>,
) -> Result<Response, Error> {
    caller.require(Scope::Write)?;
    limits::check_inspection(&new, &bounds)?;
    jobs::create::<InspectionJob>(&store, &caller.tenant, &Asked::Inspection(new)).await
}

/// A page of the caller's inspections, newest first, without their results.
#[utoipa::path(
    get,
    path = "/inspections",
    operation_id = "list_inspections",
    params(MeasuringQuery),
    responses(
        (status = 200, description = "A page", body = Page<InspectionJob>),
        (status = 400, description = "A parameter is malformed", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(store): State<Store>,
    caller: Caller,
    Query(query): Query<MeasuringQuery>,
) -> Result<Json<Page<InspectionJob>>, Error> {
    caller.require(Scope::Read)?;
    jobs::list(&store, &caller.tenant, query).await
}

/// An inspection, with its result once there is one.
#[utoipa::path(
    get,
    path = "/inspections/{id}",
    operation_id = "show_inspection",
    params(("id" = Uuid, Path, description = "The job")),
    responses(
        (status = 200, description = "The job", body = InspectionJob),
        (status = 404, description = "There is none, or it is another tenant's", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<Json<InspectionJob>, Error> {
    caller.require(Scope::Read)?;
    jobs::show(&store, &caller.tenant, id).await.map(Json)
}

/// Watches an inspection until it has ended.
#[utoipa::path(
    get,
    path = "/inspections/{id}/events",
    operation_id = "watch_inspection",
    params(("id" = Uuid, Path, description = "The job")),
    responses(
        (status = 200, description = "Events named `inspection`, each the whole job; ends with it", body = InspectionJob,
            content_type = "text/event-stream"),
        (status = 404, description = "There is none, or it is another tenant's", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "Too many are watching", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn watch(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Error> {
    caller.require(Scope::Read)?;
    events::watch::<InspectionJob>(store, caller.tenant, id).await
}

/// Cancels an inspection, and waits a moment for its end. One that has ended stays as it is.
#[utoipa::path(
    post,
    path = "/inspections/{id}/cancel",
    operation_id = "cancel_inspection",
    params(("id" = Uuid, Path, description = "The job")),
    responses(
        (status = 200, description = "The job as it is now; while it lets go, `running`", body = InspectionJob),
        (status = 404, description = "There is none, or it is another tenant's", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn cancel(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<Json<InspectionJob>, Error> {
    caller.require(Scope::Write)?;
    jobs::cancel(&store, &caller.tenant, id).await.map(Json)
}
