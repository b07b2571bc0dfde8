//! Four sites around one that has a film, each with a router, a store and a streaming service on a machine of its own: brought to all of
//! them at once, it crosses the link of the one that has it less often than four times. What that link carried is read from its counter.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Barrier};
use std::thread::JoinHandle;
use std::time::Duration;

use flame_api::Client;
use flame_api::metadata::{NewAsset, NewVersion, Source};
use flame_api::replicas::PlaceQuery;
use flame_object_store::{EmbeddedConfig, EmbeddedServer, SecretKey, Store, StoreConfig};
use flame_router::config::MulticastConfig;
use flame_service_host::auth::AuthConfig;
use flame_service_host::config::Span;
use flame_service_host::keys::{self, Grant};
use flame_service_host::{HostConfig, Scope};
use flame_streaming::Config;
use flame_streaming::config::ReplicasConfig;
use flame_test_kit::{Network, Scratch, eventually, loud_skip};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::world::{VERSION, probe, stored};

const ORIGIN: &str = "origin";
const EDGES: [&str; 4] = ["e1", "e2", "e3", "e4"];
const PORT: u16 = 8080;
const LINK_MBIT: u32 = 200;
/// Segments of the film: five blocks of a copy.
const SEGMENTS: [usize; 5] = [8_000_000; 5];
/// Copies on the link of the site that has it. One each are four, and headers and what is said beside it; sites that are not in step for a
/// block get it by themselves.
const COPIES_MAX: f64 = 3.6;
const PATIENCE: Duration = Duration::from_secs(180);

/// A machine with its parts, which run in a thread and a runtime of their own until it is dropped.
struct Machine {
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

// === impl Machine ===

impl Machine {
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

/// What all parts are told: where they listen, whose tokens count, and theirs.
fn host(network: &Network, folder: &Path, node: &str, token: &str) -> HostConfig {
    HostConfig {
        listen: SocketAddr::from((network.address(node), 0)),
        router: Some(format!("http://127.0.0.1:{PORT}").parse().unwrap()),
        auth: AuthConfig { keys: Some(folder.join("keys")) },
        token: Some(token.to_owned()),
        min_free_disk_percent: 0.0,
        ..HostConfig::default()
    }
}

fn router(network: &Network, folder: &Path, node: &str, token: &str) -> flame_router::Config {
    let listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
    let multicast = MulticastConfig {
        enabled: true,
        interface: network.address(node),
        rate_mbps: LINK_MBIT * 97 / 100,
        ..MulticastConfig::default()
    };
    let mut config = flame_router::Config {
        host: HostConfig { listen, router: None, ..host(network, folder, node, token) },
        site: node.to_owned(),
        sites: Some(folder.join("sites.toml")),
        multicast,
        ..flame_router::Config::default()
    };
    config.upstream.connect_timeout = Span(Duration::from_secs(5));
    config
}

fn sites(network: &Network) -> String {
    let site = |node: &str| format!("[[sites]]\nname = \"{node}\"\nrouter = \"{}:{PORT}\"\n", network.address(node));
    let link = |node: &&str| {
        format!("[[links]]\nbetween = [\"{ORIGIN}\", \"{node}\"]\nlatency_ms = 1\nbandwidth_mbps = {LINK_MBIT}\n")
    };
    let all: String = std::iter::once(&ORIGIN).chain(&EDGES).map(|node| site(node)).collect();
    format!("version = 1\n{all}{}", EDGES.iter().map(link).collect::<String>())
}

/// Where the store of a site is, and a client of it there.
fn store_config(endpoint: String) -> StoreConfig {
    StoreConfig {
        endpoint,
        region: "us-east-1".to_owned(),
        bucket: "flame".to_owned(),
        access_key: "access".to_owned(),
        secret_key: SecretKey::new("secret"),
    }
}

/// Router, store and streaming of a site, whose store has `object` (an asset's index and track) from the beginning.
async fn site(
    (router, host): (flame_router::Config, HostConfig),
    (root, listen): (std::path::PathBuf, SocketAddr),
    object: Option<(Uuid, Vec<u8>, Vec<u8>)>,
) -> impl Sized {
    let router = flame_router::start(router).await.unwrap();
    let server = EmbeddedServer::start(EmbeddedConfig {
        root,
        listen,
        access_key: "access".to_owned(),
        secret_key: SecretKey::new("secret"),
        min_free_percent: 0,
        max_connections: 256,
        max_writes: 16,
        stop_grace_s: 1,
    });
    let server = server.await.unwrap();
    let config = store_config(server.endpoint());
    let store = Store::connect(&config);
    store.ensure_bucket().await.unwrap();
    if let Some((asset, index, track)) = object {
        let key = |ending: &str| format!("default/media/{asset}/{VERSION}/v.{ending}");
        store.put(&key("mp4"), track.into(), "video/mp4").await.unwrap();
        store.put(&key("index.json"), index.into(), "application/json").await.unwrap();
    }
    let config = Config { replicas: Some(ReplicasConfig::default()), ..Config::new(host, config) };
    (flame_streaming::start(config).await.unwrap(), server, router)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_film_that_four_sites_bring_at_once_crosses_the_link_less_than_four_times() {
    if let Some(reason) = Network::missing() {
        return loud_skip(&format!("no network of namespaces: {reason}"));
    }
    tokio::task::block_in_place(bring_to_all);
}

fn bring_to_all() {
    let nodes: Vec<&str> = std::iter::once(ORIGIN).chain(EDGES).collect();
    let (network, folder) = (Arc::new(Network::new(&nodes)), Scratch::new("streaming-replicas-multicast"));
    let keys = folder.join("keys");
    keys::ensure(&keys).unwrap();
    let scope = Scope::ALL.map(Scope::as_str).join(" ");
    let grant = Grant { subject: "site".into(), tenant: "default".into(), scope, life: Duration::from_secs(1200) };
    let token = keys::issue(&keys, &grant).unwrap().0;
    std::fs::write(folder.join("sites.toml"), sites(&network)).unwrap();

    let (asset, film) = (Uuid::new_v4(), stored("v", &SEGMENTS));
    let (index, object) = (film.finished.index.to_json(), film.object.clone());
    let mut machines = Vec::new();
    for node in std::iter::once(ORIGIN).chain(EDGES) {
        let router = router(&network, folder.path(), node, &token);
        let host = host(&network, folder.path(), node, &token);
        let at = (folder.join(node), SocketAddr::from(([127, 0, 0, 1], 0)));
        let has = (node == ORIGIN).then(|| (asset, index.clone(), object.clone()));
        let catalogue = (node == ORIGIN).then(|| flame_metadata::Config {
            host: host.clone(),
            database: folder.join("metadata.db").into(),
            ..flame_metadata::Config::default()
        });
        machines.push(Machine::start(&network, node, async move || {
            let site = site((router, host), at, has).await;
            let metadata = match catalogue {
                Some(config) => Some(flame_metadata::start(config).await.unwrap()),
                None => None,
            };
            (site, metadata)
        }));
    }
    let client = || Client::new(format!("http://127.0.0.1:{PORT}").parse().unwrap(), Some(token.clone()));
    // The catalogue is there, and each site knows it and all stores.
    let known = |node: &str| {
        network.on(node, || {
            runtime().block_on(eventually(PATIENCE, || async {
                let listed = client().endpoints().await.map_err(|error| error.to_string())?.items;
                let count = |name: &str| listed.iter().filter(|endpoint| endpoint.name == name).count();
                let counts = (count("metadata.main"), count("store.main"), count("streaming.main"));
                if counts == (1, nodes.len(), nodes.len()) { Ok(()) } else { Err(format!("{counts:?} at {node}")) }
            }));
        });
    };
    nodes.iter().for_each(|node| known(node));
    network.on(ORIGIN, || {
        runtime().block_on(async {
            let source = Source {
                key: format!("default/sources/{asset}"),
                file_name: None,
                size_bytes: 1,
                sha256: "ab".repeat(32),
            };
            let new = NewAsset { id: asset, title: "A film".to_owned(), source, probe: probe(), poster_key: None };
            client().create_asset(&new).await.unwrap();
            let tracks = vec![film.track.clone()];
            let version =
                NewVersion { job_id: None, chain: "ladder".to_owned(), tracks, thumbnails: None, conditioning: None };
            client().publish_version(asset, VERSION, &version).await.unwrap();
        });
    });
    network.limit(ORIGIN, LINK_MBIT);

    let (before, all_at_once) = (network.sent_bytes(ORIGIN), Barrier::new(EDGES.len()));
    std::thread::scope(|scope| {
        for node in EDGES {
            let (network, client, all_at_once) = (&network, &client, &all_at_once);
            scope.spawn(move || network.on(node, || bring(client(), asset, all_at_once)));
        }
    });
    let size_bytes = (index.len() + object.len()) as f64;
    let copies = (network.sent_bytes(ORIGIN) - before) as f64 / size_bytes;
    println!("{copies:.3} copies of a film of {size_bytes} bytes to {} sites", EDGES.len());
    // All of them play it from what they have, byte for byte.
    for node in EDGES {
        network.on(node, || runtime().block_on(plays(client(), asset, &film)));
    }
    // All at once: each waits for what it has open.
    machines.iter().for_each(|machine| machine.stop.cancel());
    assert!((1.0..COPIES_MAX).contains(&copies), "{copies:.3} copies of what {} sites want", EDGES.len());
}

/// Has the film brought to the site of whoever asks, and waits until it is there.
fn bring(client: Client, asset: Uuid, all_at_once: &Barrier) {
    let query = PlaceQuery { from: Some(ORIGIN.to_owned()) };
    all_at_once.wait();
    runtime().block_on(eventually(PATIENCE, || async {
        let placed = client.place(None, asset, &query).await.map_err(|error| error.to_string())?;
        if placed.here == placed.objects && placed.objects == 2 { Ok(()) } else { Err(format!("{placed:?}")) }
    }));
}

async fn plays(client: Client, asset: Uuid, film: &crate::world::Stored) {
    for (number, entry) in film.finished.index.segments.iter().enumerate() {
        let request = client.request(reqwest::Method::GET, "streaming", &format!("{asset}/{VERSION}/v/{number}.m4s"));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let from = usize::try_from(entry.offset_bytes).unwrap();
        let wanted = &film.object[from..from + usize::try_from(entry.size_bytes).unwrap()];
        assert!(answer.bytes().await.unwrap() == wanted, "segment {number} is another one");
    }
}
