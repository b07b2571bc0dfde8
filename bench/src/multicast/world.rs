//! Nine sites on a switch (network namespaces): a router process at each, an endpoint at the origin, clients at the edges.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use axum::Router;
use axum::http::header;
use axum::routing::get;
use flame_service_host::keys::{self, Grant};
use flame_test_kit::star::PORT;
use flame_test_kit::{Network, star};
use tokio::process::Command;
use tokio::task::JoinSet;

use super::{BODY_BYTES, EDGES, LINK_MBIT, RATE_PERCENT};
use crate::machine;
use crate::process::Server;

/// Time that the endpoint takes before it answers: who asks meanwhile asks for the same.
const ANSWER: Duration = Duration::from_millis(50);
/// More than any answer takes.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time until all routers know each other.
const READY_DEADLINE: Duration = Duration::from_secs(30);

/// The network, the routers and the endpoint.
pub(super) struct World {
    pub network: Network,
    routers: Vec<Server>,
    answers: Answers,
    body: Arc<[u8]>,
    _endpoint: JoinSet<()>,
}

/// When the endpoint answered, since it was last looked.
type Answers = Arc<Mutex<Vec<Instant>>>;

/// What one delivery took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delivery {
    /// Octets on the origin's link over those of the body.
    pub copies: f64,
    /// From the endpoint's answer until the last client had its first byte.
    pub first: Duration,
    /// From the endpoint's answer until the last client had all.
    pub all: Duration,
    /// How often the endpoint was asked.
    pub fetches: usize,
}

// === impl World ===

impl World {
    pub(super) async fn start(folder: &Path) -> Result<Self> {
        let nodes: Vec<&str> = ["origin"].into_iter().chain(EDGES).collect();
        let network = Network::new(&nodes);
        let listener = network.on("origin", || TcpListener::bind((network.address("origin"), 0)))?;
        let address = listener.local_addr()?;
        let (answers, body) = (Answers::default(), Arc::from(body()));
        let mut endpoint = JoinSet::new();
        endpoint.spawn(serve(listener, Arc::clone(&answers), Arc::clone(&body))?);
        star::write_files(folder, &network, &EDGES, LINK_MBIT, address);
        let grant = Grant {
            subject: "router".into(),
            tenant: "default".into(),
            scope: "service".into(),
            life: Duration::from_secs(3600),
        };
        keys::ensure(&folder.join("keys"))?;
        let token = keys::issue(&folder.join("keys"), &grant)?.0;
        let mut routers = Vec::new();
        for node in &nodes {
            routers.push(router(&network, folder, node, &token)?);
        }
        network.limit("origin", LINK_MBIT);
        let world = Self { network, routers, answers, body, _endpoint: endpoint };
        let began = Instant::now();
        for edge in EDGES {
            while world.network.on(edge, || ask("/~media/ready").is_err()) {
                ensure!(began.elapsed() < READY_DEADLINE, "the router of {edge} finds no endpoint");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(world)
    }

    /// One client at each of `edges` asks for the object `name` at once. `is_own` makes their requests such as nobody else
    /// may share.
    pub(super) fn deliver(&self, name: &str, edges: &[&str], is_own: bool) -> Result<Delivery> {
        let path = format!("/~media/object/{name}");
        let connected = edges.iter().map(|edge| self.network.on(edge, connect)).collect::<std::io::Result<Vec<_>>>()?;
        let before = self.network.sent_bytes("origin");
        self.answers().clear();
        let seen = std::thread::scope(|scope| {
            let reads = connected.into_iter().map(|client| scope.spawn(|| read(client, &path, is_own, &self.body)));
            let reads: Vec<_> = reads.collect();
            reads.into_iter().map(|read| read.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        });
        let seen: Vec<(Instant, Instant)> = seen_all(seen)?;
        let (firsts, lasts): (Vec<_>, Vec<_>) = seen.into_iter().unzip();
        let answers = self.answers();
        let answered = *answers.first().context("the endpoint was asked")?;
        let since = |all: Vec<Instant>| all.into_iter().max().unwrap_or(answered).saturating_duration_since(answered);
        Ok(Delivery {
            copies: (self.network.sent_bytes("origin") - before) as f64 / BODY_BYTES as f64,
            first: since(firsts),
            all: since(lasts),
            fetches: answers.len(),
        })
    }

    pub(super) async fn stop(self) -> Result<()> {
        for router in self.routers {
            router.stop().await?;
        }
        Ok(())
    }

    fn answers(&self) -> std::sync::MutexGuard<'_, Vec<Instant>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn seen_all(seen: Vec<Result<(Instant, Instant)>>) -> Result<Vec<(Instant, Instant)>> {
    seen.into_iter().collect()
}

fn router(network: &Network, folder: &Path, node: &str, token: &str) -> Result<Server> {
    let rate_mbps = LINK_MBIT * RATE_PERCENT / 100;
    let mut command =
        Command::from(star::router(network, folder, node, machine::ours("flame-router")?, token, rate_mbps));
    command.env("FLAME_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Server::start("flame-router", &mut command)
}

fn serve(
    listener: TcpListener,
    answers: Answers,
    body: Arc<[u8]>,
) -> Result<impl Future<Output = ()> + Send + 'static> {
    let answer = move || {
        let (answers, body) = (Arc::clone(&answers), bytes::Bytes::from_owner(Arc::clone(&body)));
        async move {
            tokio::time::sleep(ANSWER).await;
            answers.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
            ([(header::CACHE_CONTROL, "public, max-age=60")], body)
        }
    };
    let service = Router::new().route("/ready", get(|| async { "ready" })).route("/object/{name}", get(answer));
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    // It ends when it is dropped, and not before.
    Ok(async move { drop(axum::serve(listener, service).await) })
}

/// Octets that repeat nowhere soon.
fn body() -> Vec<u8> {
    (0..BODY_BYTES).map(|at: u64| (at.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect()
}

fn connect() -> std::io::Result<TcpStream> {
    let client = TcpStream::connect((Ipv4Addr::LOCALHOST, PORT))?;
    client.set_read_timeout(Some(PATIENCE))?;
    Ok(client)
}

fn ask(path: &str) -> Result<()> {
    let mut client = connect()?;
    write!(client, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    client.read_to_end(&mut answer)?;
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "the answer is {}", String::from_utf8_lossy(&answer));
    Ok(())
}

/// Reads an answer, and compares it as it comes; when its first and its last byte were there.
fn read(mut client: TcpStream, path: &str, is_own: bool, body: &[u8]) -> Result<(Instant, Instant)> {
    let own = if is_own { "Cookie: mine=1\r\n" } else { "" };
    write!(client, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{own}\r\n")?;
    let mut head = Vec::new();
    let mut octet = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut octet)?;
        head.push(octet[0]);
    }
    ensure!(head.starts_with(b"HTTP/1.1 200"), "the answer is {}", String::from_utf8_lossy(&head));
    let (mut buffer, mut at, mut first) = (vec![0; 64 << 10], 0, None);
    while at < body.len() {
        let length = client.read(&mut buffer)?;
        if length == 0 {
            bail!("a body broke off after {at} octets");
        }
        first.get_or_insert_with(Instant::now);
        ensure!(body.get(at..at + length) == Some(&buffer[..length]), "a body differs after {at} octets");
        at += length;
    }
    let last = Instant::now();
    Ok((first.unwrap_or(last), last))
}
