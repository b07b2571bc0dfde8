//! Scenario `indirection`: an object that only one surrogate of two sites has, asked for with and without a search.
//!
//! Routers and surrogates run in this process, on sockets of their own, on loopback or on two machines (`--netns`): the
//! site file's latency orders the search and delays nothing. The surrogates are what a search meets in the field: a cache that does not have it, one
//! that is broken, and the origin.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use flame_api::Client;
use flame_api::router::Registration;
use flame_router::Config;
use flame_router::config::{SearchConfig, Searchable};
use reqwest::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::place::{Credentials, Ending, Part, Place};
use super::stage::Stage;
use super::tour::{Bound, Broken, Tour, Verified};

/// Requests of each kind.
const REQUESTS: usize = 100;
/// Bytes of the object, from the clip's beginning.
const OBJECT_BYTES: usize = 64 << 10;
/// How long routers may take to hear each other.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// How often that is looked at.
pub(super) const POLL: Duration = Duration::from_millis(5);
/// The way of a search, when asked for.
const TRACE: &str = "flame-trace";

/// The sites; the clients are at the first.
pub const MACHINES: [&str; 2] = ["edge", "cloud"];

/// Two sites with a router each.
struct Sites {
    edge: Part,
    cloud: Part,
    client: Client,
    credentials: Credentials,
}

/// The surrogates, and how often they were asked.
struct Surrogates {
    asked: Arc<AtomicUsize>,
    missing: [Part; 2],
    broken: Part,
    holder: Part,
}

/// What a series of requests gave.
#[derive(Default)]
struct Series {
    whole: usize,
    statuses: std::collections::BTreeMap<u16, usize>,
    p50_ms: f64,
}

pub async fn perform(tour: &mut Tour, stage: &mut Stage, clip: &Path, place: &Place) -> Result<(), Broken> {
    let object = tour.step("object", super::beginning(clip, OBJECT_BYTES)).await?;
    let surrogates = tour.step("surrogates", Surrogates::start(place, &object)).await?;
    let off = tour.step("sites, off", Sites::start(place, stage, &surrogates, false)).await?;
    let on = tour.step("sites, on", Sites::start(place, stage, &surrogates, true)).await?;

    let plain = tour.step("off", without(&off.client, &object)).await?;
    let direct = tour.step("at the origin", at_origin(&on.client, &object)).await?;
    let searched = tour.step("on", with(&on.client, &object)).await?;
    let percent = |whole: usize| f64::from(u32::try_from(whole).unwrap_or(u32::MAX)) * 100.0 / REQUESTS as f64;
    tour.figure("found_without", percent(plain.whole), "%", None).await?;
    tour.figure("found_with", percent(searched.whole), "%", Some(Bound::AtLeast(100.0))).await?;
    tour.figure("origin_p50", direct.p50_ms, "ms", None).await?;
    tour.figure("search_p50", searched.p50_ms, "ms", None).await?;
    tour.figure("delay_added_p50", searched.p50_ms - direct.p50_ms, "ms", Some(Bound::AtMost(50.0))).await?;

    let without = tour.step("way, off", hops(&off.client, &surrogates, 1)).await?;
    let with = tour.step("way, on", hops(&on.client, &surrogates, 2)).await?;
    tour.figure("hops_without", without, "surrogates", None).await?;
    tour.figure("hops_with", with, "surrogates", None).await?;
    tour.step("POST", post(&on.client, &surrogates)).await?;
    tour.step("circle", circle(&on)).await?;
    tour.step("nowhere", nowhere(&on.client)).await?;
    for sites in [off, on] {
        sites.edge.stop().await;
        sites.cloud.stop().await;
    }
    let Surrogates { missing: [one, other], broken, holder, .. } = surrogates;
    for part in [one, other, broken, holder] {
        part.stop().await;
    }
    tour.close_with(format!("  {}", place.links()));
    Ok(())
}

async fn without(client: &Client, object: &[u8]) -> anyhow::Result<Verified<Series>> {
    let series = Series::of(client, "media", object).await?;
    ensure!(series.whole == 0, "{} of {REQUESTS} found it at a site that does not have it", series.whole);
    let detail = format!("nothing of {REQUESTS} found: {}", series.told());
    Ok(Verified(series, detail))
}

async fn at_origin(client: &Client, object: &[u8]) -> anyhow::Result<Verified<Series>> {
    let series = Series::of(client, "origin", object).await?;
    ensure!(series.whole == REQUESTS, "the origin itself does not have it: {}", series.told());
    let detail = format!("asked straight away: p50 {:.2} ms", series.p50_ms);
    Ok(Verified(series, detail))
}

async fn with(client: &Client, object: &[u8]) -> anyhow::Result<Verified<Series>> {
    let series = Series::of(client, "media", object).await?;
    ensure!(series.whole == REQUESTS, "not all were found: {}", series.told());
    let detail = format!("all {REQUESTS} found, byte for byte: p50 {:.2} ms", series.p50_ms);
    Ok(Verified(series, detail))
}

/// How many are asked for the object, by their own count; a search over `sites` also shows its way.
async fn hops(client: &Client, surrogates: &Surrogates, sites: usize) -> anyhow::Result<Verified<f64>> {
    surrogates.asked.store(0, Ordering::SeqCst);
    let answer = client.request(Method::GET, "media", "object").header(TRACE, "?1").send().await?;
    let trace = answer.headers().get(TRACE).map(|trace| trace.to_str()).transpose()?.map(str::to_owned);
    drop(answer.bytes().await?);
    let hops = surrogates.asked.load(Ordering::SeqCst);
    let told = match &trace {
        Some(trace) => {
            ensure!(trace.contains("\"cloud") == (sites > 1), "it is not the way over {sites} sites: {trace}");
            format!("{hops} were asked: {trace}")
        }
        None => {
            ensure!(sites == 1 && hops == 1, "no way is shown, and {hops} were asked");
            "one was asked, and what it said is passed on".to_owned()
        }
    };
    Ok(Verified(hops as f64, told))
}

async fn post(client: &Client, surrogates: &Surrogates) -> anyhow::Result<Verified<()>> {
    surrogates.asked.store(0, Ordering::SeqCst);
    let answer = client.request(Method::POST, "media", "object").send().await?;
    let (status, asked) = (answer.status(), surrogates.asked.load(Ordering::SeqCst));
    ensure!(!status.is_success() && asked == 1, "{status}, and {asked} surrogates saw it");
    Ok(Verified((), format!("{status} is passed on; one surrogate saw it, none after it")))
}

async fn circle(sites: &Sites) -> anyhow::Result<Verified<()>> {
    for (at, other) in [(&sites.edge, &sites.cloud), (&sites.cloud, &sites.edge)] {
        let client = Client::new(format!("http://{}", at.address).parse()?, sites.credentials.token.clone());
        let registration = Registration::new(other.address, 1, 60_000);
        client.register("circle", "c1", &registration).await?;
    }
    let began = Instant::now();
    let url = format!("http://{}/object", sites.edge.address);
    let http = reqwest::Client::builder().no_proxy().build()?;
    let answer = http.get(url).header("host", "circle.localhost").timeout(PATIENCE).send().await?;
    ensure!(answer.status() == StatusCode::LOOP_DETECTED, "a circle of routers was answered with {}", answer.status());
    Ok(Verified((), format!("two routers that lead to each other: 508 after {:.1} ms", ms(began.elapsed()))))
}

async fn nowhere(client: &Client) -> anyhow::Result<Verified<()>> {
    let answer = client.request(Method::GET, "media", "nothing").send().await?;
    let (status, text) = (answer.status(), answer.text().await?);
    ensure!(status == StatusCode::NOT_FOUND && text == "origin", "{status} {text}");
    Ok(Verified((), "404, and the origin says it: nobody else knows for certain".to_owned()))
}

pub(super) fn ms(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}

// === impl Series ===

impl Series {
    async fn of(client: &Client, name: &str, object: &[u8]) -> anyhow::Result<Self> {
        let mut series = Self::default();
        let mut took = Vec::with_capacity(REQUESTS);
        for _ in 0..REQUESTS {
            let began = Instant::now();
            let answer = client.request(Method::GET, name, "object").send().await?;
            let status = answer.status();
            let body = answer.bytes().await?;
            took.push(began.elapsed());
            *series.statuses.entry(status.as_u16()).or_default() += 1;
            series.whole += usize::from(status == StatusCode::OK && body == object);
        }
        took.sort_unstable();
        series.p50_ms = ms(took[REQUESTS / 2]);
        Ok(series)
    }

    fn told(&self) -> String {
        let counts: Vec<_> = self.statuses.iter().map(|(status, count)| format!("{count} × {status}")).collect();
        counts.join(", ")
    }
}

// === impl Sites ===

impl Sites {
    async fn start(
        place: &Place,
        stage: &Stage,
        surrogates: &Surrogates,
        indirection: bool,
    ) -> anyhow::Result<Verified<Self>> {
        let [edge, cloud] = place.addresses(MACHINES)?;
        let word = if indirection { "with" } else { "without" };
        let file = stage.path(&format!("sites-{word}.toml"));
        let text = format!(
            "version = 1\n\
             [[sites]]\nname = \"edge\"\nrouter = \"{edge}\"\n\
             [[sites]]\nname = \"cloud\"\nrouter = \"{cloud}\"\n\
             [[links]]\nbetween = [\"edge\", \"cloud\"]\nlatency_ms = 12\nbandwidth_mbps = 1000\n"
        );
        std::fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
        let credentials = place.credentials(&stage.path(word))?;
        let config = |site: &str, listen| Config {
            host: credentials.host(listen),
            site: site.to_owned(),
            sites: Some(file.clone()),
            search: SearchConfig {
                enabled: indirection,
                names: vec![Searchable { name: "media".to_owned(), authority: Some("origin".to_owned()) }],
                ..SearchConfig::default()
            },
            ..Config::default()
        };
        let [at_edge, at_cloud] = MACHINES;
        let edge = place.router(at_edge, config(at_edge, edge)).await?;
        let cloud = place.router(at_cloud, config(at_cloud, cloud)).await?;
        let client = |router: &Part| {
            anyhow::Ok(Client::new(format!("http://{}", router.address).parse()?, credentials.token.clone()))
        };
        let places = [
            (&edge, "media", &surrogates.missing[0]),
            (&edge, "media", &surrogates.broken),
            (&cloud, "media", &surrogates.missing[1]),
            (&cloud, "origin", &surrogates.holder),
        ];
        for (n, (router, name, surrogate)) in places.into_iter().enumerate() {
            let registration = Registration::new(surrogate.address, 1, 60_000);
            client(router)?.register(name, &format!("e{n}"), &registration).await?;
        }
        let client = client(&edge)?;
        let began = Instant::now();
        while client.endpoints().await?.items.len() < places.len() {
            ensure!(began.elapsed() < PATIENCE, "the edge's router does not hear the cloud's");
            tokio::time::sleep(POLL).await;
        }
        let detail = format!("edge at {}, cloud at {}, {word} indirection", edge.address, cloud.address);
        Ok(Verified(Self { edge, cloud, client, credentials }, detail))
    }
}

// === impl Surrogates ===

impl Surrogates {
    async fn start(place: &Place, object: &[u8]) -> anyhow::Result<Verified<Self>> {
        let ([edge, cloud], asked, object) = (MACHINES, Arc::new(AtomicUsize::new(0)), object.to_vec());
        let missing = |_: &str| ("404 Not Found", b"missing".to_vec());
        let missing = [serve(place, edge, &asked, missing).await?, serve(place, cloud, &asked, missing).await?];
        let broken = serve(place, edge, &asked, |_| ("500 Internal Server Error", b"broken".to_vec())).await?;
        let holder = serve(place, cloud, &asked, move |path| match path {
            "/object" => ("200 OK", object.clone()),
            _ => ("404 Not Found", b"origin".to_vec()),
        });
        let holder = holder.await?;
        let found = "at the edge one without it and one broken; in the cloud one without it, and the origin";
        let detail = format!("{found}; {}", place.links());
        Ok(Verified(Self { asked, missing, broken, holder }, detail))
    }
}

/// Answers every request by its path, and counts them.
async fn serve<F>(place: &Place, machine: &str, asked: &Arc<AtomicUsize>, answer: F) -> anyhow::Result<Part>
where
    F: Fn(&str) -> (&'static str, Vec<u8>) + Send + Sync + 'static,
{
    let (ip, asked) = (place.ip(machine)?, Arc::clone(asked));
    place
        .start(machine, move || async move {
            let listener = TcpListener::bind((ip, 0)).await?;
            let (address, mut tasks) = (listener.local_addr()?, JoinSet::new());
            tasks.spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    // A router that turns to another surrogate goes away in the middle.
                    let _: std::io::Result<()> = talk(stream, &asked, &answer).await;
                }
            });
            let ending: Ending = Box::pin(async move { tasks.shutdown().await });
            Ok((address, ending))
        })
        .await
}

async fn talk<F>(mut stream: TcpStream, asked: &AtomicUsize, answer: &F) -> std::io::Result<()>
where
    F: Fn(&str) -> (&'static str, Vec<u8>),
{
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < 16 << 10 {
        head.push(stream.read_u8().await?);
    }
    asked.fetch_add(1, Ordering::SeqCst);
    let head = String::from_utf8_lossy(&head).into_owned();
    let (status, body) = answer(head.split(' ').nth(1).unwrap_or_default());
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), &body].concat()).await?;
    stream.shutdown().await
}
