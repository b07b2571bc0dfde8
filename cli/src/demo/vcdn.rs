//! Scenario `vcdn`: many viewers of one cold asset, with and without a surrogate between them and the origin.
//!
//! On loopback: delays are those of this machine, and the savings are what the origin's own counters say.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use flame_api::Client;
use flame_api::metadata::Asset;
use flame_api::vcdn::{Purge, Purged, Stats};
use futures_util::future::try_join_all;
use reqwest::Method;

use super::stage::Stage;
use super::tour::{Bound, Broken, Tour, Verified};
use super::vod;
use crate::{edge, output};

/// Viewers who begin at the same moment.
const VIEWERS: usize = 50;
/// The name that the surrogate serves, and the one behind it.
const CDN: &str = "cdn";
const ORIGIN: &str = "streaming";

/// What all viewers of one way lived through.
struct Watched {
    bytes: u64,
    first_p50_ms: f64,
    last_ms: f64,
    origin_requests: u64,
}

pub async fn perform(tour: &mut Tour, stage: &mut Stage, clip: &Path) -> Result<(), Broken> {
    let quiet = tour.quiet();
    let (client, _) = tour.step("start", vod::start(stage)).await?;
    let (id, _) = tour.step("upload", vod::send(&client, clip, quiet)).await?;
    let job = tour.step("probe", vod::probed(&client, id)).await?;
    let asset = tour.step("ladder", vod::encoded(&client, id, job, quiet)).await?;
    let urls = tour.step("playlist", playlist(&client, &asset)).await?;
    let objects = u32::try_from(urls.len()).unwrap_or(u32::MAX);

    let direct = tour.step("without", watch(&client, ORIGIN, &urls)).await?;
    let through = tour.step("with", watch(&client, CDN, &urls)).await?;
    let again = tour.step("again", watch(&client, CDN, &urls)).await?;
    tour.figure("origin_requests_without", count(direct.origin_requests), "requests", None).await?;
    let one_each = Some(Bound::AtMost(f64::from(objects)));
    tour.figure("origin_requests_with", count(through.origin_requests), "requests", one_each).await?;
    tour.figure("origin_requests_again", count(again.origin_requests), "requests", Some(Bound::AtMost(0.0))).await?;
    tour.figure("first_byte_p50_without", direct.first_p50_ms, "ms", None).await?;
    tour.figure("first_byte_p50_with", through.first_p50_ms, "ms", None).await?;
    tour.figure("first_byte_p50_again", again.first_p50_ms, "ms", None).await?;
    tour.figure("last_byte_without", direct.last_ms, "ms", None).await?;
    tour.figure("last_byte_with", through.last_ms, "ms", None).await?;
    tour.figure("last_byte_again", again.last_ms, "ms", None).await?;

    tour.step("purge", purged(&client, &asset, urls.len())).await?;
    let after = tour.step("after", watch(&client, CDN, &urls)).await?;
    tour.figure("origin_requests_after_purge", count(after.origin_requests), "requests", one_each).await?;
    tour.close_with(format!("  flame edge stats --router {}\n  all of it on loopback", client.router()));
    Ok(())
}

/// What a viewer of the first rendition asks for.
async fn playlist(client: &Client, asset: &Asset) -> anyhow::Result<Verified<Vec<String>>> {
    let version = asset.version.as_ref().context("it has no version")?;
    let track = version.tracks.first().context("it has no tracks")?;
    let folder = format!("{}/{}/{}", asset.id, version.name, track.name);
    let answer = client.request(Method::GET, ORIGIN, &format!("{folder}/index.m3u8")).send().await?;
    let text = answer.error_for_status()?.text().await?;
    let mut urls = vec![format!("{folder}/init.mp4")];
    let segments = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    urls.extend(segments.map(|name| format!("{folder}/{name}")));
    let detail = format!("{}: {} objects", track.name, urls.len());
    Ok(Verified(urls, detail))
}

/// All viewers fetch all objects, in order, from `name`.
async fn watch(client: &Client, name: &str, urls: &[String]) -> anyhow::Result<Verified<Watched>> {
    let before = origin_requests(client).await?;
    let viewers = (0..VIEWERS).map(|_| async move {
        let (began, mut first, mut bytes) = (Instant::now(), None, 0_u64);
        for url in urls {
            let mut answer = client.request(Method::GET, name, url).send().await?.error_for_status()?;
            while let Some(chunk) = answer.chunk().await? {
                first.get_or_insert_with(|| began.elapsed());
                bytes += chunk.len() as u64;
            }
        }
        anyhow::Ok((first.unwrap_or_default(), began.elapsed(), bytes))
    });
    let seen = try_join_all(viewers).await?;
    let bytes: Vec<u64> = seen.iter().map(|(_, _, bytes)| *bytes).collect();
    ensure!(bytes.iter().all(|one| *one == bytes[0]), "not every viewer got the same");
    let mut firsts: Vec<Duration> = seen.iter().map(|(first, _, _)| *first).collect();
    firsts.sort_unstable();
    let last = seen.iter().map(|(_, last, _)| *last).max().unwrap_or_default();
    let watched = Watched {
        bytes: bytes.iter().sum(),
        first_p50_ms: firsts[firsts.len() / 2].as_secs_f64() * 1000.0,
        last_ms: last.as_secs_f64() * 1000.0,
        origin_requests: origin_requests(client).await? - before,
    };
    let detail = format!(
        "{VIEWERS} viewers at /~{name}: {} in {:.0} ms, the origin was asked {} times",
        output::size(watched.bytes),
        watched.last_ms,
        watched.origin_requests
    );
    Ok(Verified(watched, detail))
}

async fn purged(client: &Client, asset: &Asset, objects: usize) -> anyhow::Result<Verified<()>> {
    let purge = Purge { name: CDN.to_owned(), prefix: Some(format!("/{}/", asset.id)), ..Purge::default() };
    let purged: Purged = edge::call(client, Method::POST, "purges", Some(&purge)).await?;
    ensure!(purged.objects == objects as u64, "{} objects were dropped, {objects} were kept", purged.objects);
    let stats: Stats = edge::call::<(), _>(client, Method::GET, "stats", None).await?;
    let kept: u64 = stats.kept.iter().map(|kept| kept.memory_objects + kept.disk_objects).sum();
    Ok(Verified((), format!("{} objects dropped, {kept} left", purged.objects)))
}

/// Media requests that the origin has answered, by its own counters.
async fn origin_requests(client: &Client) -> anyhow::Result<u64> {
    let text = client.request(Method::GET, ORIGIN, "metrics").send().await?.error_for_status()?.text().await?;
    let media = text.lines().filter(|line| line.starts_with("flame_http_requests_total") && line.contains("{track}"));
    Ok(media.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
}

#[allow(clippy::cast_precision_loss, reason = "a count of requests is printed")]
fn count(requests: u64) -> f64 {
    requests as f64
}
