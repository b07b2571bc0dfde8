//! `POST|GET /comparisons`, `GET /comparisons/{id}`, `GET /comparisons/{id}/events`, `POST /comparisons/{id}/cancel`.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use axum::response::sse::{Event, Sse};
use flame_api::quality::jobs::{ComparisonJob, MeasuringQuery, NewComparison};
use flame_api::{Page, Problem};
use flame_service_host::{Caller, FreeSpace, Json, Path, Query, Scope};
use futures_util::Stream;
use uuid::Uuid;

use super::error::Error;
use super::{events, jobs};
use crate::limits::{self, Bounds};
use crate::store::Store;
use crate::verdict::Asked;

/// Queues a comparison. Repeating it with the same body changes nothing and answers 200.
#[utoipa::path(
    post,
    path = "/comparisons",
    operation_id = "create_comparison",
    request_body = NewComparison,
    responses(
        (status = 201, description = "Queued", body = ComparisonJob),
        (status = 200, description = "Was queued before, just so: the job as it is now", body = ComparisonJob),
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
    Json(new): Json<NewComparison>,
) -> Result<Response, Error> {
    caller.require(Scope::Write)?;
    limits::check_comparison(&new, &bounds)?;
    jobs::create::<ComparisonJob>(&store, &caller.tenant, &Asked::Comparison(new)).await
}

/// A page of the caller's comparisons, newest first, without their results.
#[utoipa::path(
    get,
    path = "/comparisons",
    operation_id = "list_comparisons",
    params(MeasuringQuery),
    responses(
        (status = 200, description = "A page", body = Page<ComparisonJob>),
        (status = 400, description = "A parameter is malformed", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(store): State<Store>,
    caller: Caller,
    Query(query): Query<MeasuringQuery>,
) -> Result<Json<Page<ComparisonJob>>, Error> {
    caller.require(Scope::Read)?;
    jobs::list(&store, &caller.tenant, query).await
}

/// A comparison, with its result once there is one.
#[utoipa::path(
    get,
    path = "/comparisons/{id}",
    operation_id = "show_comparison",
    params(("id" = Uuid, Path, description = "The job")),
    responses(
        (status = 200, description = "The job", body = ComparisonJob),
        (status = 404, description = "There is none, or it is another tenant's", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<Json<ComparisonJob>, Error> {
    caller.require(Scope::Read)?;
    jobs::show(&store, &caller.tenant, id).await.map(Json)
}

/// Watches a comparison until it has ended.
#[utoipa::path(
    get,
    path = "/comparisons/{id}/events",
    operation_id = "watch_comparison",
    params(("id" = Uuid, Path, description = "The job")),
    responses(
        (status = 200, description = "Events named `comparison`, each the whole job; ends with it", body = ComparisonJob,
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
    events::watch::<ComparisonJob>(store, caller.tenant, id).await
}

/// Cancels a comparison, and waits a moment for its end. One that has ended stays as it is.
#[utoipa::path(
    post,
    path = "/comparisons/{id}/cancel",
    operation_id = "cancel_comparison",
    params(("id" = Uuid, Path, description = "The job")),
    responses(
        (status = 200, description = "The job as it is now; while it lets go, `running`", body = ComparisonJob),
        (status = 404, description = "There is none, or it is another tenant's", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn cancel(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<Json<ComparisonJob>, Error> {
    caller.require(Scope::Write)?;
    jobs::cancel(&store, &caller.tenant, id).await.map(Json)
}
