//! What comparisons and inspections have in common as resources.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use flame_api::Page;
use flame_api::page::{LIMIT_DEFAULT, LIMIT_MAX};
use flame_api::quality::jobs::{ComparisonJob, InspectionJob, Measuring, MeasuringQuery};
use flame_service_host::{Failure, Json};
use serde::Serialize;
use tokio::time::timeout;
use uuid::Uuid;

use super::error::Error;
use crate::changes::News;
use crate::cursor::Position;
use crate::store::{Created, Filter, Kind, Record, Store, StoreResult};
use crate::verdict::Asked;

/// Time that a cancellation waits for the end of the job, so that its caller mostly sees it.
const CANCEL_PATIENCE: Duration = Duration::from_secs(2);
/// Seconds after which a caller who found the queue full may try again.
const RETRY_AFTER_S: u32 = 30;

/// A job as its callers see it.
pub(super) trait Shown: Serialize + PartialEq + Send + Sync + Sized + 'static {
    /// Its kind.
    const KIND: Kind;
    /// The resource's name in paths.
    const PATH: &'static str;

    /// Of a record of this kind.
    fn of(record: Record) -> Option<Self>;

    /// How far it is.
    fn standing(&self) -> &Measuring;

    /// As lists have it.
    fn without_result(self) -> Self;
}

impl Shown for ComparisonJob {
    const KIND: Kind = Kind::Comparison;
    const PATH: &'static str = "comparisons";

    fn of(record: Record) -> Option<Self> {
        record.comparison()
    }

    fn standing(&self) -> &Measuring {
        &self.standing
    }

    fn without_result(self) -> Self {
        Self { result: None, ..self }
    }
}

impl Shown for InspectionJob {
    const KIND: Kind = Kind::Inspection;
    const PATH: &'static str = "inspections";

    fn of(record: Record) -> Option<Self> {
        record.inspection()
    }

    fn standing(&self) -> &Measuring {
        &self.standing
    }

    fn without_result(self) -> Self {
        Self { result: None, ..self }
    }
}

/// Queues a job.
pub(super) async fn create<T: Shown>(store: &Store, tenant: &str, asked: &Asked) -> Result<Response, Error> {
    let (status, record) = match store.create(tenant, asked).await? {
        Created::New(record) => (StatusCode::CREATED, record),
        Created::Known(record) => (StatusCode::OK, record),
        Created::Taken => {
            let reason = "the id is taken by another job; choose another id";
            return Err(Failure::conflict(reason).into());
        }
        Created::Full => {
            let reason = "as many jobs wait as may (`jobs.queued_max` of the service)";
            return Err(Failure::unavailable(reason, RETRY_AFTER_S).into());
        }
    };
    let id = record.standing.id;
    let job = T::of(record).ok_or_else(|| missing::<T>(id))?;
    if status == StatusCode::OK {
        return Ok(Json(job).into_response());
    }
    let location = HeaderValue::from_str(&format!("{}/{id}", T::PATH)).expect("a UUID is visible ASCII");
    Ok((status, AppendHeaders([(header::LOCATION, location)]), Json(job)).into_response())
}

/// A page of jobs, without what was measured.
pub(super) async fn list<T: Shown>(store: &Store, tenant: &str, query: MeasuringQuery) -> Result<Json<Page<T>>, Error> {
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
    let Page { items, next_cursor } = store.list(tenant, T::KIND, filter, from, limit).await?;
    let items = items.into_iter().filter_map(T::of).map(T::without_result).collect();
    Ok(Json(Page { items, next_cursor }))
}

/// A job.
pub(super) async fn show<T: Shown>(store: &Store, tenant: &str, id: Uuid) -> Result<T, Error> {
    Ok(read(store, tenant, id).await?.ok_or_else(|| missing::<T>(id))?)
}

/// Cancels a job, and waits a moment for its end.
pub(super) async fn cancel<T: Shown>(store: &Store, tenant: &str, id: Uuid) -> Result<T, Error> {
    let record = store.cancel(tenant, T::KIND, id).await?.ok_or_else(|| missing::<T>(id))?;
    let ended = timeout(CANCEL_PATIENCE, ended::<T>(store, tenant, id, record.seq)).await;
    match ended {
        Ok(job) => Ok(job?.ok_or_else(|| missing::<T>(id))?),
        Err(_elapsed) => show(store, tenant, id).await,
    }
}

/// The job, once it has ended (or the service stops).
async fn ended<T: Shown>(store: &Store, tenant: &str, id: Uuid, seq: i64) -> StoreResult<Option<T>> {
    let mut watcher = store.changes().follow(seq);
    loop {
        let job = read::<T>(store, tenant, id).await?;
        if job.as_ref().is_none_or(|job| job.standing().state.is_final()) || watcher.news().await == News::Closed {
            return Ok(job);
        }
    }
}

pub(super) async fn read<T: Shown>(store: &Store, tenant: &str, id: Uuid) -> StoreResult<Option<T>> {
    Ok(store.record(tenant, T::KIND, id).await?.and_then(T::of))
}

pub(super) fn missing<T: Shown>(id: Uuid) -> Failure {
    Failure::not_found(format_args!("{} {id}", T::KIND.word()))
}
