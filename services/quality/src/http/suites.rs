//! `GET /suites`, `POST|GET /suite-runs`: what runs of suites found, kept for who looks at it over time.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use flame_api::quality::suites::{NewSuiteRun, SuiteRun, SuiteRunQuery, SuiteSummary};
use flame_api::{Page, Problem};
use flame_jobs::http::{self, Error};
use flame_service_host::{Caller, Failure, FreeSpace, Json, Query, Scope};

use crate::limits::{self, RUNS_PAGE_MAX};
use crate::store::{Noted, Store};

/// Keeps what a run of a suite found. Repeating it with the same body changes nothing and answers 200. The oldest runs of more than
/// are kept are forgotten.
#[utoipa::path(
    post,
    path = "/suite-runs",
    operation_id = "note_suite_run",
    request_body = NewSuiteRun,
    responses(
        (status = 201, description = "Kept", body = SuiteRun),
        (status = 200, description = "Was kept before, just so", body = SuiteRun),
        (status = 409, description = "The id stands for another run", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value is outside of its limits", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "The disk is nearly full", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn note(
    State(store): State<Store>,
    caller: Caller,
    _: FreeSpace,
    Json(new): Json<NewSuiteRun>,
) -> Result<Response, Error> {
    caller.require(Scope::Write)?;
    limits::check_run(&new)?;
    match store.note_run(&caller.tenant, &new).await? {
        Noted::New(run) => Ok((StatusCode::CREATED, Json(run)).into_response()),
        Noted::Known(run) => Ok(Json(run).into_response()),
        Noted::Taken => Err(Failure::conflict("the id is taken by another run; choose another id").into()),
    }
}

/// A page of the runs of a suite, newest first.
#[utoipa::path(
    get,
    path = "/suite-runs",
    operation_id = "list_suite_runs",
    params(SuiteRunQuery),
    responses(
        (status = 200, description = "A page; empty of a suite that nothing is known of", body = Page<SuiteRun>),
        (status = 400, description = "A parameter is missing or malformed", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn runs(
    State(store): State<Store>,
    caller: Caller,
    Query(query): Query<SuiteRunQuery>,
) -> Result<Json<Page<SuiteRun>>, Error> {
    caller.require(Scope::Read)?;
    let (from, limit) = http::page(query.cursor.as_deref(), query.limit)?;
    Ok(Json(store.runs(&caller.tenant, &query.suite, from, limit.min(RUNS_PAGE_MAX)).await?))
}

/// The suites of which runs are kept, the one that was run last first.
#[utoipa::path(
    get,
    path = "/suites",
    operation_id = "list_suites",
    responses((status = 200, description = "All of them: their number is bounded", body = Page<SuiteSummary>))
)]
pub(super) async fn list(State(store): State<Store>, caller: Caller) -> Result<Json<Page<SuiteSummary>>, Error> {
    caller.require(Scope::Read)?;
    Ok(Json(Page { items: store.suites(&caller.tenant).await?, next_cursor: None }))
}
