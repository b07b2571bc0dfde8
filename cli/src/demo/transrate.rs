//! Scenario `transrate`: a site has one rendition of a film; viewers ask for smaller ones, and get them a segment at a time.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use flame_api::Client;
use flame_api::metadata::AssetState;
use flame_api::transcode::JobState;
use reqwest::{Method, header};
use uuid::Uuid;

use super::player;
use super::stage::Stage;
use super::tour::{Bound, Broken, Tour, Verified};
use super::vod;
use crate::chain::Wanted;
use crate::{job, output, upload};

/// One rendition, as large as a site might keep where nobody has asked for others yet.
const ONE_RENDITION: &str = "\
chain: one-rendition
stages:
  source: { type: decode }
  whole: { type: deinterlace, input: source }
  upright: { type: rotate, input: whole }
  one: { type: scale, input: upright, sizes: 720 }
  video: { type: encode-video, input: one, preset: superfast }
  audio: { type: encode-audio, input: source, sounds: first }
  version: { type: package, input: [video, audio], gop: 2s, segment: 4s }
";
/// The name under which what is derived is asked for.
const SERVICE: &str = "transcode";
/// A segment has to be there before the one before it, of four seconds, ends; also on a machine that does other things.
const SEGMENT_MAX_S: f64 = 4.0;

/// What a rendition is asked for by.
struct Derived {
    /// Folder of the track: `derived/ASSET/VERSION/v720.360`.
    folder: String,
    /// Its segments.
    segments: Vec<String>,
}

pub async fn perform(tour: &mut Tour, stage: &mut Stage, clip: &Path) -> Result<(), Broken> {
    let quiet = tour.quiet();
    let (client, _) = tour.step("start", vod::start(stage)).await?;
    let id = tour.step("one rendition", stored(&client, clip, quiet)).await?;
    tour.step("lacking", lacking(&client, id)).await?;
    let derived = tour.step("offered", offered(&client, id)).await?;
    let first_s = tour.step("on request", on_request(&client, &derived)).await?;
    tour.figure("slowest_segment", first_s, "s", Some(Bound::AtMost(SEGMENT_MAX_S))).await?;
    let again_ms = tour.step("again", again(&client, &derived)).await?;
    tour.figure("segment_again", again_ms, "ms", Some(Bound::AtMost(200.0))).await?;
    tour.step("own identity", identity(&client, &derived)).await?;
    tour.step("play", played(&client, &derived)).await?;
    let url = client.url(SERVICE, &format!("derived/{id}/index.m3u8"));
    tour.offer(format!("  ffplay {url}"));
    Ok(())
}

async fn stored(client: &Client, clip: &Path, quiet: bool) -> anyhow::Result<Verified<Uuid>> {
    let wanted = upload::Upload { path: clip, title: None, chain: "none" };
    let id = upload::send(client, &wanted, |_, _| {}).await?;
    let upload = crate::ingest::registered(client, id).await?;
    ensure!(upload.error.is_none(), upload.error.unwrap_or_default());
    let wanted = Wanted {
        name: "one-rendition".to_owned(),
        document: Some(ONE_RENDITION.to_owned()),
        parameters: Default::default(),
    };
    let queued = job::queue(client, id, wanted).await.map_err(|exit| anyhow::anyhow!(exit.message()))?;
    let job = job::follow(client, queued.id, "one rendition", quiet).await?;
    ensure!(job.state == JobState::Succeeded, "{}: {}", job.state.word(), job.error.unwrap_or_default());
    let asset = client.asset(id).await?.context("the asset is gone")?;
    ensure!(asset.state == AssetState::Ready, "the job succeeded, but the asset does not play");
    let tracks = asset.version.map(|version| version.tracks).unwrap_or_default();
    let names: Vec<_> = tracks.iter().map(|track| track.name.as_str()).collect();
    Ok(Verified(id, format!("asset {id} has {}", names.join(", "))))
}

/// The origin has nothing smaller.
async fn lacking(client: &Client, id: Uuid) -> anyhow::Result<Verified<()>> {
    let text = text(client, "streaming", &format!("{id}/index.m3u8")).await?;
    let variants = text.lines().filter(|line| line.starts_with("#EXT-X-STREAM-INF")).count();
    ensure!(variants == 1, "streaming has {variants} renditions");
    Ok(Verified((), "streaming has one rendition".to_owned()))
}

async fn offered(client: &Client, id: Uuid) -> anyhow::Result<Verified<Derived>> {
    let text = text(client, SERVICE, &format!("derived/{id}/index.m3u8")).await?;
    let derived: Vec<&str> = text.lines().filter(|line| !line.starts_with('#') && line.contains('.')).collect();
    let derived: Vec<&str> =
        derived.into_iter().filter(|uri| uri.split('/').nth(1).is_some_and(|it| it.contains('.'))).collect();
    let wanted = derived.iter().find(|uri| uri.contains(".360/")).or(derived.first()).context("nothing is offered")?;
    let folder = format!("derived/{id}/{}", wanted.trim_end_matches("/index.m3u8"));
    let playlist = self::text(client, SERVICE, &format!("{folder}/index.m3u8")).await?;
    let segments: Vec<_> = playlist.lines().filter(|line| line.ends_with(".m4s")).map(str::to_owned).collect();
    ensure!(!segments.is_empty(), "the playlist of {folder} names no segment");
    let names: Vec<_> = derived.iter().filter_map(|uri| uri.split('/').nth(1)).collect();
    let detail = format!("beside it {} are offered", names.join(", "));
    Ok(Verified(Derived { folder, segments }, detail))
}

/// Asks for every segment as a player does, one after the other. The longest that one took, seconds.
async fn on_request(client: &Client, derived: &Derived) -> anyhow::Result<Verified<f64>> {
    let (mut slowest, mut bytes) = (Duration::ZERO, 0);
    let init = Instant::now();
    bytes += fetch(client, &format!("{}/init.mp4", derived.folder)).await?.0.len();
    let init_s = init.elapsed().as_secs_f64();
    for segment in &derived.segments {
        let began = Instant::now();
        bytes += fetch(client, &format!("{}/{segment}", derived.folder)).await?.0.len();
        slowest = slowest.max(began.elapsed());
    }
    let count = derived.segments.len();
    let slowest_s = slowest.as_secs_f64();
    let detail = format!(
        "init segment after {init_s:.2} s (a process starts), {count} segments, {}, the slowest after {slowest_s:.2} s",
        output::size(bytes as u64)
    );
    Ok(Verified(slowest_s, detail))
}

async fn again(client: &Client, derived: &Derived) -> anyhow::Result<Verified<f64>> {
    let began = Instant::now();
    fetch(client, &format!("{}/{}", derived.folder, derived.segments[0])).await?;
    let ms = began.elapsed().as_secs_f64() * 1000.0;
    Ok(Verified(ms, format!("what was made is kept: {ms:.1} ms")))
}

/// A derived segment and its source are two things, for this site alone.
async fn identity(client: &Client, derived: &Derived) -> anyhow::Result<Verified<()>> {
    let segment = &derived.segments[0];
    let (ours, heads) = fetch(client, &format!("{}/{segment}", derived.folder)).await?;
    let (folder, _) = derived.folder.rsplit_once('.').context("a derived track has a point")?;
    let (theirs, source) = fetch(client, &format!("{folder}/{segment}")).await?;
    let tag = |heads: &header::HeaderMap| heads.get(header::ETAG).cloned();
    ensure!(tag(&heads).is_some() && tag(&heads) != tag(&source), "both have the same entity tag");
    let kept = heads.get(header::CACHE_CONTROL).and_then(|value| value.to_str().ok()).unwrap_or_default();
    ensure!(kept.starts_with("private"), "it may be kept elsewhere: {kept}");
    ensure!(heads.contains_key(header::CONTENT_LOCATION), "it does not say where it is");
    let (ours, theirs) = (output::size(ours.len() as u64), output::size(theirs.len() as u64));
    Ok(Verified((), format!("{ours} beside {theirs} of its source; an entity tag of its own, `private`")))
}

/// Decodes the derived rendition and its source, and compares what came.
async fn played(client: &Client, derived: &Derived) -> anyhow::Result<Verified<()>> {
    let url = |folder: &str| client.url(SERVICE, &format!("{folder}/index.m3u8"));
    let (folder, _) = derived.folder.rsplit_once('.').context("a derived track has a point")?;
    let ours = player::play(url(&derived.folder).as_str()).await?;
    let theirs = player::play(url(folder).as_str()).await?;
    ensure!(ours.decode_errors == 0, "{} packets cannot be decoded", ours.decode_errors);
    ensure!(ours == theirs, "it plays {ours:?}, its source {theirs:?}");
    Ok(Verified((), format!("{} frames at the times of the source, decoded without an error", ours.video_frames)))
}

async fn text(client: &Client, name: &str, path: &str) -> anyhow::Result<String> {
    let answer = client.request(Method::GET, name, path).send().await?.error_for_status()?;
    Ok(answer.text().await?)
}

async fn fetch(client: &Client, path: &str) -> anyhow::Result<(Vec<u8>, header::HeaderMap)> {
    let answer = client.request(Method::GET, SERVICE, path).send().await?.error_for_status()?;
    let heads = answer.headers().clone();
    Ok((answer.bytes().await?.to_vec(), heads))
}
