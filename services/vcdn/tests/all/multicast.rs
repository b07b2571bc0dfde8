//! Surrogates of four sites on a switch, each behind its site's router: what none of them has is fetched once at the origin, and comes to
//! all of them by multicast, also what only a viewer's own link opens. What the origin's link carried is read from its counter.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flame_router::config::MulticastConfig;
use flame_service_host::auth::AuthConfig;
use flame_service_host::config::Span;
use flame_service_host::keys::{self, Grant, Keyring};
use flame_service_host::{HostConfig, Scope};
use flame_test_kit::star::{self, PORT};
use flame_test_kit::{Network, Scratch, loud_skip};
use flame_vcdn::config::FrontConfig;
use futures_util::StreamExt;
use futures_util::future::join_all;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const EDGES: [&str; 4] = ["e1", "e2", "e3", "e4"];
/// Viewers at each site.
const VIEWERS: usize = 50;
const BODY_BYTES: usize = 4 << 20;
/// What a segment that is being made has in its first part, and in all.
const PART_BYTES: usize = 64 << 10;
const SEGMENT_BYTES: usize = 192 << 10;
const LINK_MBIT: u32 = 200;
/// Time that the origin takes before it answers.
const ANSWER: Duration = Duration::from_millis(50);
/// Copies on the origin's link that are promised, of most objects; and what none of them costs. All parts and two hundred viewers share
/// the cores of one machine: a site that gets none for a while repairs by unicast, which costs up to a copy of its own.
const COPIES_MAX: f64 = 1.15;
const COPIES_WORST: f64 = 2.5;
/// Objects that are measured: an odd number has a median.
const TRIES: usize = 5;
const PATIENCE: Duration = Duration::from_secs(60);
/// A language for each site: viewers of another country ask for the same media.
const LANGUAGES: [&str; 4] = ["de-AT,de;q=0.8", "en-GB,en;q=0.9", "fr", "cy-GB,cy;q=0.9,en;q=0.5"];

/// What the origin is asked, and how far it may answer what it holds back.
#[derive(Debug)]
struct Origin {
    /// Answers with a body, by target; refusals are none.
    answered: Mutex<BTreeMap<String, usize>>,
    stage: watch::Sender<u8>,
    keyring: Keyring,
}

/// A machine with its parts, which run in a thread and a runtime of their own until it is dropped.
struct Machine {
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

struct World {
    machines: Vec<Machine>,
    network: Arc<Network>,
    origin: Arc<Origin>,
    folder: Scratch,
    token: String,
}

// === impl Machine ===

impl Machine {
    /// Runs what `start` starts on `node`, and what it gives is dropped when the machine is.
    fn start<F, T>(network: &Arc<Network>, node: &'static str, start: F) -> Self
    where
        F: AsyncFnOnce() -> T + Send + 'static,
    {
        let (stop, network) = (CancellationToken::new(), Arc::clone(network));
        let stopped = stop.clone();
        let run = move || {
            runtime().block_on(async {
                let _parts = start().await;
                stopped.cancelled().await;
            });
        };
        let thread = std::thread::spawn(move || network.on(node, run));
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.stop.cancel();
        // What went wrong there has been said there.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

// === impl Origin ===

impl Origin {
    async fn answer(self: Arc<Self>, request: Request) -> Response {
        let target = request.uri().to_string();
        if target == "/ready" {
            return "ready".into_response();
        }
        let is_protected = !target.starts_with("/open/");
        if is_protected && !self.is_surrogate(request.headers()) {
            return (StatusCode::FORBIDDEN, [(header::CACHE_CONTROL, "no-store")]).into_response();
        }
        *self.answered.lock().unwrap().entry(target.clone()).or_default() += 1;
        // As streaming says it: to surrogates, and to nobody else.
        let control = if is_protected { "private, max-age=60" } else { "public, max-age=60" };
        let mut headers = HeaderMap::new();
        headers.insert(header::CACHE_CONTROL, control.parse().unwrap());
        if is_protected {
            headers.insert("cdn-cache-control", "public, max-age=60".parse().unwrap());
        }
        if !target.starts_with("/live/") {
            tokio::time::sleep(ANSWER).await;
            return (headers, bytes(BODY_BYTES)).into_response();
        }
        self.reaches(1).await;
        match target.as_str() {
            // A segment that is being made: nobody knows how long it will be.
            "/live/7.m4s" => {
                let all = bytes(SEGMENT_BYTES);
                let (first, rest) = (all.slice(..PART_BYTES), all.slice(PART_BYTES..));
                let rest = async move {
                    self.reaches(2).await;
                    Ok::<_, std::io::Error>(rest)
                };
                let pieces = futures_util::stream::iter([Ok(first)]).chain(futures_util::stream::once(rest));
                (headers, Body::from_stream(pieces)).into_response()
            }
            "/live/7.1.m4s" => (headers, bytes(PART_BYTES)).into_response(),
            _ => (headers, "#EXTM3U\n").into_response(),
        }
    }

    fn is_surrogate(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(header::AUTHORIZATION).and_then(|shown| shown.to_str().ok()?.strip_prefix("Bearer "));
        shown.is_some_and(|token| self.keyring.surrogate(token).is_some())
    }

    async fn reaches(&self, stage: u8) {
        self.stage.subscribe().wait_for(|now| *now >= stage).await.unwrap();
    }

    fn answered(&self, target: &str) -> usize {
        self.answered.lock().unwrap().get(target).copied().unwrap_or_default()
    }
}

/// The first so many octets of what everything here is made of.
fn bytes(length: usize) -> Bytes {
    static ALL: LazyLock<Bytes> =
        LazyLock::new(|| (0..BODY_BYTES).map(|at| ((at.wrapping_mul(2_654_435_761)) >> 13) as u8).collect());
    ALL.slice(..length)
}

// === impl World ===

impl World {
    async fn start() -> Self {
        let nodes: Vec<&str> = [star::ORIGIN].into_iter().chain(EDGES).collect();
        let (network, folder) = (Arc::new(Network::new(&nodes)), Scratch::new("vcdn-multicast"));
        let keys = folder.join("keys");
        keys::ensure(&keys).unwrap();
        let scope = Scope::ALL.map(Scope::as_str).join(" ");
        let grant = Grant { subject: "edge".into(), tenant: "default".into(), scope, life: Duration::from_secs(600) };
        let token = keys::issue(&keys, &grant).unwrap().0;
        let keyring = Keyring::open(&keys).unwrap();
        let origin = Arc::new(Origin { answered: Mutex::default(), stage: watch::Sender::new(0), keyring });
        let listener = network.on(star::ORIGIN, || TcpListener::bind((network.address(star::ORIGIN), 0)).unwrap());
        star::write_files(folder.path(), &network, &EDGES, LINK_MBIT, listener.local_addr().unwrap());
        let config = router(&network, folder.path(), star::ORIGIN, &token);
        let answers = Arc::clone(&origin);
        let mut machines = vec![Machine::start(&network, star::ORIGIN, async move || {
            listener.set_nonblocking(true).unwrap();
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let service = Router::new().fallback(move |request| Arc::clone(&answers).answer(request));
            let serves = tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
            (flame_router::start(config).await.unwrap(), serves)
        })];
        for node in EDGES {
            let router = router(&network, folder.path(), node, &token);
            let surrogate = surrogate(&network, folder.path(), node, &token);
            machines.push(Machine::start(&network, node, async move || {
                let router = flame_router::start(router).await.unwrap();
                (flame_vcdn::start(surrogate).await.unwrap(), router)
            }));
        }
        network.limit(star::ORIGIN, LINK_MBIT);
        let world = Self { machines, network, origin, folder, token };
        world.at_every_site(async |http, _| {
            flame_test_kit::eventually(PATIENCE, || async {
                let answer = http.get(url("/~cdn/ready")).send().await.map_err(|error| error.to_string())?;
                if answer.status() == StatusCode::OK { Ok(()) } else { Err(answer.status().to_string()) }
            })
            .await;
        });
        world
    }

    /// Does `work` at every site at once, and gives what came of it.
    fn at_every_site<T: Send>(&self, work: impl AsyncFn(reqwest::Client, usize) -> T + Sync) -> Vec<T> {
        std::thread::scope(|scope| {
            let works = EDGES.iter().enumerate().map(|(site, node)| {
                let work = &work;
                let there = move || {
                    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
                    let http = reqwest::Client::builder().no_proxy().build().unwrap();
                    runtime.block_on(work(http, site))
                };
                scope.spawn(move || self.network.on(node, there))
            });
            let works: Vec<_> = works.collect();
            works.into_iter().map(|work| work.join().unwrap()).collect()
        })
    }

    /// A viewer's link to `path`, with a token of his own.
    fn link(&self, site: usize, viewer: usize, path: &str) -> String {
        let claims = json!({
            "sub": format!("{site}-{viewer}"),
            "cdniuc": "regex:https://cdn\\.main/(film|live)/.*",
            "exp": keys::unix_seconds() + 600,
        });
        let token = keys::sign(&self.folder.join("keys"), &claims).unwrap();
        format!("/~cdn/;URISigningPackage={token}{path}")
    }

    /// All viewers of all sites ask for `path` at once by what `link` makes of it, each with fields that only he sends; the copies that
    /// the origin's link carried, and what the answers said of their way.
    fn deliver(&self, path: &str, link: impl Fn(usize, usize) -> String + Sync) -> (f64, Vec<String>) {
        let (before, body) = (self.network.sent_bytes(star::ORIGIN), bytes(BODY_BYTES));
        let ways = self.at_every_site(async |http, site| {
            let watched = (0..VIEWERS).map(|viewer| {
                let request = viewer_request(&http, (site, viewer), &link(site, viewer));
                watch_whole(request, &body)
            });
            join_all(watched).await
        });
        let copies = (self.network.sent_bytes(star::ORIGIN) - before) as f64 / BODY_BYTES as f64;
        assert_eq!(self.origin.answered(path), 1, "fetches of {path}");
        (copies, ways.into_iter().flatten().collect())
    }

    /// Delivers cold objects below `folder`, which keep the promise; what the answers to the last one said of their way.
    fn keeps_the_promise(&self, folder: &str, link: impl Fn(usize, usize, &str) -> String + Sync) -> Vec<String> {
        let (mut copies, mut ways) = ([0.0; TRIES], Vec::new());
        for (number, copies) in copies.iter_mut().enumerate() {
            let path = format!("{folder}{number}.m4s");
            (*copies, ways) = self.deliver(&path, |site, viewer| link(site, viewer, &path));
            println!("{path}: {copies:.3} copies");
        }
        copies.sort_by(f64::total_cmp);
        let (median, worst) = (copies[TRIES / 2], copies[TRIES - 1]);
        assert!(median <= COPIES_MAX && worst < COPIES_WORST, "{copies:?} copies of what {} sites want", EDGES.len());
        ways
    }

    /// Requests that the routers of the edges have open.
    async fn open(&self, http: &reqwest::Client) -> f64 {
        let answer = http.get(url("/metrics")).bearer_auth(&self.token).send().await.unwrap();
        let text = answer.text().await.unwrap();
        let lines = text.lines().filter(|line| line.starts_with("flame_http_requests_open"));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // All at once: each waits for what it has open.
        self.machines.iter().for_each(|machine| machine.stop.cancel());
    }
}

fn router(network: &Network, folder: &Path, node: &str, token: &str) -> flame_router::Config {
    let host = HostConfig {
        listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)),
        auth: AuthConfig { keys: Some(folder.join("keys")) },
        token: Some(token.to_owned()),
        ..HostConfig::default()
    };
    let multicast = MulticastConfig {
        enabled: true,
        interface: network.address(node),
        rate_mbps: LINK_MBIT * 97 / 100,
        ..MulticastConfig::default()
    };
    let mut config = flame_router::Config {
        host,
        site: node.to_owned(),
        sites: Some(folder.join("sites.toml")),
        static_entries: Some(folder.join("entries.toml")),
        multicast,
        ..flame_router::Config::default()
    };
    config.upstream.connect_timeout = Span(Duration::from_secs(5));
    config
}

fn surrogate(network: &Network, folder: &Path, node: &str, token: &str) -> flame_vcdn::Config {
    let listen = SocketAddr::from((network.address(node), 0));
    let host = HostConfig {
        listen,
        router: Some(url("").parse().unwrap()),
        auth: AuthConfig { keys: Some(folder.join("keys")) },
        token: Some(token.to_owned()),
        drain: Span(Duration::from_secs(2)),
        ..HostConfig::default()
    };
    let mut front = FrontConfig::new("cdn", "media").with_tokens(folder.join("keys/jwks.json"));
    front.tokens.as_mut().unwrap().paths = vec!["/film/".to_owned(), "/live/".to_owned()];
    front.listen = listen;
    let mut config = flame_vcdn::Config { host, fronts: vec![front], ..flame_vcdn::Config::default() };
    config.cache.alone_after = Span(Duration::ZERO);
    config
}

/// Where a path is at the router of whoever asks.
fn url(path: &str) -> String {
    format!("http://127.0.0.1:{PORT}{path}")
}

/// What a viewer sends: of himself, much that no other does.
fn viewer_request(http: &reqwest::Client, (site, viewer): (usize, usize), link: &str) -> reqwest::RequestBuilder {
    let language = LANGUAGES[(site + viewer) % LANGUAGES.len()];
    let request = http.get(url(link)).query(&[("CMCD", format!("sid=\"{site}-{viewer}\""))]);
    let request = request.header(header::COOKIE, format!("viewer={site}-{viewer}"));
    request.header(header::ACCEPT_LANGUAGE, language).header(header::USER_AGENT, format!("player {viewer}"))
}

/// Reads an answer as it comes and compares it; what it says of its way.
async fn watch_whole(request: reqwest::RequestBuilder, body: &[u8]) -> String {
    let (mut answer, mut at) = (request.send().await.unwrap(), 0);
    assert_eq!(answer.status(), StatusCode::OK, "{:?}", answer.headers());
    let ways = answer.headers().get_all("cache-status").iter().map(|way| way.to_str().unwrap());
    let way = ways.collect::<Vec<_>>().join(", ");
    while let Some(piece) = answer.chunk().await.unwrap() {
        assert!(body.get(at..at + piece.len()) == Some(&piece[..]), "a body differs after {at} octets");
        at += piece.len();
    }
    assert_eq!(at, body.len());
    way
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_surrogate_of_four_sites_has_costs_the_origin_one_fetch_and_its_link_one_copy() {
    if let Some(reason) = Network::missing() {
        return loud_skip(&format!("no network of namespaces: {reason}"));
    }
    let world = World::start().await;
    tokio::task::block_in_place(|| {
        let ways = world.keeps_the_promise("/open/", |_, _, path| format!("/~cdn{path}"));
        for way in &ways {
            let shared = ["router-origin; fwd=miss; detail=multicast, router-e", "detail=multicast, vcdn-"];
            assert!(shared.iter().all(|words| way.contains(words)), "{way}");
        }
        let asked = ways.iter().filter(|way| !way.contains("; collapsed") && !way.contains("; hit")).count();
        assert!(asked <= EDGES.len(), "{asked} of {} asked, where one of each site is enough", ways.len());
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_of_four_sites_with_a_link_of_their_own_each_cost_the_origin_s_link_one_copy() {
    if let Some(reason) = Network::missing() {
        return loud_skip(&format!("no network of namespaces: {reason}"));
    }
    let world = World::start().await;
    tokio::task::block_in_place(|| {
        world.keeps_the_promise("/film/", |site, viewer, path| world.link(site, viewer, path));
        // Who has no link, or shows another credential, gets nothing of it.
        let refused = world.at_every_site(async |http, _| {
            let plain = http.get(url("/~cdn/film/0.m4s")).send().await.unwrap().status();
            let at_origin = http.get(url("/~media/film/0.m4s")).send().await.unwrap().status();
            let forged = http.get(url("/~media/film/0.m4s")).bearer_auth("x.y.z").send().await.unwrap().status();
            [plain, at_origin, forged]
        });
        assert!(refused.iter().flatten().all(|status| *status == StatusCode::FORBIDDEN), "{refused:?}");
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_live_part_reaches_four_edges_from_one_fetch_as_do_reloads_and_a_segment_that_is_being_made() {
    if let Some(reason) = Network::missing() {
        return loud_skip(&format!("no network of namespaces: {reason}"));
    }
    let world = World::start().await;
    let paths = ["/live/index.m3u8?_HLS_msn=7&_HLS_part=1", "/live/7.1.m4s", "/live/7.m4s"];
    let bodies = [Bytes::from("#EXTM3U\n"), bytes(PART_BYTES), bytes(SEGMENT_BYTES)];
    let (viewers, waiting, begun) = (10, AtomicUsize::new(0), AtomicUsize::new(0));
    let before = world.network.sent_bytes(star::ORIGIN);
    tokio::task::block_in_place(|| {
        world.at_every_site(async |http, site| {
            let asked = (0..viewers * paths.len()).map(|at| {
                let (viewer, which) = (at / paths.len(), at % paths.len());
                let link = world.link(site, viewer, paths[which]);
                let (request, body) = (viewer_request(&http, (site, viewer), &link), &bodies[which]);
                let begun = &begun;
                async move {
                    let (mut answer, mut got) = (request.send().await.unwrap(), Vec::new());
                    assert_eq!(answer.status(), StatusCode::OK, "{}", paths[which]);
                    while let Some(piece) = answer.chunk().await.unwrap() {
                        let before = got.len();
                        got.extend_from_slice(&piece);
                        // All that is there of the segment comes before the rest is made.
                        if which == 2 && (before < PART_BYTES && got.len() >= PART_BYTES) {
                            begun.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                    assert!(got == *body, "{} octets of {}", got.len(), paths[which]);
                }
            });
            let stages = async {
                // What a surrogate asks its router for is open there, too, and so is the question how many are.
                let all = (paths.len() * (viewers + 1) + 1) as f64;
                flame_test_kit::eventually(PATIENCE, || async {
                    let open = world.open(&http).await;
                    if open >= all { Ok(()) } else { Err(format!("{open} of {all} open")) }
                })
                .await;
                waiting.fetch_add(1, Ordering::SeqCst);
                flame_test_kit::eventually(PATIENCE, || async {
                    let sites = waiting.load(Ordering::SeqCst);
                    if sites == EDGES.len() { Ok(()) } else { Err(format!("the viewers of {sites} sites wait")) }
                })
                .await;
                world.origin.stage.send_if_modified(|stage| {
                    let is_first = *stage == 0;
                    *stage = (*stage).max(1);
                    is_first
                });
                flame_test_kit::eventually(PATIENCE, || async {
                    let begun = begun.load(Ordering::SeqCst);
                    if begun == viewers * EDGES.len() { Ok(()) } else { Err(format!("{begun} have begun")) }
                })
                .await;
                world.origin.stage.send_replace(2);
            };
            tokio::join!(join_all(asked), stages);
        });
    });
    for path in paths {
        assert_eq!(world.origin.answered(path), 1, "fetches of {path}");
    }
    let wanted: usize = bodies.iter().map(Bytes::len).sum();
    let copies = (world.network.sent_bytes(star::ORIGIN) - before) as f64 / wanted as f64;
    println!(
        "a reload, a part and a segment under way, {viewers} viewers at each of {} sites: one fetch each, {copies:.2} copies",
        EDGES.len()
    );
}
