//! A surrogate under the very name of its origin, at another site and at the same: viewers ask for one name, and get the nearest
//! that serves it, which asks the origin by the name with its site.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use flame_api::Client;
use flame_api::router::Registration;
use flame_api::vcdn::Purged;
use flame_service_host::config::Span;
use flame_service_host::{HostConfig, Running};
use flame_test_kit::{Scratch, eventually, ports};
use flame_vcdn::config::FrontConfig;
use rustix::process::{Signal, getpid, kill_process};
use serde_json::json;
use tokio::task::JoinSet;

use crate::origin::{Noted, Origin, Reply};
use crate::world::{PATIENCE, bytes};

/// Two sites with a router each, and an origin at the first.
struct Sites {
    origin: Origin,
    cloud: Running,
    edge: Running,
    http: reqwest::Client,
    _folder: Scratch,
}

// === impl Sites ===

impl Sites {
    async fn start() -> Self {
        let folder = Scratch::new("vcdn-own-name");
        let [cloud, edge] = site_file(&folder);
        let (cloud, edge) = (router(&folder, "cloud", cloud).await, router(&folder, "edge", edge).await);
        let (origin, http) = (Origin::start().await, reqwest::Client::new());
        let sites = Self { origin, cloud, edge, http, _folder: folder };
        let registration = Registration::new(sites.origin.address, 1, 60_000);
        client(&sites.cloud).register("film", "origin", &registration).await.unwrap();
        sites.knows(&sites.edge, 1).await;
        sites
    }

    /// Waits until the router has `count` endpoints behind `film`.
    async fn knows(&self, router: &Running, count: usize) {
        eventually(PATIENCE, || async {
            let listed = client(router).endpoints().await.map_err(|error| error.to_string())?.items;
            let known = listed.iter().filter(|endpoint| endpoint.name == "film.main").count();
            if known == count { Ok(()) } else { Err(format!("{known} of {count}")) }
        })
        .await;
    }

    /// The status, what the surrogates say of it, and the body of `path` by a router.
    async fn get(&self, router: &Running, path: &str) -> (u16, String, Vec<u8>) {
        let answer = self.http.get(format!("http://{}/~film{path}", router.address())).send().await.unwrap();
        let ways = answer.headers().get_all("cache-status").iter().map(|way| way.to_str().unwrap().to_owned());
        let ways = ways.collect::<Vec<_>>().join(", ");
        (answer.status().as_u16(), ways, answer.bytes().await.unwrap().to_vec())
    }
}

/// Writes the site file: two sites, and where their routers are to be.
fn site_file(folder: &Scratch) -> [u16; 2] {
    let [cloud, edge] = ports::free_tcp::<2>();
    let text = format!(
        "version = 1\n[[sites]]\nname = \"cloud\"\nrouter = \"127.0.0.1:{cloud}\"\n[[sites]]\nname = \"edge\"\nrouter = \"127.0.0.1:{edge}\"\n\
         [[links]]\nbetween = [\"cloud\", \"edge\"]\nlatency_ms = 10\nbandwidth_mbps = 100\n"
    );
    std::fs::write(folder.join("sites.toml"), text).unwrap();
    [cloud, edge]
}

async fn router(folder: &Scratch, site: &str, port: u16) -> Running {
    let listen = SocketAddr::from(([127, 0, 0, 1], port));
    let (host, sites) = (HostConfig { listen, ..HostConfig::default() }, Some(folder.join("sites.toml")));
    let config = flame_router::Config { host, site: site.to_owned(), sites, ..flame_router::Config::default() };
    flame_router::start(config).await.unwrap()
}

/// A surrogate of `film` behind one of the routers.
async fn surrogate(at: &Running) -> flame_vcdn::Running {
    let router = Some(format!("http://{}", at.address()).parse().unwrap());
    let host = HostConfig { router, drain: Span(Duration::from_secs(2)), ..HostConfig::default() };
    let fronts = vec![FrontConfig::new("film", "cloud--film")];
    let mut config = flame_vcdn::Config { host, fronts, ..flame_vcdn::Config::default() };
    config.cache.alone_after = Span(Duration::ZERO);
    flame_vcdn::start(config).await.unwrap()
}

fn client(router: &Running) -> Client {
    Client::new(format!("http://{}", router.address()).parse().unwrap(), None)
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_get_the_surrogate_of_their_site_and_the_origin_when_it_is_gone() {
    let sites = Arc::new(Sites::start().await);
    let body = bytes(100_000);
    sites.origin.put("/a/1", Reply::new(body.clone()));
    let surrogate = surrogate(&sites.edge).await;
    sites.knows(&sites.edge, 2).await;
    // Peers tell each other of changes: those of the other site may come a moment later.
    sites.knows(&sites.cloud, 2).await;
    let (status, way, got) = sites.get(&sites.edge, "/a/1").await;
    assert!(status == 200 && way.contains("fwd=uri-miss") && got == body, "{status}: {way}");
    eventually(PATIENCE, || async {
        let (status, way, got) = sites.get(&sites.edge, "/a/1").await;
        assert!(status == 200 && got == body);
        if way.contains("; hit") { Ok(()) } else { Err(way) }
    })
    .await;
    for _ in 0..20 {
        let (_, way, _) = sites.get(&sites.edge, "/a/1").await;
        assert!(way.contains("; hit"), "{way}");
        // At the origin's own site nobody stands before it.
        assert_eq!(sites.get(&sites.cloud, "/a/1").await.1, "");
    }
    let by_surrogate = |asked: &&Noted| {
        let loops = asked.headers.get_all("cdn-loop").iter();
        loops.filter_map(|value| value.to_str().ok()).any(|value| value.contains("vcdn-"))
    };
    let fetched = sites.origin.asked("/a/1").iter().filter(by_surrogate).count();
    assert_eq!(fetched, 1, "what the surrogate fetched");
    // A purge under that name.
    let url = format!("http://{}/purges", surrogate.address());
    let purged = sites.http.post(url).json(&json!({ "name": "film", "url": "/a/1" })).send().await.unwrap();
    assert_eq!(purged.json::<Purged>().await.unwrap().objects, 1);
    assert!(sites.get(&sites.edge, "/a/1").await.1.contains("fwd=uri-miss"));
    // It leaves while viewers ask: from then on they get the origin, and none is refused.
    let (is_over, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut viewers = JoinSet::new();
    for _ in 0..4 {
        let (sites, is_over, count, body) =
            (Arc::clone(&sites), Arc::clone(&is_over), Arc::clone(&count), body.clone());
        viewers.spawn(async move {
            while !is_over.load(Ordering::SeqCst) {
                let (status, way, got) = sites.get(&sites.edge, "/a/1").await;
                assert!(status == 200 && got == body, "{status}: {way}");
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    let more = async |wanted: usize| {
        let from = count.load(Ordering::SeqCst);
        eventually(PATIENCE, || async {
            let now = count.load(Ordering::SeqCst) - from;
            if now >= wanted { Ok(()) } else { Err(format!("{now} of {wanted} answers")) }
        })
        .await;
    };
    more(50).await;
    surrogate.stop().await;
    more(50).await;
    is_over.store(true, Ordering::SeqCst);
    while let Some(viewer) = viewers.join_next().await {
        viewer.unwrap();
    }
    assert_eq!(sites.get(&sites.edge, "/a/1").await.1, "", "nobody is left but the origin");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_surrogate_beside_its_origin_that_gets_its_own_request_does_no_harm() {
    let sites = Sites::start().await;
    let _surrogate = surrogate(&sites.cloud).await;
    sites.knows(&sites.cloud, 2).await;
    sites.knows(&sites.edge, 2).await;
    // What it asks for by `cloud--film` may be itself: the router goes on to the origin, which is the other one there.
    for number in 0..40 {
        let path = format!("/a/{number}");
        sites.origin.put(&path, Reply::new(format!("body {number}")));
        for router in [&sites.cloud, &sites.edge, &sites.cloud] {
            let (status, way, got) = sites.get(router, &path).await;
            assert_eq!((status, String::from_utf8(got).unwrap()), (200, format!("body {number}")), "{way}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_is_not_told_to_all_while_a_site_is_not_heard() {
    let folder = Scratch::new("vcdn-unheard");
    let [cloud_port, edge_port] = site_file(&folder);
    let cloud = router(&folder, "cloud", cloud_port).await;
    let here = surrogate(&cloud).await;
    let http = reqwest::Client::new();
    let purge = async || -> Purged {
        let purge = json!({ "name": "film", "url": "/a/1" });
        let answer = http.post(format!("http://{}/purges", here.address())).json(&purge).send().await.unwrap();
        answer.json().await.unwrap()
    };
    let comes_to = async |peers: usize, unheard: &[&str]| {
        eventually(PATIENCE, || async {
            let told = purge().await;
            let is_so =
                told.peers.len() == peers && told.unheard_sites == unheard && told.all_known == unheard.is_empty();
            if is_so { Ok(()) } else { Err(format!("{told:?}")) }
        })
        .await;
    };
    // The router listens to the other's a moment after it began.
    comes_to(0, &["edge"]).await;
    let edge = router(&folder, "edge", edge_port).await;
    let there = surrogate(&edge).await;
    comes_to(1, &[]).await;
    // Who is known is told still; who comes there now is not known.
    edge.stop().await;
    comes_to(1, &["edge"]).await;
    there.stop().await;
    // It is away for good: once the router has read that, nobody asks for it any more.
    let left = format!("version = 1\n[[sites]]\nname = \"cloud\"\nrouter = \"127.0.0.1:{cloud_port}\"\n");
    std::fs::write(folder.join("sites.toml"), left).unwrap();
    kill_process(getpid(), Signal::HUP).unwrap();
    comes_to(0, &[]).await;
    here.stop().await;
    cloud.stop().await;
}
