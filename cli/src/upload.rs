//! A tus 1.0 upload: resumable, so a broken connection costs what was not yet stored and nothing else.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flame_api::{Client, ClientError};
use futures_util::TryStreamExt;
use reqwest::{Method, Response, StatusCode, header};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;
use uuid::Uuid;

/// Times in a row that a transfer may break without any progress.
const TRIES_WITHOUT_PROGRESS: u32 = 8;
/// How often progress is told while a request is on its way.
const LOOK: Duration = Duration::from_millis(100);
/// Bytes read from the file at once.
const BLOCK_BYTES: usize = 256 * 1024;

/// What is uploaded, and what is said about it.
#[derive(Debug, Clone)]
pub struct Upload<'a> {
    /// The file.
    pub path: &'a Path,
    /// Its title; the file's name otherwise.
    pub title: Option<&'a str>,
    /// The chain to run on arrival.
    pub chain: &'a str,
}

/// Uploads a file; of one that is refused nothing is kept. `progress` hears the bytes handed over, of how many. Returns the upload's id.
pub async fn send(
    client: &Client,
    upload: &Upload<'_>,
    mut progress: impl FnMut(u64, u64) + Send,
) -> anyhow::Result<Uuid> {
    let (id, length) = create(client, upload).await?;
    fill(client, id, upload.path, length, &mut progress).await?;
    Ok(id)
}

/// Sends all of an announced upload; one that is refused is ended.
pub async fn fill(
    client: &Client,
    id: Uuid,
    path: &Path,
    length: u64,
    progress: &mut (impl FnMut(u64, u64) + Send),
) -> anyhow::Result<()> {
    let sent = resume(client, id, path, length, progress).await;
    if sent.as_ref().is_err_and(|error| error.downcast_ref::<Refused>().is_some()) {
        // Nobody will send the rest: what is stored would only take room (the disk may be full).
        let _ = end(client, id).await;
    }
    sent
}

/// Announces an upload. Returns its id and its length in bytes.
pub async fn create(client: &Client, upload: &Upload<'_>) -> anyhow::Result<(Uuid, u64)> {
    let metadata = tokio::fs::metadata(upload.path).await.with_context(|| format!("open {}", upload.path.display()))?;
    ensure!(metadata.is_file(), "{} is not a file", upload.path.display());
    let name = upload.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut pairs = vec![("filename", name.as_str()), ("chain", upload.chain)];
    pairs.extend(upload.title.map(|title| ("title", title)));
    let pairs: Vec<_> = pairs.iter().map(|(key, value)| format!("{key} {}", STANDARD.encode(value))).collect();
    let answer = request(client, Method::POST, "uploads")
        .header("upload-length", metadata.len())
        .header("upload-metadata", pairs.join(","))
        .timeout(Duration::from_secs(30))
        .send()
        .await
        .map_err(|source| ClientError::Unreachable {
            method: Method::POST,
            url: client.url("ingest", "uploads").to_string(),
            source,
        })?;
    let answer = expect(answer, StatusCode::CREATED).await?;
    let location = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
    let id = location.and_then(|location| location.rsplit('/').next()).and_then(|id| id.parse().ok());
    Ok((id.context("ingest named no upload in its answer")?, metadata.len()))
}

/// Ends an upload that is not complete: nothing of it is kept.
pub async fn end(client: &Client, id: Uuid) -> anyhow::Result<()> {
    let request = request(client, Method::DELETE, &format!("uploads/{id}")).timeout(Duration::from_secs(5));
    expect(request.send().await?, StatusCode::NO_CONTENT).await?;
    Ok(())
}

/// Sends what is missing of an announced upload, over as many connections as it takes.
pub async fn resume(
    client: &Client,
    id: Uuid,
    path: &Path,
    length: u64,
    progress: &mut (impl FnMut(u64, u64) + Send),
) -> anyhow::Result<()> {
    let mut stored = 0;
    let mut tries = 0;
    loop {
        let last = match offset(client, id).await {
            Ok(now) if now == length => {
                progress(length, length);
                return Ok(());
            }
            Ok(now) => {
                // Progress: the patience begins anew.
                if now > stored {
                    (stored, tries) = (now, 0);
                }
                progress(now, length);
                match patch(client, id, path, now, length, progress).await {
                    Ok(()) => continue,
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        tries += 1;
        if last.downcast_ref::<Refused>().is_some() {
            return Err(last).with_context(|| format!("upload {}", path.display()));
        }
        if tries >= TRIES_WITHOUT_PROGRESS {
            return Err(last)
                .with_context(|| format!("upload {} ({stored} of {length} bytes are stored)", path.display()));
        }
        tokio::time::sleep(Duration::from_millis(100 << tries.min(6))).await;
    }
}

/// Bytes of the upload that are stored.
pub async fn offset(client: &Client, id: Uuid) -> anyhow::Result<u64> {
    let answer =
        request(client, Method::HEAD, &format!("uploads/{id}")).timeout(Duration::from_secs(30)).send().await?;
    let answer = expect(answer, StatusCode::OK).await?;
    let offset = answer.headers().get("upload-offset").and_then(|value| value.to_str().ok()?.parse().ok());
    offset.context("ingest named no offset in its answer")
}

async fn patch(
    client: &Client,
    id: Uuid,
    path: &Path,
    offset: u64,
    length: u64,
    progress: &mut (impl FnMut(u64, u64) + Send),
) -> anyhow::Result<()> {
    let mut file = File::open(path).await.with_context(|| format!("open {}", path.display()))?;
    file.seek(std::io::SeekFrom::Start(offset)).await?;
    let taken = Arc::new(AtomicU64::new(offset));
    let counter = Arc::clone(&taken);
    let body = ReaderStream::with_capacity(file.take(length - offset), BLOCK_BYTES).inspect_ok(move |block| {
        counter.fetch_add(block.len() as u64, Ordering::Relaxed);
    });
    let answer = request(client, Method::PATCH, &format!("uploads/{id}"))
        .header("upload-offset", offset)
        .header(header::CONTENT_TYPE, "application/offset+octet-stream")
        .header(header::CONTENT_LENGTH, length - offset)
        .body(reqwest::Body::wrap_stream(body))
        .send();
    tokio::pin!(answer);
    let mut looks = tokio::time::interval(LOOK);
    let answer = loop {
        tokio::select! {
            answer = &mut answer => break answer?,
            _ = looks.tick() => progress(taken.load(Ordering::Relaxed), length),
        }
    };
    expect(answer, StatusCode::NO_CONTENT).await?;
    Ok(())
}

fn request(client: &Client, method: Method, path: &str) -> reqwest::RequestBuilder {
    client.request(method, "ingest", path).header("tus-resumable", "1.0.0")
}

/// The service refused, and will refuse again.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Refused {
    /// The status that it answered with.
    pub status: StatusCode,
    reason: String,
}

async fn expect(answer: Response, wanted: StatusCode) -> anyhow::Result<Response> {
    let status = answer.status();
    if status == wanted {
        return Ok(answer);
    }
    let text = answer.text().await.unwrap_or_default();
    let reason = match serde_json::from_str::<flame_api::Problem>(&text) {
        Ok(problem) => problem.to_string(),
        Err(_) => format!("ingest answered {status}"),
    };
    // 409 and 423: another connection of this upload was still open; 5xx: later. Anything else stays as it is.
    let passing = status.is_server_error() && status != StatusCode::INSUFFICIENT_STORAGE
        || matches!(status, StatusCode::CONFLICT | StatusCode::LOCKED | StatusCode::TOO_MANY_REQUESTS);
    if passing { bail!(reason) } else { bail!(Refused { status, reason }) }
}
