//! `GET /comparisons/{id}/{file}`: `frames.csv`, `frames.json`, `report.html`, and `GET /comparisons/{id}/pictures/{frame}`, read from
//! disk as they are sent.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use flame_api::Problem;
use flame_api::quality::jobs::{JobState, ResultFile};
use flame_jobs::http::Error;
use flame_service_host::{Caller, Failure, Path, Scope};
use tokio_util::io::ReaderStream;
use uuid::Uuid;

use crate::results::Results;
use crate::store::{Kind, Store};

/// Bytes that are read at once.
const BLOCK_BYTES: usize = 64 * 1024;
/// A report is text and pictures of its own: whatever a film's name may hold, a browser runs and fetches nothing.
const NO_SCRIPTS: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// A file of a comparison that has succeeded.
#[utoipa::path(
    get,
    path = "/comparisons/{id}/{file}",
    operation_id = "comparison_file",
    params(
        ("id" = Uuid, Path, description = "The job"),
        ("file" = ResultFile, Path, description = "Scores of all frames as a table, the same as libvmaf writes it, or a report"),
    ),
    responses(
        (status = 200, description = "The file", body = String, content_type = "text/csv"),
        (status = 404, description = "There is no such job or file, or it is another tenant's", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "The job has not succeeded", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn file(
    State(store): State<Store>,
    State(results): State<Results>,
    caller: Caller,
    Path((id, name)): Path<(Uuid, String)>,
) -> Result<Response, Error> {
    caller.require(Scope::Read)?;
    let absent = || Failure::not_found(format_args!("file {name} of comparison {id}")).into();
    let file = ResultFile::ALL.into_iter().find(|file| file.name() == name).ok_or_else(absent)?;
    let seq = succeeded(&store, &caller, id).await?;
    sent(&results.path(seq, file), file.content_type()).await?.ok_or_else(absent)
}

/// A picture of a pair of frames: reference, distorted and their difference, side by side.
#[utoipa::path(
    get,
    path = "/comparisons/{id}/pictures/{frame}",
    operation_id = "comparison_picture",
    params(
        ("id" = Uuid, Path, description = "The job"),
        ("frame" = u64, Path, description = "Frame of the distorted film: one that the result names among the worst of its last metric"),
    ),
    responses(
        (status = 200, description = "The picture", body = String, content_type = "image/jpeg"),
        (status = 404, description = "There is no such job or picture, or it is another tenant's", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "The job has not succeeded", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn picture(
    State(store): State<Store>,
    State(results): State<Results>,
    caller: Caller,
    Path((id, frame)): Path<(Uuid, u64)>,
) -> Result<Response, Error> {
    caller.require(Scope::Read)?;
    let seq = succeeded(&store, &caller, id).await?;
    let absent = || Failure::not_found(format_args!("picture of frame {frame} of comparison {id}")).into();
    sent(&results.picture(seq, frame), "image/jpeg").await?.ok_or_else(absent)
}

/// The number of the caller's comparison, which has succeeded.
async fn succeeded(store: &Store, caller: &Caller, id: Uuid) -> Result<i64, Error> {
    let record = store.record(&caller.tenant, Kind::Comparison, id).await?;
    let record = record.ok_or_else(|| Failure::not_found(format_args!("comparison {id}")))?;
    if record.standing.state != JobState::Succeeded {
        let state = record.standing.state.word();
        return Err(
            Failure::conflict(format!("comparison {id} is {state}: only one that has succeeded has files")).into()
        );
    }
    Ok(record.seq)
}

/// The file; `None` where it is not there.
async fn sent(path: &std::path::Path, content_type: &'static str) -> Result<Option<Response>, Error> {
    let opened = match tokio::fs::File::open(path).await {
        Ok(opened) => opened,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::internal(&error).into()),
    };
    let length = opened.metadata().await.map_err(|error| Failure::internal(&error))?.len();
    let headers: [(HeaderName, HeaderValue); 4] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CONTENT_LENGTH, HeaderValue::from(length)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(NO_SCRIPTS)),
    ];
    let body = Body::from_stream(ReaderStream::with_capacity(opened, BLOCK_BYTES));
    Ok(Some((AppendHeaders(headers), body).into_response()))
}
