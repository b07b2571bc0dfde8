//! `POST|GET /jobs`, `GET /jobs/{id}`, `POST /jobs/{id}/cancel`.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use flame_api::page::{LIMIT_DEFAULT, LIMIT_MAX};
use flame_api::transcode::{Job, JobQuery, NewJob};
use flame_api::{Page, Problem};
use flame_service_host::{Caller, Failure, FreeSpace, Json, Path, Query, Scope};
use tokio::time::timeout;
use uuid::Uuid;

use super::encoders::away;
use super::error::Error;
use crate::changes::News;
use crate::cursor::Position;
use crate::encoders::{self, Encoders};
use crate::limits;
use crate::store::{Created, Filter, Store, StoreResult};

/// Time that a cancellation waits for the end of the job, so that its caller mostly sees it.
const CANCEL_PATIENCE: Duration = Duration::from_secs(2);

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
        Created::New(job) => {
            let location = HeaderValue::from_str(&format!("jobs/{}", job.id)).expect("a UUID is visible ASCII");
            Ok((StatusCode::CREATED, AppendHeaders([(header::LOCATION, location)]), Json(job)).into_response())
        }
        Created::Known(job) => Ok(Json(job).into_response()),
        Created::Taken => {
            Err(Failure::conflict(format!("{} is taken by another job; choose another id", new.id)).into())
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
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Failure::bad_request(format!("`limit` must be 1 to {LIMIT_MAX}, not {limit}")).into());
    }
    let from = match query.cursor.as_deref() {
        None => Position::START,
        Some(cursor) => Position::decode(cursor)
            .ok_or_else(|| Failure::bad_request("`cursor` must be the `next_cursor` of the page before"))?,
    };
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
    let job = store.job(&caller.tenant, id).await?;
    Ok(Json(job.ok_or_else(|| missing(id))?))
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
    let (seq, job) = store.cancel(&caller.tenant, id).await?.ok_or_else(|| missing(id))?;
    if job.state.is_final() {
        return Ok(Json(job));
    }
    match timeout(CANCEL_PATIENCE, ended(&store, &caller.tenant, id, seq)).await {
        Ok(job) => Ok(Json(job?.ok_or_else(|| missing(id))?)),
        Err(_elapsed) => Ok(Json(store.job(&caller.tenant, id).await?.ok_or_else(|| missing(id))?)),
    }
}

/// The job, once it has ended (or the service stops).
async fn ended(store: &Store, tenant: &str, id: Uuid, seq: i64) -> StoreResult<Option<Job>> {
    let mut watcher = store.changes().follow(seq);
    loop {
        let job = store.job(tenant, id).await?;
        if job.as_ref().is_none_or(|job| job.state.is_final()) || watcher.news().await == News::Closed {
            return Ok(job);
        }
    }
}

pub(super) fn missing(id: Uuid) -> Failure {
    Failure::not_found(format_args!("job {id}"))
}
