//! `POST|GET /jobs`, `GET /jobs/{id}`, `GET /jobs/{id}/events`, `POST /jobs/{id}/cancel`.

use std::convert::Infallible;

use axum::extract::State;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use flame_api::transcode::{Job, JobQuery, NewJob};
use flame_api::{Page, Problem};
use flame_jobs::http::{self, Error};
use flame_service_host::{Caller, Failure, FreeSpace, Json, Path, Query, Scope};
use futures_util::Stream;
use uuid::Uuid;

use super::encoders::away;
use crate::encoders::{self, Encoders};
use crate::limits;
use crate::store::{Created, Filter, Store};

/// Seconds after which a tenant whose jobs fill the queue may try again.
const RETRY_AFTER_S: u32 = 30;

/// Queues a job. Repeating it with the same body changes nothing and answers 200.
#[utoipa::path(
    post,
    path = "/jobs",
    request_body = NewJob,
    responses(
        (status = 201, description = "Queued", body = Job),
        (status = 200, description = "Was queued before, just so: the job as it is now", body = Job),
        (status = 409, description = "The id stands for another job", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "A value is outside of its limits", body = Problem,
            content_type = "application/problem+json"),
        (status = 429, description = "As many of the caller's jobs wait as may", body = Problem,
            content_type = "application/problem+json"),
        (status = 507, description = "The disk is nearly full", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    State(store): State<Store>,
    State(installed): State<Encoders>,
    caller: Caller,
    _: FreeSpace,
    Json(new): Json<NewJob>,
) -> Result<Response, Error> {
    caller.require(Scope::Write)?;
    // Only a chain that names its encoders is refused for one that is not there.
    let installed = match encoders::matter(&limits::check_chain(&new)?) {
        true => Some(installed.installed().await.map_err(|error| away(&error))?),
        false => None,
    };
    limits::check(&caller.tenant, &new, installed)?;
    match store.create(&caller.tenant, &new).await? {
        Created::New(job) => Ok(http::queued("jobs", job.id, job)),
        Created::Known(job) => Ok(Json(job).into_response()),
        Created::Taken => {
            Err(Failure::conflict(format!("{} is taken by another job; choose another id", new.id)).into())
        }
        Created::Full => {
            let reason =
                "as many of your jobs wait as may (`jobs.queued_max` of the service); wait until one has begun";
            Err(Failure::too_many(reason, RETRY_AFTER_S).into())
        }
    }
}

/// A page of the caller's jobs, newest first.
#[utoipa::path(
    get,
    path = "/jobs",
    params(JobQuery),
    responses(
        (status = 200, description = "A page", body = Page<Job>),
        (status = 400, description = "A parameter is malformed", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(store): State<Store>,
    caller: Caller,
    Query(query): Query<JobQuery>,
) -> Result<Json<Page<Job>>, Error> {
    caller.require(Scope::Read)?;
    let (from, limit) = http::page(query.cursor.as_deref(), query.limit)?;
    let filter = Filter { state: query.state, asset_id: query.asset_id };
    Ok(Json(store.list(&caller.tenant, filter, from, limit).await?))
}

/// A job.
#[utoipa::path(
    get,
    path = "/jobs/{id}",
    params(("id" = Uuid, Path, description = "The job")),
    responses(
        (status = 200, description = "The job", body = Job),
        (status = 404, description = "There is none, or it is another tenant's", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(State(store): State<Store>, caller: Caller, Path(id): Path<Uuid>) -> Result<Json<Job>, Error> {
    caller.require(Scope::Read)?;
    http::show(&store, &caller.tenant, id).await.map(Json)
}

/// Watches a job until it has ended.
#[utoipa::path(
    get,
    path = "/jobs/{id}/events",
    params(("id" = Uuid, Path, description = "The job")),
    responses(
        (status = 200, description = "Events named `job`, each the whole job; ends with the job", body = Job,
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
    http::watch::<Job, Store>(store, caller.tenant, id).await
}

/// Cancels a job, and waits a moment for its end. A job that has ended stays as it is; one that is just being
/// published may still succeed.
#[utoipa::path(
    post,
    path = "/jobs/{id}/cancel",
    params(("id" = Uuid, Path, description = "The job")),
    responses(
        (status = 200, description = "The job as it is now; while it lets go, `running`", body = Job),
        (status = 404, description = "There is none, or it is another tenant's", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn cancel(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<Json<Job>, Error> {
    caller.require(Scope::Write)?;
    http::cancel(&store, &caller.tenant, id).await.map(Json)
}
