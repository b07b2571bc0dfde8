//! Scenario `vcdn`: many viewers of one cold asset, with and without a surrogate between them and the origin.
//!
//! The savings are what the origin's own counters say, and on real links (`--netns`) the counter of its link: there the origin
//! is a machine of its own, and the viewers and the surrogate are at another.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use flame_api::Client;
use flame_api::metadata::Asset;
use flame_api::router::{LEASE_TTL_MS, Registration};
use flame_api::vcdn::Purge;
use flame_service_host::HostConfig;
use flame_vcdn::config::FrontConfig;
use futures_util::future::try_join_all;
use reqwest::Method;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::indirection::{PATIENCE, POLL};
use super::place::{Ending, Part, Place};
use super::stage::Stage;
use super::tour::{Bound, Broken, Tour, Verified};
use super::vod;
use crate::output;

/// Viewers who begin at the same moment.
const VIEWERS: usize = 50;
/// How often what does not register itself is registered again.
const RENEW: Duration = Duration::from_secs(3);
/// The name that the surrogate serves, and the one behind it.
const CDN: &str = "cdn";
const ORIGIN: &str = "streaming";

/// Where the viewers and the surrogate are, and where the origin is.
pub const MACHINES: [&str; 2] = ["edge", "cloud"];

/// Who asks whom.
struct Scene {
    /// All services, for whoever brings content in.
    services: Client,
    /// The router of the viewers.
    viewers: Client,
    /// What runs at the edge, and what leads to the cloud.
    parts: Vec<Part>,
    /// Has the cloud's origin stand at the edge.
    renewed: Option<AbortOnDropHandle<()>>,
}

/// What all viewers of one way lived through.
struct Watched {
    bytes: u64,
    /// What the origin's link carried, where it has one.
    link_bytes: Option<u64>,
    first_p50_ms: f64,
    last_ms: f64,
    origin_requests: u64,
    /// Bytes of media that the origin sent: to the surrogate, or to the viewers themselves.
    origin_bytes: u64,
}

pub async fn perform(tour: &mut Tour, stage: &mut Stage, clip: &Path, place: &Place) -> Result<(), Broken> {
    let quiet = tour.quiet();
    let Scene { services: client, viewers, parts, renewed: _renewed } =
        tour.step("start", Scene::start(stage, place)).await?;
    let (id, _) = tour.step("upload", vod::send(&client, clip, quiet)).await?;
    let job = tour.step("probe", vod::probed(&client, id)).await?;
    let asset = tour.step("ladder", vod::encoded(&client, id, job, quiet)).await?;
    let urls = tour.step("playlist", playlist(&viewers, &asset)).await?;
    let objects = u32::try_from(urls.len()).unwrap_or(u32::MAX);

    let direct = tour.step("without", watch(place, &viewers, ORIGIN, &urls)).await?;
    let through = tour.step("with", watch(place, &viewers, CDN, &urls)).await?;
    let again = tour.step("again", watch(place, &viewers, CDN, &urls)).await?;
    tour.figure("origin_requests_without", count(direct.origin_requests), "requests", None).await?;
    let one_each = Some(Bound::AtMost(f64::from(objects)));
    tour.figure("origin_requests_with", count(through.origin_requests), "requests", one_each).await?;
    tour.figure("origin_requests_again", count(again.origin_requests), "requests", Some(Bound::AtMost(0.0))).await?;
    for (name, watched) in
        [("origin_bytes_without", &direct), ("origin_bytes_with", &through), ("origin_bytes_again", &again)]
    {
        tour.figure(name, count(watched.origin_bytes) / f64::from(1 << 20), "MiB", None).await?;
    }
    tour.figure("first_byte_p50_without", direct.first_p50_ms, "ms", None).await?;
    tour.figure("first_byte_p50_with", through.first_p50_ms, "ms", None).await?;
    tour.figure("first_byte_p50_again", again.first_p50_ms, "ms", None).await?;
    tour.figure("last_byte_without", direct.last_ms, "ms", None).await?;
    tour.figure("last_byte_with", through.last_ms, "ms", None).await?;
    tour.figure("last_byte_again", again.last_ms, "ms", None).await?;

    tour.step("purge", purged(&viewers, &asset, urls.len())).await?;
    let after = tour.step("after", watch(place, &viewers, CDN, &urls)).await?;
    tour.figure("origin_requests_after_purge", count(after.origin_requests), "requests", one_each).await?;
    for (name, watched) in
        [("origin_link_without", &direct), ("origin_link_with", &through), ("origin_link_again", &again)]
    {
        if let Some(bytes) = watched.link_bytes {
            tour.figure(name, count(bytes) / f64::from(1 << 20), "MiB", None).await?;
        }
    }
    for part in parts {
        part.stop().await;
    }
    if place.network().is_none() {
        tour.offer(format!("  flame edge stats --router {}", viewers.router()));
    }
    tour.close_with(format!("  {}", place.links()));
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
async fn watch(place: &Place, client: &Client, name: &str, urls: &[String]) -> anyhow::Result<Verified<Watched>> {
    let before = origin_requests(client).await?;
    let fetched_before = fetched_bytes(client).await?;
    let sent_bytes = || place.network().map(|network| network.sent_bytes(MACHINES[1])).transpose();
    let sent_before = sent_bytes()?;
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
    let link_bytes = sent_bytes()?.zip(sent_before).map(|(after, before)| after - before);
    let all: u64 = bytes.iter().sum();
    let fetched = fetched_bytes(client).await? - fetched_before;
    let watched = Watched {
        bytes: all,
        origin_bytes: if name == ORIGIN { all } else { fetched },
        link_bytes,
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
    let purged = client.purge(&purge).await?;
    ensure!(purged.objects == objects as u64, "{} objects were dropped, {objects} were kept", purged.objects);
    let stats = client.edge_stats().await?;
    let kept: u64 = stats.kept.iter().map(|kept| kept.memory_objects + kept.disk_objects).sum();
    Ok(Verified((), format!("{} objects dropped, {kept} left", purged.objects)))
}

/// Bytes that the surrogate has fetched, by its own counters.
async fn fetched_bytes(client: &Client) -> anyhow::Result<u64> {
    Ok(client.edge_stats().await?.total.fetched_bytes)
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

// === impl Scene ===

impl Scene {
    async fn start(stage: &mut Stage, place: &Place) -> anyhow::Result<Verified<Self>> {
        let [edge, cloud] = MACHINES;
        let (here, took) = stage.up_on(place, cloud).await?;
        if place.network().is_none() {
            let detail = format!("everything behind one router, {}; {}", here.router(), place.links());
            return Ok(Verified(
                Self { services: here.clone(), viewers: here, parts: Vec::new(), renewed: None },
                detail,
            ));
        }
        // The services stay open to their own machine only, as everywhere; what the edge may reach leads in.
        let inner = here.router().socket_addrs(|| None)?.first().copied().context("the router has an address")?;
        let door = relay(place, cloud, inner).await?;
        let services = Client::new(format!("http://{}", door.address).parse()?, None);
        let known = services.endpoints().await?.items;
        let origin = known.iter().find(|one| one.name.split('.').next() == Some(ORIGIN));
        let origin = relay(place, cloud, origin.ok_or_else(|| anyhow!("nobody is {ORIGIN}"))?.address).await?;

        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = flame_router::Config {
            host: HostConfig { listen, ..HostConfig::default() },
            site: edge.to_owned(),
            ..flame_router::Config::default()
        };
        let router = place.router(edge, config).await?;
        let viewers = Client::new(format!("http://{}", router.address).parse()?, None);
        let renewed = renewed(&viewers, origin.address).await?;
        let config = flame_vcdn::Config {
            host: HostConfig { listen, router: Some(viewers.router().clone()), ..HostConfig::default() },
            fronts: vec![FrontConfig::new(CDN, ORIGIN)],
            ..flame_vcdn::Config::default()
        };
        let surrogate = place.start(edge, move || async move {
            let running = flame_vcdn::start(config).await?;
            let address = running.address();
            let ending: Ending = Box::pin(running.stop());
            Ok((address, ending))
        });
        let surrogate = surrogate.await?;
        let began = Instant::now();
        while !viewers.endpoints().await?.items.iter().any(|one| one.name.split('.').next() == Some(CDN)) {
            ensure!(began.elapsed() < PATIENCE, "the surrogate does not register");
            tokio::time::sleep(POLL).await;
        }
        let detail = format!(
            "services in the cloud after {:.1} s, router and surrogate at the edge; {}",
            took.as_secs_f64(),
            place.links()
        );
        Ok(Verified(
            Self { services, viewers, parts: vec![surrogate, router, origin, door], renewed: Some(renewed) },
            detail,
        ))
    }
}

/// Registers the cloud's origin at the edge, and renews that until the value is dropped.
async fn renewed(edge: &Client, origin: SocketAddr) -> anyhow::Result<AbortOnDropHandle<()>> {
    let registration = Registration::new(origin, 1, LEASE_TTL_MS);
    edge.register(ORIGIN, "cloud", &registration).await?;
    let edge = edge.clone();
    Ok(AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            tokio::time::sleep(RENEW).await;
            // One that fails is seen: nobody has what the viewers ask for.
            let _ = edge.register(ORIGIN, "cloud", &registration).await;
        }
    })))
}

/// Leads from outside of a machine to an address on its loopback.
async fn relay(place: &Place, machine: &str, inner: SocketAddr) -> anyhow::Result<Part> {
    let ip = place.ip(machine)?;
    let begin = move || async move {
        let listener = TcpListener::bind((ip, 0)).await?;
        let (address, mut tasks) = (listener.local_addr()?, JoinSet::new());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut outside, _)) = listener.accept().await {
                connections.spawn(async move {
                    let mut inside = TcpStream::connect(inner).await?;
                    tokio::io::copy_bidirectional(&mut outside, &mut inside).await
                });
            }
        });
        let ending: Ending = Box::pin(async move { tasks.shutdown().await });
        Ok((address, ending))
    };
    place.start(machine, begin).await
}
