//! What comparisons and inspections have in common as resources: the five routes, which differ in their words only.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use flame_api::Page;
use flame_api::quality::jobs::{ComparisonJob, InspectionJob, MeasuringQuery};
use flame_jobs::http::{self, Error};
use flame_service_host::{Failure, Json};
use serde::Serialize;

use crate::store::{Created, Filter, Kind, Record, Store};
use crate::verdict::Asked;

/// Seconds after which a caller who found the queue full may try again.
const RETRY_AFTER_S: u32 = 30;

/// A kind of jobs.
pub(super) trait Measurement: Serialize + Sized {
    /// Which one.
    const KIND: Kind;
    /// The resource's name in paths.
    const PATH: &'static str;

    /// Of a record of this kind.
    fn of(record: Record) -> Option<Self>;

    /// As lists have it.
    fn without_result(self) -> Self;
}

impl Measurement for ComparisonJob {
    const KIND: Kind = Kind::Comparison;
    const PATH: &'static str = "comparisons";

    fn of(record: Record) -> Option<Self> {
        record.comparison()
    }

    fn without_result(self) -> Self {
        Self { result: None, ..self }
    }
}

impl Measurement for InspectionJob {
    const KIND: Kind = Kind::Inspection;
    const PATH: &'static str = "inspections";

    fn of(record: Record) -> Option<Self> {
        record.inspection()
    }

    fn without_result(self) -> Self {
        Self { result: None, ..self }
    }
}

/// Queues a job.
pub(super) async fn create<T: Measurement>(store: &Store, tenant: &str, asked: &Asked) -> Result<Response, Error> {
    let (status, record) = match store.create(tenant, asked).await? {
        Created::New(record) => (StatusCode::CREATED, record),
        Created::Known(record) => (StatusCode::OK, record),
        Created::Taken => {
            let reason = "the id is taken by another job; choose another id";
            return Err(Failure::conflict(reason).into());
        }
        Created::Full => {
            let reason =
                "as many of your jobs wait as may (`jobs.queued_max` of the service); wait until one has begun";
            return Err(Failure::too_many(reason, RETRY_AFTER_S).into());
        }
    };
    let id = record.standing.id;
    let job = T::of(record).ok_or_else(|| Failure::not_found(format_args!("{} {id}", T::KIND.word())))?;
    Ok(if status == StatusCode::CREATED { http::queued(T::PATH, id, job) } else { Json(job).into_response() })
}

/// A page of jobs, without what was measured.
pub(super) async fn list<T: Measurement>(
    store: &Store,
    tenant: &str,
    query: MeasuringQuery,
) -> Result<Json<Page<T>>, Error> {
    let (from, limit) = http::page(query.cursor.as_deref(), query.limit)?;
    let filter = Filter { state: query.state, asset_id: query.asset_id };
    let Page { items, next_cursor } = store.list(tenant, T::KIND, filter, from, limit).await?;
    let items = items.into_iter().filter_map(T::of).map(T::without_result).collect();
    Ok(Json(Page { items, next_cursor }))
}

/// The routes of one kind of jobs. Words are given in full, so that whoever looks for a path or an operation finds it.
macro_rules! routes_of {
    (
        new: $new:ident,
        job: $job:ident,
        asked: $asked:path,
        check: $check:path,
        create: $create:literal at $all:literal,
        list: $list:literal,
        show: $show:literal at $one:literal,
        watch: $watch:literal at $events:literal,
        cancel: $cancel:literal at $cancellation:literal,
    ) => {
        use std::convert::Infallible;
        use std::sync::Arc;

        use axum::extract::State;
        use axum::response::Response;
        use axum::response::sse::{Event, Sse};
        use flame_api::quality::jobs::{$job, $new, MeasuringQuery};
        use flame_api::{Page, Problem};
        use flame_jobs::http::{self, Error};
        use flame_service_host::{Caller, FreeSpace, Json, Path, Query, Scope};
        use futures_util::Stream;
        use uuid::Uuid;

        use super::jobs;
        use crate::limits::Bounds;
        use crate::store::Store;

        /// Queues a job. Repeating it with the same body changes nothing and answers 200.
        #[utoipa::path(
            post,
            path = $all,
            operation_id = $create,
            request_body = $new,
            responses(
                (status = 201, description = "Queued", body = $job),
                (status = 200, description = "Was queued before, just so: the job as it is now", body = $job),
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
            State(bounds): State<Arc<Bounds>>,
            caller: Caller,
            _: FreeSpace,
            Json(new): Json<$new>,
        ) -> Result<Response, Error> {
            caller.require(Scope::Write)?;
            $check(&new, &bounds)?;
            jobs::create::<$job>(&store, &caller.tenant, &$asked(new)).await
        }

        /// A page of the caller's jobs, newest first, without their results.
        #[utoipa::path(
            get,
            path = $all,
            operation_id = $list,
            params(MeasuringQuery),
            responses(
                (status = 200, description = "A page", body = Page<$job>),
                (status = 400, description = "A parameter is malformed", body = Problem,
                    content_type = "application/problem+json"),
            )
        )]
        pub(super) async fn list(
            State(store): State<Store>,
            caller: Caller,
            Query(query): Query<MeasuringQuery>,
        ) -> Result<Json<Page<$job>>, Error> {
            caller.require(Scope::Read)?;
            jobs::list(&store, &caller.tenant, query).await
        }

        /// A job, with its result once there is one.
        #[utoipa::path(
            get,
            path = $one,
            operation_id = $show,
            params(("id" = Uuid, Path, description = "The job")),
            responses(
                (status = 200, description = "The job", body = $job),
                (status = 404, description = "There is none, or it is another tenant's", body = Problem,
                    content_type = "application/problem+json"),
            )
        )]
        pub(super) async fn show(
            State(store): State<Store>,
            caller: Caller,
            Path(id): Path<Uuid>,
        ) -> Result<Json<$job>, Error> {
            caller.require(Scope::Read)?;
            http::show(&store, &caller.tenant, id).await.map(Json)
        }

        /// Watches a job until it has ended.
        #[utoipa::path(
            get,
            path = $events,
            operation_id = $watch,
            params(("id" = Uuid, Path, description = "The job")),
            responses(
                (status = 200, description = "Events named as the kind of job, each the whole job; ends with it", body = $job,
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
            http::watch::<$job, Store>(store, caller.tenant, id).await
        }

        /// Cancels a job, and waits a moment for its end. One that has ended stays as it is.
        #[utoipa::path(
            post,
            path = $cancellation,
            operation_id = $cancel,
            params(("id" = Uuid, Path, description = "The job")),
            responses(
                (status = 200, description = "The job as it is now; while it lets go, `running`", body = $job),
                (status = 404, description = "There is none, or it is another tenant's", body = Problem,
                    content_type = "application/problem+json"),
            )
        )]
        pub(super) async fn cancel(
            State(store): State<Store>,
            caller: Caller,
            Path(id): Path<Uuid>,
        ) -> Result<Json<$job>, Error> {
            caller.require(Scope::Write)?;
            http::cancel(&store, &caller.tenant, id).await.map(Json)
        }
    };
}
pub(super) use routes_of;
