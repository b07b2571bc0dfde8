//! Scenario `path`: one name for three functions in a row, at two sites, beside a client that does the walking itself.
//!
//! The functions are small but real HTTP services in this process, on loopback or on two machines (`--netns`): `digest`
//! asks for its input and answers its SHA-256, `trim` asks for its input and keeps the first half, `source` has the
//! object. None of them knows who comes next.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, ensure};
use flame_api::Client;
use flame_api::router::Registration;
use flame_router::Config;
use flame_router::config::PathConfig;
use reqwest::Method;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::indirection::{PATIENCE, POLL, ms};
use super::place::{Credentials, Ending, Part, Place};
use super::stage::Stage;
use super::tour::{Bound, Broken, Tour, Verified};

/// Requests of each kind.
const REQUESTS: usize = 50;
/// Bytes of the object, from the clip's beginning.
const OBJECT_BYTES: usize = 256 << 10;
/// The sites; the client is at the first.
pub const MACHINES: [&str; 2] = ["edge", "cloud"];
/// What a function passes on when it asks for its input.
const PASSED_ON: [&str; 3] = ["flame-path", "cdn-loop", "flame-trace"];

/// What a function does with its input.
#[derive(Clone)]
enum Work {
    Digest,
    Trim,
    /// It has the object itself.
    Source(Vec<u8>),
}

/// Two sites and the functions behind their routers.
struct Row {
    client: Client,
    credentials: Credentials,
    /// The functions, then the routers.
    parts: Vec<Part>,
}

/// What a series of requests took.
struct Walked {
    p50_ms: f64,
    /// What the link from the cloud carried for one of them, where there is one.
    link_bytes: Option<u64>,
}

pub async fn perform(tour: &mut Tour, stage: &mut Stage, clip: &Path, place: &Place) -> Result<(), Broken> {
    let object = tour.step("object", super::beginning(clip, OBJECT_BYTES)).await?;
    let wanted = hex::encode(Sha256::digest(&object[..object.len() / 2]));
    let row = tour.step("sites", Row::start(place, stage, &object)).await?;
    let alone = tour.step("off", walked_by_client(place, &row.client, &wanted)).await?;
    let path = tour.step("on", walked_by_path(place, &row.client, &wanted)).await?;
    #[allow(clippy::cast_precision_loss, reason = "a count of bytes is printed")]
    for (name, bytes) in [("to_client_without", object.len()), ("to_client_with", wanted.len())] {
        tour.figure(name, bytes as f64, "B", None).await?;
    }
    for (name, walked) in [("cloud_link_without", &alone), ("cloud_link_with", &path)] {
        #[allow(clippy::cast_precision_loss, reason = "a count of bytes is printed")]
        if let Some(bytes) = walked.link_bytes {
            tour.figure(name, bytes as f64 / 1024.0, "KiB", None).await?;
        }
    }
    tour.figure("answer_p50_without", alone.p50_ms, "ms", None).await?;
    tour.figure("answer_p50_with", path.p50_ms, "ms", Some(Bound::AtMost(100.0))).await?;
    tour.step("explained", explained(&row)).await?;
    tour.step("way", way(&row.client)).await?;
    for part in row.parts {
        part.stop().await;
    }
    tour.close_with(format!("  {}", place.links()));
    Ok(())
}

/// Without a path the client fetches the object and does the functions' work.
async fn walked_by_client(place: &Place, client: &Client, wanted: &str) -> anyhow::Result<Verified<Walked>> {
    let walked = walk(place, || async {
        let input = client.request(Method::GET, "source", "object").send().await?.error_for_status()?.bytes().await?;
        let digest = hex::encode(Sha256::digest(&input[..input.len() / 2]));
        ensure!(digest == wanted, "the object that came is another one");
        Ok(())
    });
    let walked = walked.await?;
    let detail = format!("the client fetches everything and works itself: p50 {:.2} ms", walked.p50_ms);
    Ok(Verified(walked, detail))
}

async fn walked_by_path(place: &Place, client: &Client, wanted: &str) -> anyhow::Result<Verified<Walked>> {
    let walked = walk(place, || async {
        let answer = client.request(Method::GET, "fingerprint", "object").send().await?.error_for_status()?;
        let text = answer.text().await?;
        ensure!(text == wanted, "the path answered {text}, not {wanted}");
        Ok(())
    });
    let walked = walked.await?;
    let detail = format!("`fingerprint` is digest, trim and source in a row: p50 {:.2} ms", walked.p50_ms);
    Ok(Verified(walked, detail))
}

/// Asks so often, one after the other.
async fn walk(place: &Place, ask: impl AsyncFn() -> anyhow::Result<()>) -> anyhow::Result<Walked> {
    let sent_bytes = || place.network().map(|network| network.sent_bytes(MACHINES[1])).transpose();
    let (mut took, before) = (Vec::new(), sent_bytes()?);
    for _ in 0..REQUESTS {
        let began = Instant::now();
        ask().await?;
        took.push(began.elapsed());
    }
    took.sort_unstable();
    let link_bytes = sent_bytes()?.zip(before).map(|(after, before)| (after - before) / REQUESTS as u64);
    Ok(Walked { p50_ms: ms(took[REQUESTS / 2]), link_bytes })
}

async fn explained(row: &Row) -> anyhow::Result<Verified<()>> {
    let url = row.client.router().join("api/router/paths")?;
    let mut asked = reqwest::Client::builder().no_proxy().build()?.get(url);
    if let Some(token) = &row.credentials.token {
        asked = asked.bearer_auth(token);
    }
    let answer = asked.send().await?;
    let page: flame_api::Page<flame_api::router::Path> = flame_api::client::read_json(Method::GET, answer).await?;
    let path = page.items.into_iter().next().context("the router knows no path")?;
    let functions = path.functions.iter().map(|one| match &one.site {
        Some(site) => Ok(format!("{} at {site}", one.name)),
        None => Err(anyhow::anyhow!("nobody stands behind {}", one.name)),
    });
    Ok(Verified((), functions.collect::<anyhow::Result<Vec<_>>>()?.join(" ← ")))
}

async fn way(client: &Client) -> anyhow::Result<Verified<()>> {
    let answer = client.request(Method::GET, "fingerprint", "object").header("flame-trace", "?1").send().await?;
    let trace = answer.headers().get("flame-trace").context("no way is shown")?.to_str()?.to_owned();
    ensure!(trace.matches("status=200").count() == 3, "not three functions: {trace}");
    Ok(Verified((), trace))
}

// === impl Row ===

impl Row {
    async fn start(place: &Place, stage: &Stage, object: &[u8]) -> anyhow::Result<Verified<Self>> {
        let [edge, cloud] = place.addresses(MACHINES)?;
        let file = stage.path("sites-path.toml");
        let text = format!(
            "version = 1\n\
             [[sites]]\nname = \"edge\"\nrouter = \"{edge}\"\n\
             [[sites]]\nname = \"cloud\"\nrouter = \"{cloud}\"\n\
             [[links]]\nbetween = [\"edge\", \"cloud\"]\nlatency_ms = 12\nbandwidth_mbps = 1000\n"
        );
        std::fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
        let credentials = place.credentials(&stage.path("path"))?;
        let functions = ["digest", "trim", "source"].map(str::to_owned).to_vec();
        let config = |site: &str, listen| Config {
            host: credentials.host(listen),
            site: site.to_owned(),
            sites: Some(file.clone()),
            paths: vec![PathConfig { name: "fingerprint".to_owned(), functions: functions.clone() }],
            ..Config::default()
        };
        let [at_edge, at_cloud] = MACHINES;
        let edge = place.router(at_edge, config(at_edge, edge)).await?;
        let cloud = place.router(at_cloud, config(at_cloud, cloud)).await?;
        let client = |router: SocketAddr| {
            anyhow::Ok(Client::new(format!("http://{router}").parse()?, credentials.token.clone()))
        };
        let works = [
            ("digest", at_edge, edge.address, Work::Digest),
            ("trim", at_cloud, cloud.address, Work::Trim),
            ("source", at_cloud, cloud.address, Work::Source(object.to_vec())),
        ];
        let mut parts = Vec::new();
        for (name, machine, router, work) in works {
            let function = serve(place, machine, client(router)?, work).await?;
            // Registered where its router is: the tour itself reaches both.
            let registration = Registration::new(function.address, 1, 60_000);
            client(router)?.register(name, &format!("{name}-1"), &registration).await?;
            parts.push(function);
        }
        let client = client(edge.address)?;
        let began = Instant::now();
        while client.endpoints().await?.items.len() < parts.len() {
            ensure!(began.elapsed() < PATIENCE, "the edge's router does not hear the cloud's");
            tokio::time::sleep(POLL).await;
        }
        parts.extend([edge, cloud]);
        let detail = format!("digest at the edge, trim and source in the cloud; {}", place.links());
        Ok(Verified(Self { client, credentials, parts }, detail))
    }
}

/// Runs a function on a machine, behind the router that `client` asks.
async fn serve(place: &Place, machine: &str, client: Client, work: Work) -> anyhow::Result<Part> {
    let ip = place.ip(machine)?;
    place
        .start(machine, move || async move {
            let listener = TcpListener::bind((ip, 0)).await?;
            let (address, mut tasks) = (listener.local_addr()?, JoinSet::new());
            tasks.spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    // Who asked sees a broken connection.
                    let _: anyhow::Result<()> = answer(stream, &client, &work).await;
                }
            });
            let ending: Ending = Box::pin(async move { tasks.shutdown().await });
            Ok((address, ending))
        })
        .await
}

async fn answer(mut stream: TcpStream, client: &Client, work: &Work) -> anyhow::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < 16 << 10 {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head)?;
    let (body, shown) = match work {
        Work::Source(object) => (object.clone(), None),
        Work::Digest | Work::Trim => {
            let path = head.split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
            // The same name and path as it was asked for, and what the router wrote on it.
            let mut input = client.request(Method::GET, "fingerprint", path);
            for line in head.lines() {
                let (name, value) = line.split_once(": ").unwrap_or_default();
                if PASSED_ON.iter().any(|passed| name.eq_ignore_ascii_case(passed)) {
                    input = input.header(name, value);
                }
            }
            let input = input.send().await?.error_for_status()?;
            let shown = input.headers().get("flame-trace").and_then(|trace| Some(trace.to_str().ok()?.to_owned()));
            let input = input.bytes().await?;
            let output = match work {
                Work::Digest => hex::encode(Sha256::digest(&input)).into_bytes(),
                Work::Trim | Work::Source(_) => input[..input.len() / 2].to_vec(),
            };
            (output, shown)
        }
    };
    let shown = shown.map_or_else(String::new, |trace| format!("Flame-Trace: {trace}\r\n"));
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{shown}Connection: close\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), &body].concat()).await?;
    stream.shutdown().await?;
    Ok(())
}
