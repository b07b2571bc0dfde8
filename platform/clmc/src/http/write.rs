//! `POST /write` (InfluxDB 1.x), `POST /api/v2/write` (InfluxDB 2.x): points in line protocol.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flame_api::Problem;
use flame_service_host::access::Routine;
use flame_service_host::{Caller, Failure, FreeSpace, Query, Scope};
use flame_telemetry::line::Precision;
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::Error;
use crate::intake::{self, Intake};
use crate::{Clmc, now_ns};

/// Query of `/write`. Clients of InfluxDB send more (`u`, `p`, `consistency`), which says nothing here.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct WriteQuery {
    /// The database
    db: Option<String>,
    /// Unit of the times: `ns` (default), `u`, `ms`, `s`, `m`, `h`
    precision: Option<String>,
    /// The retention policy: there is one
    #[allow(dead_code, reason = "says what may be sent")]
    rp: Option<String>,
}

/// Query of `/api/v2/write`.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct WriteV2Query {
    /// The database, also as `database/autogen`
    bucket: Option<String>,
    /// Unit of the times: `ns` (default), `us`, `ms`, `s`
    precision: Option<String>,
    /// The organisation: the tenant is the token's, whatever is said here
    #[allow(dead_code, reason = "says what may be sent")]
    org: Option<String>,
}

/// Writes points in line protocol. What was answered 204 survives a crash; of a body with wrong lines the right ones are
/// written, and the answer names the others.
#[utoipa::path(
    post,
    path = "/write",
    params(WriteQuery, ("Content-Encoding" = Option<String>, Header, description = "`gzip`, or nothing")),
    request_body(content = String, content_type = "text/plain", description = "Lines: measurement,tag=value field=1.5 time"),
    responses(
        (status = 204, description = "All points are written"),
        (status = 400, description = "Lines or points were not taken, the others were: `lines` says which, and why", body = Problem,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such database, and writes do not make one", body = Problem,
            content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too many writes at once", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "The disk is nearly full", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn write(
    State(clmc): State<Clmc>,
    caller: Caller,
    _: FreeSpace,
    Query(query): Query<WriteQuery>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Error> {
    let WriteQuery { db, precision, .. } = query;
    let database = db.filter(|db| !db.is_empty());
    let database = database.ok_or_else(|| Failure::bad_request("database is required: write?db=NAME"))?;
    clmc.take(&caller, database, precision.as_deref(), &headers, body).await
}

/// The same as InfluxDB 2.x has it: the bucket is the database.
#[utoipa::path(
    post,
    path = "/api/v2/write",
    operation_id = "write_v2",
    params(WriteV2Query, ("Content-Encoding" = Option<String>, Header, description = "`gzip`, or nothing")),
    request_body(content = String, content_type = "text/plain", description = "Lines: measurement,tag=value field=1.5 time"),
    responses(
        (status = 204, description = "All points are written"),
        (status = 400, description = "Lines or points were not taken, the others were: `lines` says which, and why", body = Problem,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such database, and writes do not make one", body = Problem,
            content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too many writes at once", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "The disk is nearly full", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn write_v2(
    State(clmc): State<Clmc>,
    caller: Caller,
    _: FreeSpace,
    Query(query): Query<WriteV2Query>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Error> {
    let WriteV2Query { bucket, precision, .. } = query;
    let bucket = bucket.unwrap_or_default();
    let database = bucket.split_once('/').map_or(bucket.as_str(), |(database, _)| database).to_owned();
    if database.is_empty() {
        return Err(Failure::bad_request("bucket is required: write?bucket=DATABASE").into());
    }
    clmc.take(&caller, database, precision.as_deref(), &headers, body).await
}

// === impl Clmc ===

impl Clmc {
    async fn take(
        &self,
        caller: &Caller,
        database: String,
        precision: Option<&str>,
        headers: &HeaderMap,
        body: Result<Bytes, BytesRejection>,
    ) -> Result<Response, Error> {
        // A part that is known by its certificate reports for itself.
        if !caller.is_service() {
            caller.require(Scope::Write)?;
        }
        let precision = precision.filter(|word| !word.is_empty()).unwrap_or("ns");
        let precision = Precision::of(precision).ok_or_else(|| {
            Failure::bad_request(format!("invalid precision {precision:?} (use n, u, ms, s, m or h)"))
        })?;
        let is_packed = match headers.get(header::CONTENT_ENCODING).map(|value| value.as_bytes()) {
            None | Some(b"" | b"identity") => false,
            Some(b"gzip") => true,
            Some(_) => return Err(Failure::bad_request("send the body plain or with Content-Encoding: gzip").into()),
        };
        let body = body.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Error::Body(intake::BodyError::Long(self.write.body_max.0)),
            _ => Failure::bad_request(rejection.body_text()).into(),
        })?;
        let slot = tokio::time::timeout(self.write.wait.0, std::sync::Arc::clone(&self.writing).acquire_owned()).await;
        let slot = slot.map_err(|_| Error::busy("writes"))?.map_err(|_| Error::busy("writes"))?;
        let (clmc, tenant) = (self.clone(), caller.tenant.clone());
        let work = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            clmc.write_body(&tenant, &database, &body, is_packed, precision)
        });
        work.await.map_err(|error| Failure::internal(&error))??;
        // Every part reports every few seconds: no line of the log each time.
        let mut answer = StatusCode::NO_CONTENT.into_response();
        answer.extensions_mut().insert(Routine);
        Ok(answer)
    }

    fn write_body(
        &self,
        tenant: &str,
        database: &str,
        body: &[u8],
        is_packed: bool,
        precision: Precision,
    ) -> Result<(), Error> {
        let unpacked = if is_packed { Some(intake::unpacked(body, self.write.body_max.0)?) } else { None };
        let now_ns = now_ns();
        let Intake { points, numbers, mut findings } =
            intake::read(unpacked.as_deref().unwrap_or(body), precision, now_ns)?;
        let written = self.keeper.write(tenant, database, &points, now_ns)?;
        let dropped = written.rejected.len();
        for (at, rejection) in written.rejected {
            findings.add(numbers[at], || rejection.to_string());
        }
        self.accepted.inc_by(written.accepted as u64);
        self.rejected.inc_by(findings.count as u64);
        if findings.is_empty() { Ok(()) } else { Err(Error::Partial { dropped, findings }) }
    }
}
