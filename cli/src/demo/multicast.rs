//! Scenario `multicast`: many clients at several sites want the same cold object at once, with multicast between routers
//! and without it; of the routers, and of a surrogate at each site.
//!
//! Each site has a router and a surrogate; the object has one endpoint, at the origin. On loopback its copies are what the origin's router
//! counts (every symbol to the group, and what went by unicast); on real links they are what its link's counter says.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use flame_api::Client;
use flame_router::Config;
use flame_service_host::HostConfig;
use flame_service_host::config::Span;
use flame_vcdn::config::FrontConfig;
use futures_util::future::try_join_all;
use reqwest::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::indirection::{PATIENCE, POLL, ms};
use super::place::{Credentials, Ending, LINK_MBIT, Part, Place};
use super::stage::Stage;
use super::tour::{Bound, Broken, Tour, Verified};

/// The origin, and the sites whose clients ask.
pub const MACHINES: [&str; 5] = ["origin", "e1", "e2", "e3", "e4"];
/// Clients at each site.
const CLIENTS: usize = 10;
/// Bytes of the object, from the clip's beginning.
const OBJECT_BYTES: usize = 2 << 20;
/// How long the endpoint takes before it answers, as one that reads a disk or computes does.
const ANSWER: Duration = Duration::from_millis(50);
/// What a symbol costs a link: its octets and its headers.
const SYMBOL_COST_BYTES: f64 = 1500.0 + 14.0;
/// How long counting goes on after the last client: an answer stays open for late routers.
const COUNTED: Duration = Duration::from_secs(10);

/// The only endpoint that has the object.
struct Endpoint {
    part: Part,
    asked: Arc<AtomicU64>,
}

/// What clients ask for: the name, and a path below it.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    name: &'static str,
    path: &'static str,
    /// What its figures are called, without multicast and with it.
    fetches: [&'static str; 2],
    copies: [&'static str; 2],
    group: &'static str,
    first_byte: [&'static str; 2],
    last_client: [&'static str; 2],
}

/// Of the routers, which keep nothing.
const OF_ROUTERS: Wanted = Wanted {
    name: "media",
    path: "object",
    fetches: ["origin_fetches_without", "origin_fetches_with"],
    copies: ["origin_copies_without", "origin_copies_with"],
    group: "group_size",
    first_byte: ["first_byte_p50_without", "first_byte_p50_with"],
    last_client: ["last_client_without", "last_client_with"],
};
/// Of the surrogates, each at its site.
const OF_SURROGATES: Wanted = Wanted {
    name: "cdn",
    path: "film",
    fetches: ["surrogates_fetches_without", "surrogates_fetches_with"],
    copies: ["surrogates_copies_without", "surrogates_copies_with"],
    group: "surrogates_group_size",
    first_byte: ["surrogates_first_byte_p50_without", "surrogates_first_byte_p50_with"],
    last_client: ["surrogates_last_client_without", "surrogates_last_client_with"],
};

/// A router at each site, and a surrogate at each but the origin's.
struct Sites {
    routers: Vec<Part>,
    surrogates: Vec<Part>,
    token: Option<String>,
    multicast: bool,
}

/// What all clients of a delivery lived through.
struct Delivered {
    fetches: f64,
    copies: f64,
    group: f64,
    first_p50_ms: f64,
    last_ms: f64,
}

pub async fn perform(tour: &mut Tour, stage: &mut Stage, clip: &Path, place: &Place) -> Result<(), Broken> {
    let object = tour.step("object", super::beginning(clip, OBJECT_BYTES)).await?;
    let object: Arc<[u8]> = object.into();
    let endpoint = tour.step("endpoint", Endpoint::start(place, &object)).await?;
    let off = tour.step("sites, off", Sites::start(place, stage, &endpoint, false)).await?;
    let on = tour.step("sites, on", Sites::start(place, stage, &endpoint, true)).await?;

    for (wanted, steps) in [(OF_ROUTERS, ["off", "on"]), (OF_SURROGATES, ["surrogates, off", "surrogates, on"])] {
        let plain = tour.step(steps[0], deliver(place, &off, &endpoint, &object, wanted)).await?;
        let shared = tour.step(steps[1], deliver(place, &on, &endpoint, &object, wanted)).await?;
        let [without, with] = wanted.fetches;
        tour.figure(without, plain.fetches, "fetches", None).await?;
        tour.figure(with, shared.fetches, "fetches", Some(Bound::AtMost(1.0))).await?;
        let [without, with] = wanted.copies;
        tour.figure(without, plain.copies, "copies", None).await?;
        // Routers that only waited for each other's answer at their own site would still need one copy each.
        let one_a_site = Some(Bound::AtMost((MACHINES.len() - 1) as f64 - 1.0));
        tour.figure(with, shared.copies, "copies", one_a_site).await?;
        tour.figure(wanted.group, shared.group, "routers", Some(Bound::AtLeast(2.0))).await?;
        for (names, values) in [
            (wanted.first_byte, [plain.first_p50_ms, shared.first_p50_ms]),
            (wanted.last_client, [plain.last_ms, shared.last_ms]),
        ] {
            for (name, value) in names.into_iter().zip(values) {
                tour.figure(name, value, "ms", None).await?;
            }
        }
    }
    for sites in [off, on] {
        for part in sites.surrogates.into_iter().chain(sites.routers) {
            part.stop().await;
        }
    }
    endpoint.part.stop().await;
    tour.close_with(format!("  {}", place.links()));
    Ok(())
}

/// All clients of all sites ask for what is `wanted` at once.
async fn deliver(
    place: &Place,
    sites: &Sites,
    endpoint: &Endpoint,
    object: &Arc<[u8]>,
    wanted: Wanted,
) -> anyhow::Result<Verified<Delivered>> {
    let sent_bytes = || place.network().map(|network| network.sent_bytes(MACHINES[0])).transpose();
    let counts = |since: Option<Counted>| {
        let (origin, token) = (sites.routers[0].address, sites.token.clone());
        place.at(MACHINES[0], move || async move { counted(origin, token, since).await })
    };
    let before = if sites.multicast { counts(None).await?? } else { Counted::default() };
    let (asked, sent) = (endpoint.asked.load(Ordering::SeqCst), sent_bytes()?);
    let began = Instant::now();
    let edges = MACHINES.iter().zip(&sites.routers).skip(1).map(|(machine, router)| {
        let (address, object) = (router.address, Arc::clone(object));
        place.at(
            machine,
            move || async move { try_join_all((0..CLIENTS).map(|_| fetch(address, wanted, &object))).await },
        )
    });
    let seen = try_join_all(edges).await?.into_iter().collect::<anyhow::Result<Vec<_>>>()?.concat();
    let mut firsts: Vec<Duration> = seen.iter().map(|(first, _)| first.duration_since(began)).collect();
    firsts.sort_unstable();
    let last_ms = seen.iter().map(|(_, last)| ms(last.duration_since(began))).fold(0.0, f64::max);
    let fetches = (endpoint.asked.load(Ordering::SeqCst) - asked) as f64;
    let now_sent = sent_bytes()?;
    let counted = if sites.multicast { counts(Some(before)).await?? } else { Counted::default() };
    let copies = match (sent, now_sent) {
        (Some(before), Some(after)) => (after - before) as f64 / object.len() as f64,
        _ if sites.multicast => counted.bytes / object.len() as f64,
        _ => fetches,
    };
    let delivered =
        Delivered { fetches, copies, group: counted.group, first_p50_ms: ms(firsts[firsts.len() / 2]), last_ms };
    let detail = format!(
        "{} clients at {} sites: all bodies right, {fetches} fetches, {copies:.2} copies from the origin, last client after {last_ms:.0} ms",
        seen.len(),
        MACHINES.len() - 1,
    );
    Ok(Verified(delivered, detail))
}

/// One client: when its first byte came, and its last.
async fn fetch(router: SocketAddr, wanted: Wanted, object: &[u8]) -> anyhow::Result<(Instant, Instant)> {
    // No token: what somebody alone may see is shared with nobody.
    let client = Client::new(format!("http://{router}").parse()?, None);
    let mut answer = client.request(Method::GET, wanted.name, wanted.path).send().await?;
    ensure!(answer.status() == StatusCode::OK, "a client got {}", answer.status());
    let (mut first, mut at) = (None, 0);
    while let Some(chunk) = answer.chunk().await? {
        first.get_or_insert_with(Instant::now);
        ensure!(object.get(at..at + chunk.len()) == Some(&chunk[..]), "a body differs after {at} bytes");
        at += chunk.len();
    }
    ensure!(at == object.len(), "a body ends after {at} of {} bytes", object.len());
    Ok((first.unwrap_or_else(Instant::now), Instant::now()))
}

/// What the origin's router counted of its transfer.
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    group: f64,
    bytes: f64,
}

/// Since `before`, once there is something; all that there is now where that is nothing.
async fn counted(origin: SocketAddr, token: Option<String>, before: Option<Counted>) -> anyhow::Result<Counted> {
    let (http, began) = (reqwest::Client::builder().no_proxy().build()?, Instant::now());
    loop {
        let mut request = http.get(format!("http://{origin}/metrics"));
        if let Some(token) = &token {
            request = request.bearer_auth(token);
        }
        let text = request.send().await?.error_for_status()?.text().await?;
        let value = |name: &str| -> f64 {
            let lines = text.lines().filter(|line| line.starts_with(&format!("flame_multicast_{name}")));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
        };
        let bytes = value("symbols_total").mul_add(SYMBOL_COST_BYTES, value("unicast_bytes_total"));
        let now = Counted { group: value("group_size_sum"), bytes };
        let Some(before) = before else { return Ok(now) };
        if now.group > before.group {
            return Ok(Counted { group: now.group - before.group, bytes: now.bytes - before.bytes });
        }
        ensure!(began.elapsed() < COUNTED, "the origin's router counted no transfer: nothing was multicast");
        tokio::time::sleep(POLL).await;
    }
}

// === impl Endpoint ===

impl Endpoint {
    async fn start(place: &Place, object: &Arc<[u8]>) -> anyhow::Result<Verified<Self>> {
        let asked = Arc::new(AtomicU64::new(0));
        let (ip, object, counter) = (place.ip(MACHINES[0])?, Arc::clone(object), Arc::clone(&asked));
        let part = place.start(MACHINES[0], move || async move {
            let listener = TcpListener::bind((ip, 0)).await?;
            let (address, mut connections) = (listener.local_addr()?, JoinSet::new());
            connections.spawn(serve(listener, object, counter));
            let ending: Ending = Box::pin(async move { connections.shutdown().await });
            Ok((address, ending))
        });
        let part = part.await?;
        let detail = format!("at the origin, answers after {} ms; {}", ANSWER.as_millis(), place.links());
        Ok(Verified(Self { part, asked }, detail))
    }
}

async fn serve(listener: TcpListener, object: Arc<[u8]>, asked: Arc<AtomicU64>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (object, asked) = (Arc::clone(&object), Arc::clone(&asked));
        connections.spawn(async move {
            // A router that goes away needs no answer.
            let _: std::io::Result<()> = answer(stream, &object, &asked).await;
        });
    }
}

async fn answer(mut stream: TcpStream, object: &[u8], asked: &AtomicU64) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < 16 << 10 {
        head.push(stream.read_u8().await?);
    }
    // Its router asks whether it is there.
    let is_probe = head.starts_with(b"HEAD ");
    if !is_probe {
        asked.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(ANSWER).await;
    }
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nCache-Control: public, max-age=60\r\nConnection: close\r\n\r\n",
        object.len()
    );
    stream.write_all(head.as_bytes()).await?;
    if !is_probe {
        stream.write_all(object).await?;
    }
    stream.shutdown().await
}

// === impl Sites ===

impl Sites {
    async fn start(
        place: &Place,
        stage: &Stage,
        endpoint: &Endpoint,
        multicast: bool,
    ) -> anyhow::Result<Verified<Self>> {
        let (addresses, word) = (place.addresses(MACHINES)?, if multicast { "on" } else { "off" });
        let (sites, entries) = (stage.path(&format!("sites-{word}.toml")), stage.path(&format!("entries-{word}.toml")));
        let site = |(name, address)| format!("[[sites]]\nname = \"{name}\"\nrouter = \"{address}\"\n");
        let link = |name| {
            let origin = MACHINES[0];
            format!("[[links]]\nbetween = [\"{origin}\", \"{name}\"]\nlatency_ms = 1\nbandwidth_mbps = {LINK_MBIT}\n")
        };
        let described: String =
            MACHINES.iter().zip(addresses).map(site).chain(MACHINES[1..].iter().map(link)).collect();
        std::fs::write(&sites, format!("version = 1\n{described}"))
            .with_context(|| format!("write {}", sites.display()))?;
        let (name, address) = (MACHINES[0], endpoint.part.address);
        let entry =
            format!("[[entries]]\nname = \"media\"\nendpoint = \"one\"\naddress = \"{address}\"\nsite = \"{name}\"\n");
        std::fs::write(&entries, entry).with_context(|| format!("write {}", entries.display()))?;
        let credentials = place.credentials(&stage.path(word))?;
        let mut routers = Vec::new();
        for (machine, address) in MACHINES.into_iter().zip(addresses) {
            let mut config = Config {
                host: credentials.host(address),
                site: machine.to_owned(),
                sites: Some(sites.clone()),
                static_entries: Some(entries.clone()),
                ..Config::default()
            };
            config.multicast.enabled = multicast;
            if let IpAddr::V4(interface) = place.ip(machine)? {
                config.multicast.interface = interface;
            }
            config.multicast.rate_mbps = LINK_MBIT * 95 / 100;
            // All clients connect at the same moment.
            config.upstream.connect_timeout = Span(PATIENCE);
            routers.push(place.router(machine, config).await?);
        }
        let mut surrogates = Vec::new();
        for (machine, router) in MACHINES.iter().zip(&routers).skip(1) {
            surrogates.push(surrogate(place, machine, router.address, &credentials).await?);
        }
        let sites = Self { routers, surrogates, token: credentials.token.clone(), multicast };
        for ((machine, router), surrogate) in MACHINES.iter().zip(&sites.routers).skip(1).zip(&sites.surrogates) {
            let (address, credentials, known) =
                (router.address, credentials.clone(), [endpoint.part.address, surrogate.address]);
            place.at(machine, move || async move { knows(address, &credentials, known).await }).await??;
        }
        let detail =
            format!("{} routers, {CLIENTS} clients and a surrogate at each edge, multicast {word}", MACHINES.len());
        Ok(Verified(sites, detail))
    }
}

/// The surrogate of a site, which asks by its router; its address is that of the name that it serves.
async fn surrogate(
    place: &Place,
    machine: &str,
    router: SocketAddr,
    credentials: &Credentials,
) -> anyhow::Result<Part> {
    let listen = SocketAddr::new(place.ip(machine)?, 0);
    let mut front = FrontConfig::new(OF_SURROGATES.name, OF_ROUTERS.name);
    front.listen = listen;
    let host = HostConfig { router: Some(format!("http://{router}").parse()?), ..credentials.host(listen) };
    let config = flame_vcdn::Config { host, fronts: vec![front], ..flame_vcdn::Config::default() };
    let begin = move || async move {
        let running = flame_vcdn::start(config).await?;
        let address = running.fronts().values().next().copied().context("the surrogate serves a name")?;
        let ending: Ending = Box::pin(running.stop());
        Ok((address, ending))
    };
    place.start(machine, begin).await
}

/// Waits until a site's router knows the endpoints at these addresses.
async fn knows(router: SocketAddr, credentials: &Credentials, addresses: [SocketAddr; 2]) -> anyhow::Result<()> {
    let client = Client::new(format!("http://{router}").parse()?, credentials.token.clone());
    let began = Instant::now();
    loop {
        let known = client.endpoints().await?.items;
        if addresses.iter().all(|address| known.iter().any(|one| one.address == *address)) {
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "a site's router does not hear the origin's, or its own surrogate");
        tokio::time::sleep(POLL).await;
    }
}
