//! Scenario `path`: one name for three functions in a row, at two sites, beside a client that does the walking itself.
//!
//! The functions are small but real HTTP services in this process: `digest` asks for its input and answers its SHA-256,
//! `trim` asks for its input and keeps the first half, `source` has the object. None of them knows who comes next.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, ensure};
use flame_api::Client;
use flame_api::router::Registration;
use flame_router::Config;
use flame_router::config::PathConfig;
use flame_service_host::{HostConfig, Running};
use reqwest::Method;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::indirection::{free_addresses, ms};
use super::place::Place;
use super::stage::Stage;
use super::tour::{Bound, Broken, Tour, Verified};

/// Requests of each kind.
const REQUESTS: usize = 50;
/// Bytes of the object, from the clip's beginning.
const OBJECT_BYTES: usize = 256 << 10;
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
    edge: Running,
    cloud: Running,
    client: Client,
    functions: JoinSet<()>,
}

pub async fn perform(tour: &mut Tour, stage: &mut Stage, clip: &Path) -> Result<(), Broken> {
    let object = tour.step("object", super::beginning(clip, OBJECT_BYTES)).await?;
    let wanted = hex::encode(Sha256::digest(&object[..object.len() / 2]));
    let mut row = tour.step("sites", Row::start(stage, &object)).await?;
    let alone_ms = tour.step("off", walked_by_client(&row.client, &wanted)).await?;
    let path_ms = tour.step("on", walked_by_path(&row.client, &wanted)).await?;
    #[allow(clippy::cast_precision_loss, reason = "a count of bytes is printed")]
    for (name, bytes) in [("to_client_without", object.len()), ("to_client_with", wanted.len())] {
        tour.figure(name, bytes as f64, "B", None).await?;
    }
    tour.figure("answer_p50_without", alone_ms, "ms", None).await?;
    tour.figure("answer_p50_with", path_ms, "ms", Some(Bound::AtMost(100.0))).await?;
    tour.step("explained", explained(&row.client)).await?;
    tour.step("way", way(&row.client)).await?;
    row.edge.stop().await;
    row.cloud.stop().await;
    row.functions.shutdown().await;
    tour.close_with(format!("  {}", Place::loopback().links()));
    Ok(())
}

/// Without a path the client fetches the object and does the functions' work.
async fn walked_by_client(client: &Client, wanted: &str) -> anyhow::Result<Verified<f64>> {
    let mut took = Vec::new();
    for _ in 0..REQUESTS {
        let began = Instant::now();
        let input = client.request(Method::GET, "source", "object").send().await?.error_for_status()?.bytes().await?;
        let digest = hex::encode(Sha256::digest(&input[..input.len() / 2]));
        took.push(began.elapsed());
        ensure!(digest == wanted, "the object that came is another one");
    }
    took.sort_unstable();
    let p50_ms = ms(took[REQUESTS / 2]);
    Ok(Verified(p50_ms, format!("the client fetches everything and works itself: p50 {p50_ms:.2} ms")))
}

async fn walked_by_path(client: &Client, wanted: &str) -> anyhow::Result<Verified<f64>> {
    let mut took = Vec::new();
    for _ in 0..REQUESTS {
        let began = Instant::now();
        let answer = client.request(Method::GET, "fingerprint", "object").send().await?.error_for_status()?;
        let text = answer.text().await?;
        took.push(began.elapsed());
        ensure!(text == wanted, "the path answered {text}, not {wanted}");
    }
    took.sort_unstable();
    let p50_ms = ms(took[REQUESTS / 2]);
    Ok(Verified(p50_ms, format!("`fingerprint` is digest, trim and source in a row: p50 {p50_ms:.2} ms")))
}

async fn explained(client: &Client) -> anyhow::Result<Verified<()>> {
    let url = client.router().join("api/router/paths")?;
    let answer = reqwest::Client::builder().no_proxy().build()?.get(url).send().await?;
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
    async fn start(stage: &Stage, object: &[u8]) -> anyhow::Result<Verified<Self>> {
        let addresses = free_addresses()?;
        let file = stage.path("sites-path.toml");
        let [edge, cloud] = addresses;
        let text = format!(
            "version = 1\n\
             [[sites]]\nname = \"edge\"\nrouter = \"{edge}\"\n\
             [[sites]]\nname = \"cloud\"\nrouter = \"{cloud}\"\n\
             [[links]]\nbetween = [\"edge\", \"cloud\"]\nlatency_ms = 12\nbandwidth_mbps = 1000\n"
        );
        std::fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
        let functions = ["digest", "trim", "source"].map(str::to_owned).to_vec();
        let config = |site: &str, listen| Config {
            host: HostConfig { listen, ..HostConfig::default() },
            site: site.to_owned(),
            sites: Some(file.clone()),
            paths: vec![PathConfig { name: "fingerprint".to_owned(), functions: functions.clone() }],
            ..Config::default()
        };
        let edge = flame_router::start(config("edge", edge)).await?;
        let cloud = flame_router::start(config("cloud", cloud)).await?;
        let client = |router: &Running| anyhow::Ok(Client::new(format!("http://{}", router.address()).parse()?, None));
        let mut tasks = JoinSet::new();
        let works = [
            ("digest", &edge, Work::Digest),
            ("trim", &cloud, Work::Trim),
            ("source", &cloud, Work::Source(object.to_vec())),
        ];
        for (name, router, work) in works {
            let at = client(router)?;
            let address = serve(&mut tasks, at.clone(), work).await?;
            at.register(name, &format!("{name}-1"), &Registration::new(address, 1, 60_000)).await?;
        }
        let client = client(&edge)?;
        let began = Instant::now();
        while client.endpoints().await?.items.len() < 3 {
            ensure!(began.elapsed() < super::indirection::PATIENCE, "the edge's router does not hear the cloud's");
            tokio::time::sleep(super::indirection::POLL).await;
        }
        let detail = "digest at the edge, trim and source in the cloud".to_owned();
        Ok(Verified(Self { edge, cloud, client, functions: tasks }, detail))
    }
}

/// Runs a function behind the router that `client` asks.
async fn serve(tasks: &mut JoinSet<()>, client: Client, work: Work) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Who asked sees a broken connection.
            let _: anyhow::Result<()> = answer(stream, &client, &work).await;
        }
    });
    Ok(address)
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
