//! Two sites, each with a router, a store and a streaming service: what one store lacks is had from the other, sent on at once, and kept.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flame_api::Client;
use flame_api::metadata::{AssetPatch, Encryption, NewAsset, NewVersion, Source};
use flame_api::replicas::PlaceQuery;
use flame_api::router::Registration;
use flame_object_store::{EmbeddedConfig, EmbeddedServer, RunningStore, SecretKey, Store, StoreConfig};
use flame_router::config::Searchable;
use flame_service_host::config::{Bytes, Span};
use flame_service_host::{HostConfig, Running};
use flame_streaming::Config;
use flame_streaming::config::ReplicasConfig;
use flame_test_kit::{Scratch, eventually, ports};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::world::{Stored, VERSION, probe, stored};

/// Time in which something that must happen has happened: two sites, and others that run beside them.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Part of a copy, as other sites ask for it.
const BLOCK_BYTES: usize = 8 << 20;

pub struct Site {
    pub router: Running,
    pub store: Store,
    server: Option<RunningStore>,
    pub streaming: Option<Running>,
    pub config: Config,
}

pub struct Sites {
    pub cloud: Site,
    pub edge: Site,
    metadata: Running,
    pub catalogue: Client,
    pub http: reqwest::Client,
    _folder: Scratch,
}

// === impl Site ===

impl Site {
    async fn start(name: &str, port: u16, folder: &Scratch) -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], port));
        let mut config = flame_router::Config {
            host: HostConfig { listen, ..HostConfig::default() },
            site: name.to_owned(),
            sites: Some(folder.join("sites.toml")),
            ..flame_router::Config::default()
        };
        config.search.names = vec![Searchable { name: "streaming".to_owned(), authority: None }];
        let router = flame_router::start(config).await.unwrap();
        let server = EmbeddedServer::start(EmbeddedConfig {
            root: folder.join(name),
            listen: "127.0.0.1:0".parse().unwrap(),
            access_key: "access".to_owned(),
            secret_key: SecretKey::new("secret"),
            min_free_percent: 0,
            max_connections: 256,
            max_writes: 16,
            stop_grace_s: 1,
        });
        let server = server.await.unwrap();
        let store_config = StoreConfig {
            endpoint: server.endpoint(),
            region: "us-east-1".to_owned(),
            bucket: "flame".to_owned(),
            access_key: "access".to_owned(),
            secret_key: SecretKey::new("secret"),
        };
        let store = Store::connect(&store_config);
        store.ensure_bucket().await.unwrap();
        let host = HostConfig {
            router: Some(format!("http://{}", router.address()).parse().unwrap()),
            ..HostConfig::default()
        };
        let sweep = Span(Duration::from_millis(200));
        let replicas = Some(ReplicasConfig { sweep, ..ReplicasConfig::default() });
        let config = Config { indexes: Bytes(16 << 20), replicas, ..Config::new(host, store_config) };
        Self { router, store, server: Some(server), streaming: None, config }
    }

    pub fn client(&self) -> Client {
        Client::new(format!("http://{}", self.router.address()).parse().unwrap(), None)
    }

    pub async fn stream(&mut self) {
        self.streaming = Some(flame_streaming::start(self.config.clone()).await.unwrap());
    }

    /// Streaming of this site itself, not by way of a router.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.streaming.as_ref().unwrap().address())
    }

    /// What an object of this site's store has, if it is there.
    pub async fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.store.head(key).await.unwrap()?;
        Some(self.store.get(key, 1 << 30).await.unwrap().to_vec())
    }

    /// Waits until an object of this site's store is `wanted`.
    pub async fn keeps(&self, key: &str, wanted: &[u8]) {
        let kept =
            eventually(PATIENCE, || async { self.object(key).await.ok_or_else(|| format!("{key} is not here")) });
        assert!(kept.await == wanted, "{key} is another object here");
    }

    /// A counter of streaming here.
    async fn counted(&self, http: &reqwest::Client, name: &str) -> f64 {
        let text = http.get(self.url("metrics")).send().await.unwrap().text().await.unwrap();
        let lines = text.lines().filter(|line| line.starts_with("flame_") && line.contains(name));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

// === impl Sites ===

impl Sites {
    /// Both sites with their stores, the catalogue at the first one, and streaming at neither.
    pub async fn start() -> Self {
        let folder = Scratch::new("streaming-replicas");
        let [cloud, edge] = ports::free_tcp::<2>();
        let text = format!(
            "version = 1\n[[sites]]\nname = \"cloud\"\nrouter = \"127.0.0.1:{cloud}\"\n[[sites]]\nname = \"edge\"\nrouter = \"127.0.0.1:{edge}\"\n\
             [[links]]\nbetween = [\"cloud\", \"edge\"]\nlatency_ms = 10\nbandwidth_mbps = 1000\n"
        );
        std::fs::write(folder.join("sites.toml"), text).unwrap();
        let cloud = Site::start("cloud", cloud, &folder).await;
        let edge = Site::start("edge", edge, &folder).await;
        let metadata = flame_metadata::start(flame_metadata::Config {
            host: HostConfig { min_free_disk_percent: 0.0, ..cloud.config.host.clone() },
            database: folder.join("metadata.db").into(),
            ..flame_metadata::Config::default()
        });
        let metadata = metadata.await.unwrap();
        let (catalogue, http) = (cloud.client(), reqwest::Client::builder().no_proxy().build().unwrap());
        let sites = Self { cloud, edge, metadata, catalogue, http, _folder: folder };
        sites.know("metadata.main", 1).await;
        sites
    }

    /// Both, with streaming at each.
    pub async fn streaming() -> Self {
        let mut sites = Self::start().await;
        sites.cloud.stream().await;
        sites.edge.stream().await;
        sites.know("store.main", 2).await;
        sites.know("streaming.main", 2).await;
        sites
    }

    /// Waits until both routers know so many endpoints behind `name`.
    pub async fn know(&self, name: &str, count: usize) {
        for site in [&self.cloud, &self.edge] {
            eventually(PATIENCE, || async {
                let listed = site.client().endpoints().await.map_err(|error| error.to_string())?.items;
                let known = listed.iter().filter(|endpoint| endpoint.name == name).count();
                if known == count { Ok(()) } else { Err(format!("{known} of {count} behind {name}")) }
            })
            .await;
        }
    }

    /// An asset that plays, with one track, whose bytes lie at the first site.
    pub async fn playable(&self, segments: &[usize]) -> (Uuid, Stored) {
        let (id, stored) = (Uuid::new_v4(), stored("v", segments));
        let source =
            Source { key: format!("default/sources/{id}"), file_name: None, size_bytes: 1, sha256: "ab".repeat(32) };
        let asset = NewAsset { id, title: "Far away".to_owned(), source, probe: probe(), poster_key: None };
        self.catalogue.create_asset(&asset).await.unwrap();
        self.publish(id, &stored).await;
        (id, stored)
    }

    /// A version of an asset, of one track, whose bytes lie at the first site.
    pub async fn publish(&self, id: Uuid, stored: &Stored) {
        self.publish_at(&self.cloud, id, stored).await;
    }

    /// The same of one whose bytes lie at `site`.
    pub async fn publish_at(&self, site: &Site, id: Uuid, stored: &Stored) {
        let [index, object] = keys(id);
        site.store.put(&object, stored.object.clone().into(), "video/mp4").await.unwrap();
        site.store.put(&index, stored.finished.index.to_json().into(), "application/json").await.unwrap();
        let tracks = vec![stored.track.clone()];
        let version =
            NewVersion { job_id: None, chain: "ladder".to_owned(), tracks, thumbnails: None, conditioning: None };
        self.catalogue.publish_version(id, VERSION, &version).await.unwrap();
    }

    /// A segment as the edge's own streaming gives it: its status and its bytes.
    async fn segment(&self, asset: Uuid, number: usize) -> (u16, Vec<u8>) {
        let url = self.edge.url(&format!("{asset}/{VERSION}/v/{number}.m4s"));
        let answer = self.http.get(url).send().await.unwrap();
        (answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
    }

    pub async fn stop(self) {
        for site in [self.edge, self.cloud] {
            if let Some(streaming) = site.streaming {
                streaming.stop().await;
            }
            if let Some(server) = site.server {
                server.stop().await;
            }
            site.router.stop().await;
        }
        self.metadata.stop().await;
    }
}

/// Keys of the index and of the track.
pub fn keys(asset: Uuid) -> [String; 2] {
    ["index.json", "mp4"].map(|ending| format!("default/media/{asset}/{VERSION}/v.{ending}"))
}

fn bytes_of(stored: &Stored, number: usize) -> &[u8] {
    let entry = &stored.finished.index.segments[number];
    let from = usize::try_from(entry.offset_bytes).unwrap();
    &stored.object[from..from + usize::try_from(entry.size_bytes).unwrap()]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_at_another_site_plays_at_once_and_is_kept() {
    let mut sites = Sites::streaming().await;
    // More than one part of a copy.
    let (asset, stored) = sites.playable(&[9_000_000, 4_000, 6_000]).await;
    let (never, _) = sites.playable(&[4_000]).await;
    let (status, body) = sites.segment(asset, 1).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    assert!(body == bytes_of(&stored, 1), "not the segment");
    let [index, object] = keys(asset);
    sites.edge.keeps(&object, &stored.object).await;
    sites.edge.keeps(&index, &stored.finished.index.to_json()).await;
    assert!(sites.edge.counted(&sites.http, "replicas_found_total").await >= 1.0);
    // The home has it as before, and no mark of a copy.
    assert_eq!(sites.cloud.object(&format!(".replicas/default/{asset}")).await, None);
    assert!(sites.edge.object(&format!(".replicas/default/{asset}")).await.is_some());

    // Now the other site's store and streaming may go.
    sites.cloud.streaming.take().unwrap().stop().await;
    sites.cloud.server.take().unwrap().stop().await;
    for number in [0, 2] {
        let (status, body) = sites.segment(asset, number).await;
        assert_eq!(status, 200, "{number}: {}", String::from_utf8_lossy(&body));
        assert!(body == bytes_of(&stored, number), "not segment {number}");
    }
    // What was never here is nobody's now, and that is not taken for a fact.
    assert_eq!(sites.segment(never, 0).await.0, 503);
    sites.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_of_what_is_gone_for_good_are_deleted_and_no_others() {
    let sites = Sites::streaming().await;
    let (gone, first) = sites.playable(&[4_000]).await;
    let (stays, second) = sites.playable(&[5_000]).await;
    for (asset, stored) in [(gone, &first), (stays, &second)] {
        assert_eq!(sites.segment(asset, 0).await.0, 200);
        sites.edge.keeps(&keys(asset)[1], &stored.object).await;
        sites.edge.keeps(&keys(asset)[0], &stored.finished.index.to_json()).await;
    }
    assert!(sites.catalogue.erase_asset(gone).await.unwrap());
    // The mark goes last, when a look has found nothing.
    eventually(PATIENCE, || async {
        match sites.edge.object(&format!(".replicas/default/{gone}")).await {
            None => Ok(()),
            Some(_) => Err("there are copies of an asset that is gone".to_owned()),
        }
    })
    .await;
    for key in keys(gone) {
        assert_eq!(sites.edge.object(&key).await, None, "{key}");
    }
    assert!(sites.edge.object(&keys(stays)[1]).await.as_deref() == Some(&second.object[..]));
    // What is at home here is the catalogue's to delete.
    assert!(sites.cloud.object(&keys(gone)[1]).await.is_some());
    sites.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asset_is_brought_before_anybody_asks_for_it() {
    let sites = Sites::streaming().await;
    let (asset, stored) = sites.playable(&[9_000_000, 4_000]).await;
    let from = PlaceQuery { from: Some("cloud".to_owned()) };
    let placed = eventually(PATIENCE, || async {
        let placed = sites.cloud.client().place(Some("edge"), asset, &from).await.map_err(|error| error.to_string())?;
        assert_eq!(placed.objects, 2, "an index and a track");
        if placed.here == placed.objects { Ok(placed) } else { Err(format!("{placed:?}")) }
    })
    .await;
    let all = stored.object.len() + stored.finished.index.to_json().len();
    assert_eq!((placed.waiting, placed.here_bytes), (0, all as u64));
    sites.edge.keeps(&keys(asset)[1], &stored.object).await;
    // What is here is counted a moment later.
    eventually(PATIENCE, || async {
        let kept = sites.edge.counted(&sites.http, "replicas_kept_total").await;
        if kept.total_cmp(&2.0).is_eq() { Ok(()) } else { Err(format!("{kept} are kept")) }
    })
    .await;
    assert_eq!(sites.edge.counted(&sites.http, "replicas_found_total").await, 0.0, "nobody asked for it");

    let refused = async |query: &PlaceQuery, asset| {
        let error = sites.cloud.client().place(Some("edge"), asset, query).await.unwrap_err();
        error.status().unwrap()
    };
    assert_eq!(refused(&PlaceQuery { from: Some("not a site".to_owned()) }, asset).await, 400);
    assert_eq!(refused(&PlaceQuery::default(), Uuid::new_v4()).await, 404);
    sites.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_only_where_the_media_is_at_home() {
    let sites = Sites::streaming().await;
    let (asset, stored) = sites.playable(&[4_000]).await;
    assert_eq!(sites.segment(asset, 0).await.0, 200);
    sites.edge.keeps(&keys(asset)[1], &stored.object).await;
    let revision = sites.catalogue.asset(asset).await.unwrap().unwrap().revision;
    let patch = AssetPatch { encryption: Some(Some(Encryption::SampleAes)), ..AssetPatch::default() };
    sites.catalogue.patch_asset(asset, revision, &patch).await.unwrap();
    // The copy's site says that another one has to answer, as soon as it has heard of the setting.
    eventually(PATIENCE, || async {
        let answer = sites.http.get(sites.edge.url(&format!("{asset}/index.m3u8"))).send().await.unwrap();
        if answer.status() == 421 { Ok(()) } else { Err(answer.status().to_string()) }
    })
    .await;
    // Its router asks that one.
    let by_router = format!("http://{}/~streaming/{asset}/index.m3u8", sites.edge.router.address());
    let answer = sites.http.get(by_router).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let key = format!("default/media/{asset}/key.json");
    assert!(sites.cloud.object(&key).await.is_some(), "no key was made at home");
    assert_eq!(sites.edge.object(&key).await, None);
    sites.stop().await;
}

/// A store of another site that has one object, and may say wrong digests; it notes which ranges it was asked for.
#[derive(Clone)]
struct Neighbour {
    key: String,
    object: Arc<Vec<u8>>,
    is_honest: bool,
    asked: Arc<Mutex<Vec<String>>>,
    /// Opens for what does not begin at the first byte.
    gate: Arc<Semaphore>,
}

// === impl Neighbour ===

impl Neighbour {
    async fn register(self, name: &str, site: &Site) -> tokio::task::JoinHandle<()> {
        let routes = Router::new().fallback(move |request: Request| {
            let neighbour = self.clone();
            let range = request.headers().get("range");
            let is_later = range.is_some_and(|range| !range.as_bytes().starts_with(b"bytes=0-"));
            async move {
                if is_later {
                    drop(neighbour.gate.acquire().await);
                }
                neighbour.answer(&request)
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let registration = Registration::new(listener.local_addr().unwrap(), 1, 60_000);
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        site.client().register("store", name, &registration).await.unwrap();
        serving
    }

    fn answer(&self, request: &Request) -> Response {
        let wanted = request.uri().query().unwrap_or_default().replace("%2F", "/");
        if wanted != format!("key={}", self.key) {
            return StatusCode::MISDIRECTED_REQUEST.into_response();
        }
        let mut headers = HeaderMap::new();
        headers.insert("etag", "\"one\"".parse().unwrap());
        if request.method() == Method::HEAD {
            headers.insert("content-length", self.object.len().into());
            return headers.into_response();
        }
        let range = request.headers().get("range").map(|range| range.to_str().unwrap().to_owned());
        let Some(range) = range else { return (headers, self.object.to_vec()).into_response() };
        let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        self.asked.lock().unwrap().push(range.clone());
        let block = self.object[first..=last].to_vec();
        let digest = if self.is_honest { Sha256::digest(&block) } else { Sha256::digest(b"something else") };
        headers.insert("content-digest", format!("sha-256=:{}:", STANDARD.encode(digest)).parse().unwrap());
        let whole = format!("bytes {first}-{last}/{}", self.object.len());
        headers.insert("content-range", whole.parse().unwrap());
        (StatusCode::PARTIAL_CONTENT, headers, block).into_response()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_what_its_digest_says_is_not_kept_and_a_copy_that_was_cut_off_goes_on() {
    let mut sites = Sites::start().await;
    sites.edge.stream().await;
    sites.know("streaming.main", 1).await;
    // The last one was cut off when the neighbour had another object.
    for (at, (is_honest, begun)) in [(false, "one"), (true, "one"), (true, "another")].into_iter().enumerate() {
        let (asset, stored) = sites.playable(&[9_000_000, 8_500_000]).await;
        let [index, key] = keys(asset);
        // The index is here, and so is the first part of a copy that was cut off.
        sites.edge.store.put(&index, stored.finished.index.to_json().into(), "application/json").await.unwrap();
        sites.edge.store.put(&format!(".replicas/default/{asset}"), "{}".into(), "application/json").await.unwrap();
        let upload = sites.edge.store.create_multipart(&key, "video/mp4").await.unwrap();
        let is_same = begun == "one";
        let first = if is_same { stored.object[..BLOCK_BYTES].to_vec() } else { vec![0; BLOCK_BYTES] };
        sites.edge.store.upload_part(&upload, 1, first.into()).await.unwrap();
        let note = format!("{} {begun}", upload.id);
        sites.edge.store.put(&format!(".replicas-begun/{key}"), note.into(), "text/plain").await.unwrap();
        // What nobody noted may be of any object: it has no part in the copy, and is not given up either.
        let foreign = sites.edge.store.create_multipart(&key, "video/mp4").await.unwrap();
        sites.edge.store.upload_part(&foreign, 1, vec![1; BLOCK_BYTES].into()).await.unwrap();

        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let object = Arc::new(stored.object.clone());
        let gate = Arc::new(Semaphore::new(1));
        let neighbour = Neighbour { key: key.clone(), object, is_honest, asked: Arc::clone(&asked), gate };
        let name = format!("neighbour-{at}");
        let serving = neighbour.register(&name, &sites.cloud).await;
        sites.know("store.main", 2).await;
        let query = PlaceQuery { from: Some("cloud".to_owned()) };
        let place = async || sites.cloud.client().place(Some("edge"), asset, &query).await.unwrap();
        assert_eq!(place().await.waiting, 1);
        if is_honest {
            sites.edge.keeps(&key, &stored.object).await;
            let blocks = asked.lock().unwrap().clone();
            let is_anew = blocks.iter().any(|range| range.starts_with("bytes=0-"));
            assert_eq!(is_anew, !is_same, "begun with {begun}: {blocks:?}");
            let open = sites.edge.store.list_multipart(&key, 10).await.unwrap();
            let open: Vec<_> = open.into_iter().map(|open| open.upload).collect();
            assert!(open.contains(&foreign), "what nobody noted was given up");
            assert!(is_same || !open.contains(&upload), "what was begun of another object is left");
        } else {
            eventually(PATIENCE, || async {
                let failed = sites.edge.counted(&sites.http, "replicas_failed_total").await;
                if failed >= 1.0 { Ok(()) } else { Err("it has not failed".to_owned()) }
            })
            .await;
            assert!(asked.lock().unwrap().iter().any(|range| !range.starts_with("bytes=0-")), "no lie was told");
            assert_eq!(sites.edge.object(&key).await, None, "a lie was kept");
        }
        sites.cloud.client().deregister("store", &name).await.unwrap();
        sites.know("store.main", 1).await;
        serving.abort();
    }
    sites.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_come_of_an_object_is_told_before_all_of_it_is_here() {
    let mut sites = Sites::start().await;
    sites.edge.stream().await;
    sites.know("streaming.main", 1).await;
    let (asset, stored) = sites.playable(&[9_000_000]).await;
    let [index, key] = keys(asset);
    let json = stored.finished.index.to_json();
    let known_bytes = (json.len() + BLOCK_BYTES) as u64;
    sites.edge.store.put(&index, json.into(), "application/json").await.unwrap();
    let (object, gate) = (Arc::new(stored.object.clone()), Arc::new(Semaphore::new(0)));
    let neighbour =
        Neighbour { key: key.clone(), object, is_honest: true, asked: Arc::default(), gate: Arc::clone(&gate) };
    let serving = neighbour.register("neighbour", &sites.cloud).await;
    sites.know("store.main", 2).await;
    let query = PlaceQuery { from: Some("cloud".to_owned()) };
    let placed = async |is_enough: fn(u64, u64) -> bool| {
        eventually(PATIENCE, || async {
            let placed =
                sites.cloud.client().place(Some("edge"), asset, &query).await.map_err(|error| error.to_string())?;
            if is_enough(placed.here, placed.here_bytes) { Ok(placed) } else { Err(format!("{placed:?}")) }
        })
        .await
    };
    let half = placed(|_, here_bytes| here_bytes > BLOCK_BYTES as u64).await;
    assert_eq!((half.here, half.waiting, half.here_bytes), (1, 1, known_bytes), "the index, and a block of the track");
    gate.add_permits(1);
    placed(|here, _| here == 2).await;
    sites.edge.keeps(&key, &stored.object).await;
    serving.abort();
    sites.stop().await;
}
