//! Scenario `ingest`: what happens to uploads when things go wrong. Nothing acknowledged is lost, nothing damaged is kept.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flame_api::Client;
use flame_api::ingest::{NewPull, Upload, UploadState};
use reqwest::{Method, StatusCode};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use uuid::Uuid;

use super::files;
use super::stage::Stage;
use super::tour::{Bound, Broken, Tour, Verified};
use crate::ingest::registered;
use crate::output;
use crate::upload;

/// Bytes of the padding that makes the clip long enough to be interrupted.
const PADDING_BYTES: usize = 64 << 20;

pub async fn perform(tour: &mut Tour, stage: &mut Stage, clip: &Path) -> Result<(), Broken> {
    let client = tour.step("start", start(stage)).await?;
    let long = tour.step("long file", lengthen(clip, stage.path("long.mp4"))).await?;

    let (id, length) = tour.step("cut", cut(&client, &long)).await?;
    tour.step("wrong offset", wrong_offset(&client, id)).await?;
    tour.step("wrong checksum", wrong_checksum(&client, id, &long)).await?;
    let acknowledged = tour.step("before kill", stored(&client, id)).await?;
    let client = tour.step("kill -9", killed(stage)).await?;
    let kept = tour.step("after restart", stored(&client, id)).await?;
    #[allow(clippy::cast_precision_loss, reason = "a count of bytes is printed")]
    let lost = acknowledged.saturating_sub(kept) as f64;
    tour.figure("acknowledged_bytes_lost", lost, "B", Some(Bound::AtMost(0.0))).await?;
    tour.step("resume", resumed(&client, id, &long, length)).await?;

    let first = tour.step("plain PUT", put(&client, clip)).await?;
    tour.step("duplicate", again(&client, clip, first)).await?;
    tour.step("pull", pull(&client, clip)).await?;
    tour.step("pull 404", pull_missing(&client)).await?;
    tour.step("not media", not_media(&client, stage)).await?;
    tour.step("truncated", truncated(&client, stage, clip)).await?;
    Ok(())
}

async fn start(stage: &mut Stage) -> anyhow::Result<Verified<Client>> {
    let (client, took) = stage.up().await?;
    let detail = format!("ready at {} after {:.2} s", client.router(), took.as_secs_f64());
    Ok(Verified(client, detail))
}

/// The clip with a `free` box behind it (ISO/IEC 14496-12 section 8.1.2): the same media, but a longer way.
async fn lengthen(clip: &Path, long: PathBuf) -> anyhow::Result<Verified<PathBuf>> {
    std::fs::copy(clip, &long).with_context(|| format!("copy {}", clip.display()))?;
    let mut file = std::fs::File::options().append(true).open(&long)?;
    let size = u32::try_from(PADDING_BYTES + 8).context("the padding fits a box")?;
    file.write_all(&size.to_be_bytes())?;
    file.write_all(b"free")?;
    // Not zeros: a store that stores holes would not be tested.
    let block: Vec<u8> = (0_u32..4096).flat_map(|word| word.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    for _ in 0..PADDING_BYTES / block.len() {
        file.write_all(&block)?;
    }
    let length = file.metadata()?.len();
    Ok(Verified(
        long,
        format!("the clip and {} of padding: {}", output::size(PADDING_BYTES as u64), output::size(length)),
    ))
}

/// Sends a third, then breaks the connection.
async fn cut(client: &Client, long: &Path) -> anyhow::Result<Verified<(Uuid, u64)>> {
    let wanted = upload::Upload { path: long, title: Some("Cut, killed and resumed"), chain: "none" };
    let (id, length) = upload::create(client, &wanted).await?;
    let mut part = vec![0; usize::try_from(length / 3)?];
    tokio::fs::File::open(long).await?.read_exact(&mut part).await?;
    // The promised length is the whole file's; the body ends early, as when a laptop is closed.
    let body = futures_util::stream::iter([Ok(part), Err(std::io::Error::other("the connection is cut here"))]);
    let sent = client
        .request(Method::PATCH, "ingest", &format!("uploads/{id}"))
        .header("tus-resumable", "1.0.0")
        .header("upload-offset", 0)
        .header("content-type", "application/offset+octet-stream")
        .header("content-length", length)
        .body(reqwest::Body::wrap_stream(body))
        .send()
        .await;
    ensure!(sent.is_err(), "the cut connection was answered as if it were whole");
    Ok(Verified(
        (id, length),
        format!("the connection broke after {} of {}", output::size(length / 3), output::size(length)),
    ))
}

async fn stored(client: &Client, id: Uuid) -> anyhow::Result<Verified<u64>> {
    let offset = upload::offset(client, id).await?;
    ensure!(offset > 0, "nothing of the first connection was kept");
    Ok(Verified(offset, format!("{} are stored", output::size(offset))))
}

async fn wrong_offset(client: &Client, id: Uuid) -> anyhow::Result<Verified<()>> {
    let before = upload::offset(client, id).await?;
    let status = patch(client, id, before + 1, None, vec![1, 2, 3]).await?;
    ensure!(status == StatusCode::CONFLICT, "bytes at a wrong offset were answered with {status}");
    ensure!(upload::offset(client, id).await? == before, "the offset moved");
    Ok(Verified((), "409, and nothing changed".to_owned()))
}

async fn wrong_checksum(client: &Client, id: Uuid, long: &Path) -> anyhow::Result<Verified<()>> {
    let before = upload::offset(client, id).await?;
    let mut bytes = vec![0; 4096];
    let mut file = tokio::fs::File::open(long).await?;
    file.seek(std::io::SeekFrom::Start(before)).await?;
    file.read_exact(&mut bytes).await?;
    let digest = STANDARD.encode(Sha256::digest(&bytes));
    bytes[7] ^= 1;
    let status = patch(client, id, before, Some(format!("sha256 {digest}")), bytes).await?;
    ensure!(status.as_u16() == 460, "damaged bytes were answered with {status}");
    ensure!(upload::offset(client, id).await? == before, "damaged bytes were kept");
    Ok(Verified((), "460: one flipped bit is noticed, and nothing is kept".to_owned()))
}

async fn killed(stage: &mut Stage) -> anyhow::Result<Verified<Client>> {
    stage.kill().await?;
    let (client, took) = stage.up().await?;
    Ok(Verified(client, format!("everything was killed and is ready again after {:.2} s", took.as_secs_f64())))
}

async fn resumed(client: &Client, id: Uuid, long: &Path, length: u64) -> anyhow::Result<Verified<()>> {
    upload::resume(client, id, long, length, &mut |_, _| {}).await?;
    let upload = registered(client, id).await?;
    ensure!(upload.state == UploadState::Done, "{}", upload.error.unwrap_or_default());
    let (theirs, ours) = (upload.sha256.unwrap_or_default(), files::sha256(long).await?);
    ensure!(theirs == ours, "SHA-256 {theirs} arrived, {ours} was sent");
    Ok(Verified((), format!("the rest was sent; SHA-256 {}… equals the file's", &ours[..12])))
}

async fn put(client: &Client, clip: &Path) -> anyhow::Result<Verified<Uuid>> {
    let upload = put_as(client, clip, "put.mp4").await?;
    Ok(Verified(upload.id, "one request, its Content-Digest (RFC 9530) verified".to_owned()))
}

/// The same bytes under another name.
async fn again(client: &Client, clip: &Path, first: Uuid) -> anyhow::Result<Verified<()>> {
    let upload = put_as(client, clip, "again.mp4").await?;
    ensure!(upload.duplicate_of == Some(first), "it is said to be a duplicate of {:?}", upload.duplicate_of);
    Ok(Verified((), format!("the same bytes are known as those of {first}, and take no room")))
}

async fn put_as(client: &Client, clip: &Path, name: &str) -> anyhow::Result<Upload> {
    let bytes = tokio::fs::read(clip).await?;
    let digest = STANDARD.encode(Sha256::digest(&bytes));
    let answer = client
        .request(Method::PUT, "ingest", &format!("files/{name}"))
        .query(&[("chain", "none")])
        .header("content-digest", format!("sha-256=:{digest}:"))
        .body(bytes)
        .send()
        .await?;
    let upload: Upload = flame_api::client::read_json(Method::PUT, answer).await?;
    let upload = registered(client, upload.id).await?;
    ensure!(upload.state == UploadState::Done, "{}", upload.error.unwrap_or_default());
    Ok(upload)
}

async fn pull(client: &Client, clip: &Path) -> anyhow::Result<Verified<()>> {
    let (address, _server) = files::serve(clip).await?;
    let wanted = NewPull { url: format!("http://{address}/pulled.mp4"), title: None, chain: Some("none".to_owned()) };
    let upload = registered(client, client.pull(&wanted).await?.id).await?;
    ensure!(upload.state == UploadState::Done, "{}", upload.error.unwrap_or_default());
    ensure!(upload.sha256 == Some(files::sha256(clip).await?), "other bytes arrived");
    Ok(Verified((), format!("{} was fetched, byte for byte", wanted.url)))
}

async fn pull_missing(client: &Client) -> anyhow::Result<Verified<()>> {
    let url = client.url("streaming", "00000000-0000-0000-0000-000000000000/index.m3u8");
    let wanted = NewPull { url: url.to_string(), title: None, chain: None };
    let upload = registered(client, client.pull(&wanted).await?.id).await?;
    refused(client, upload.id, "404").await
}

async fn not_media(client: &Client, stage: &Stage) -> anyhow::Result<Verified<()>> {
    let path = stage.path("notes.mp4");
    std::fs::write(&path, "this is not a film\n".repeat(1000))?;
    let id = upload::send(client, &upload::Upload { path: &path, title: None, chain: "ladder" }, |_, _| {}).await?;
    refused(client, id, "").await
}

async fn truncated(client: &Client, stage: &Stage, clip: &Path) -> anyhow::Result<Verified<()>> {
    let path = stage.path("truncated.mp4");
    let bytes = std::fs::read(clip)?;
    std::fs::write(&path, &bytes[..bytes.len() / 2])?;
    let id = upload::send(client, &upload::Upload { path: &path, title: None, chain: "ladder" }, |_, _| {}).await?;
    refused(client, id, "").await
}

/// An upload has failed with a reason that holds `wanted`, and the catalogue knows nothing of it.
async fn refused(client: &Client, id: Uuid, wanted: &str) -> anyhow::Result<Verified<()>> {
    let upload = registered(client, id).await?;
    ensure!(upload.state == UploadState::Failed, "it was taken");
    let reason = upload.error.context("it was refused without a reason")?;
    ensure!(reason.contains(wanted), "the reason does not say {wanted}: {reason}");
    ensure!(client.asset(id).await?.is_none(), "it is in the catalogue");
    Ok(Verified((), format!("refused: {reason}")))
}

async fn patch(
    client: &Client,
    id: Uuid,
    offset: u64,
    checksum: Option<String>,
    body: Vec<u8>,
) -> anyhow::Result<StatusCode> {
    let mut request = client
        .request(Method::PATCH, "ingest", &format!("uploads/{id}"))
        .header("tus-resumable", "1.0.0")
        .header("upload-offset", offset)
        .header("content-type", "application/offset+octet-stream");
    if let Some(checksum) = checksum {
        request = request.header("upload-checksum", checksum);
    }
    Ok(request.body(body).send().await?.status())
}
