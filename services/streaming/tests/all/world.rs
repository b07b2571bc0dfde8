//! One store, one catalogue, one relay that stands where the router does, and one streaming service.
//!
//! The relay forwards `/~metadata/…` unchanged. It can hold questions back, refuse them, and count them: that is
//! all that the tests need of a network that fails.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use flame_api::Client;
use flame_api::media::{Probe, Rational, SoundRole, Track, TrackKind, VideoStream};
use flame_api::metadata::{NewAsset, NewVersion, Source};
use flame_cmaf::{Finished, MediaConfig, PictureCodec, Sample, Segmentation, TrackConfig, TrackWriter, VideoConfig};
use flame_object_store::{EmbeddedConfig, EmbeddedServer, RunningStore, SecretKey, Store, StoreConfig};
use flame_service_host::config::Span;
use flame_service_host::{HostConfig, Running};
use flame_streaming::Config;
use flame_test_kit::{Scratch, eventually};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use url::Url;
use uuid::Uuid;

pub const VERSION: &str = "0123456789ab";
/// Time in which something that must happen has happened.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub struct World {
    pub store: Store,
    pub catalogue: Client,
    pub relay: Arc<Relay>,
    pub http: reqwest::Client,
    streaming: Option<Running>,
    program: Option<Program>,
    config: Config,
    metadata: Option<Running>,
    server: Option<RunningStore>,
    server_config: EmbeddedConfig,
    relay_task: JoinHandle<()>,
    scratch: Scratch,
}

/// The service as a process of its own, which dies with the value.
struct Program {
    child: Child,
    address: SocketAddr,
}

impl Drop for Program {
    fn drop(&mut self) {
        // Signal 9.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The relay's switches.
pub struct Relay {
    metadata: SocketAddr,
    http: reqwest::Client,
    /// Questions for assets that came through.
    pub questions: AtomicU32,
    /// Permits for answers; `hold` takes them away.
    gate: Semaphore,
    refusing: std::sync::atomic::AtomicBool,
}

/// A stored track.
pub struct Stored {
    pub object: Vec<u8>,
    pub finished: Finished,
    pub track: Track,
}

impl World {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let scratch = Scratch::new("streaming");
        let mut server_config = EmbeddedConfig {
            root: scratch.join("store"),
            listen: "127.0.0.1:0".parse().unwrap(),
            access_key: "access".to_owned(),
            secret_key: SecretKey::new("secret"),
            min_free_percent: 0,
            max_connections: 256,
            max_writes: 16,
            stop_grace_s: 1,
        };
        let server = EmbeddedServer::start(server_config.clone()).await.unwrap();
        // A restart must be found where the store was before.
        server_config.listen = server.address();
        let store_config = StoreConfig {
            endpoint: server.endpoint(),
            region: "us-east-1".to_owned(),
            bucket: "flame".to_owned(),
            access_key: "access".to_owned(),
            secret_key: SecretKey::new("secret"),
        };
        let store = Store::connect(&store_config);
        store.ensure_bucket().await.unwrap();

        let metadata = flame_metadata::start(flame_metadata::Config {
            host: HostConfig { min_free_disk_percent: 0.0, ..HostConfig::default() },
            database: scratch.join("metadata.db").into(),
            ..flame_metadata::Config::default()
        });
        let metadata = metadata.await.unwrap();
        let (relay, relay_address, relay_task) = Relay::start(metadata.address()).await;
        let router = Url::parse(&format!("http://{relay_address}")).unwrap();

        let host = HostConfig { router: Some(router.clone()), ..HostConfig::default() };
        let mut config = Config {
            store_deadline: Span(Duration::from_secs(1)),
            indexes: flame_service_host::config::Bytes(16 << 20),
            ..Config::new(host, store_config)
        };
        change(&mut config);
        let streaming = flame_streaming::start(config.clone()).await.unwrap();
        Self {
            store,
            catalogue: Client::new(router, None),
            relay,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            streaming: Some(streaming),
            program: None,
            config,
            metadata: Some(metadata),
            server: Some(server),
            server_config,
            relay_task,
            scratch,
        }
    }

    pub fn streaming(&self) -> &Running {
        self.streaming.as_ref().unwrap()
    }

    pub fn url(&self, path: &str) -> String {
        let address = self.program.as_ref().map_or_else(|| self.streaming().address(), |program| program.address);
        format!("http://{address}/{path}")
    }

    /// The program in the place of what serves now, which is killed if it is one.
    pub async fn run_program(&mut self) {
        self.program = None;
        if let Some(streaming) = self.streaming.take() {
            streaming.stop().await;
        }
        let [port] = flame_test_kit::ports::free_tcp();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let (store, file) = (&self.config.store, self.scratch.join("streaming.toml"));
        let text = format!(
            "[host]\nlisten = \"{address}\"\nrouter = {:?}\n\
             [store]\nendpoint = {:?}\nbucket = {:?}\naccess_key = {:?}\nsecret_key = {:?}\n",
            self.config.host.router.as_ref().unwrap().as_str(),
            store.endpoint,
            store.bucket,
            store.access_key,
            store.secret_key.expose(),
        );
        let lease = self.config.live.lease.map(|lease| format!("[live]\nlease = \"{}ms\"\n", lease.0.as_millis()));
        std::fs::write(&file, text + &lease.unwrap_or_default()).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_flame-streaming")).arg(&file).stderr(Stdio::null()).spawn();
        self.program = Some(Program { child: child.expect("the program starts"), address });
        eventually(DEADLINE, || async {
            let answer = self.http.get(self.url("health/live")).send().await;
            answer.map(drop).map_err(|error| error.to_string())
        })
        .await;
    }

    /// Stops the program, or lets it go on: `-STOP`, `-CONT`.
    pub fn signal(&self, signal: &str) {
        let id = self.program_id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// The process of the program.
    pub fn program_id(&self) -> u32 {
        self.program.as_ref().expect("it runs").child.id()
    }

    /// What an instance beside this one is told.
    pub fn config(&self) -> Config {
        self.config.clone()
    }

    /// It ends as it should.
    pub async fn stop_streaming(&mut self) {
        self.streaming.take().unwrap().stop().await;
    }

    pub async fn get(&self, path: &str) -> reqwest::Response {
        self.ask(Method::GET, path, &[]).await
    }

    pub async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> reqwest::Response {
        let request = self.http.request(method, self.url(path));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.send().await.unwrap()
    }

    /// An asset in the catalogue, without a version.
    pub async fn register(&self, poster: Option<&[u8]>) -> Uuid {
        let id = Uuid::new_v4();
        let poster_key = poster.map(|_| format!("default/posters/{id}.jpg"));
        if let (Some(key), Some(bytes)) = (&poster_key, poster) {
            self.store.put(key, bytes.to_vec().into(), "image/jpeg").await.unwrap();
        }
        let source =
            Source { key: format!("default/sources/{id}"), file_name: None, size_bytes: 1, sha256: "ab".repeat(32) };
        let asset = NewAsset { id, title: "Test".to_owned(), source, probe: probe(), poster_key };
        self.catalogue.create_asset(&asset).await.unwrap();
        id
    }

    /// Stores a track's object and index under their keys.
    pub async fn put(&self, asset: Uuid, name: &str, object: Vec<u8>, index: Vec<u8>) {
        let key = format!("default/media/{asset}/{VERSION}/{name}");
        self.store.put(&format!("{key}.mp4"), object.into(), "video/mp4").await.unwrap();
        self.store.put(&format!("{key}.index.json"), index.into(), "application/json").await.unwrap();
    }

    pub async fn publish(&self, asset: Uuid, tracks: Vec<Track>) {
        let version =
            NewVersion { job_id: None, chain: "ladder".to_owned(), tracks, thumbnails: None, conditioning: None };
        self.catalogue.publish_version(asset, VERSION, &version).await.unwrap();
    }

    /// An asset that plays, with one video track called `v` of these segments (bytes of the samples of each).
    pub async fn playable(&self, segments: &[usize]) -> (Uuid, Stored) {
        let asset = self.register(None).await;
        let stored = stored("v", segments);
        self.put(asset, "v", stored.object.clone(), stored.finished.index.to_json()).await;
        self.publish(asset, vec![stored.track.clone()]).await;
        (asset, stored)
    }

    /// Another instance in the place of this one, which ends as it should.
    pub async fn restart_streaming(&mut self) {
        self.stop_streaming().await;
        self.start_streaming().await;
    }

    /// Again, after that.
    pub async fn start_streaming(&mut self) {
        self.streaming = Some(flame_streaming::start(self.config.clone()).await.unwrap());
    }

    pub async fn stop_store(&mut self) {
        self.server.take().unwrap().stop().await;
    }

    pub async fn start_store(&mut self) {
        self.server = Some(EmbeddedServer::start(self.server_config.clone()).await.unwrap());
    }

    pub async fn stop(mut self) {
        if let Some(streaming) = self.streaming.take() {
            streaming.stop().await;
        }
        self.metadata.take().unwrap().stop().await;
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
        self.relay_task.abort();
    }

    /// Waits until the service has this many requests in work, by its own account (this look included).
    pub async fn requests_open(&self, wanted: u32) {
        eventually(DEADLINE, || async {
            let text = self.get("metrics").await.text().await.unwrap();
            let line = text.lines().find(|line| line.starts_with("flame_http_requests_open{")).unwrap_or_default();
            let open: u32 = line.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0);
            if open > wanted { Ok(()) } else { Err(format!("{open} of {wanted} requests in work")) }
        })
        .await;
    }
}

impl Relay {
    async fn start(metadata: SocketAddr) -> (Arc<Self>, SocketAddr, JoinHandle<()>) {
        let relay = Arc::new(Self {
            metadata,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            questions: AtomicU32::new(0),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            refusing: false.into(),
        });
        let routes = Router::new().route("/~metadata/{*path}", any(forward)).with_state(relay.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        (relay, address, task)
    }

    pub fn refuse(&self, refusing: bool) {
        self.refusing.store(refusing, Ordering::SeqCst);
    }

    /// Lets no answer through until [`Relay::release`].
    pub fn hold(&self) {
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub fn release(&self) {
        self.gate.add_permits(Semaphore::MAX_PERMITS);
    }
}

async fn forward(State(relay): State<Arc<Relay>>, Path(path): Path<String>, request: Request) -> Response {
    if request.method() == Method::GET {
        relay.questions.fetch_add(1, Ordering::SeqCst);
    }
    let _permit = relay.gate.acquire().await.unwrap();
    if relay.refusing.load(Ordering::SeqCst) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let url = format!("http://{}/{path}", relay.metadata);
    let answer = relay.http.request(parts.method, url).headers(parts.headers).body(body).send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    let mut response = Response::new(Body::from(answer.bytes().await.unwrap()));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Bytes of one value in a row.
const BLOCK: usize = 61;

/// A video track of these segments, 4 s each of 4 pictures; their bytes differ from place to place.
pub fn stored(name: &str, segments: &[usize]) -> Stored {
    let codec = PictureCodec::Avc(vec![1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 4, 0x67, 0x64, 0, 0x1f, 1, 0, 2, 0x68, 0xeb]);
    let video =
        VideoConfig { codec, width: 1280, height: 720, timescale: 90_000, colour: None, composition_delay_ticks: 0 };
    let config = TrackConfig { media: MediaConfig::Video(video), language: None };
    let mut writer = TrackWriter::new(&config, Segmentation::Interval { ms: 4000 }).unwrap();
    let mut object = writer.init().to_vec();
    let mut seed = 7_u8;
    for (n, picture) in segments.iter().flat_map(|size| (0..4).map(move |n| (n, size.div_ceil(4)))).enumerate() {
        let ticks = i64::try_from(n).unwrap() * 90_000;
        // Blocks that differ: a piece of another place would be noticed.
        let data = (0..picture.1.div_ceil(BLOCK)).flat_map(|block| {
            seed = seed.wrapping_mul(181).wrapping_add((n + block) as u8 | 1);
            [seed; BLOCK]
        });
        let data: Vec<u8> = data.take(picture.1).collect();
        let sample = Sample {
            dts_ticks: ticks,
            pts_ticks: ticks,
            duration_ticks: 90_000,
            is_sync: picture.0 == 0,
            data: data.into(),
        };
        if let Some(segment) = writer.push(sample).unwrap() {
            object.extend(segment.bytes);
        }
    }
    let finished = writer.finish().unwrap();
    object.extend(&finished.last_segment.bytes);
    let figures = finished.figures;
    let track = Track {
        name: name.to_owned(),
        kind: TrackKind::Video,
        codec: finished.index.codec.clone(),
        width: Some(1280),
        height: Some(720),
        frame_rate: Some(Rational { num: 1, den: 1 }),
        channels: None,
        sample_rate_hz: None,
        language: None,
        role: SoundRole::Main,
        title: None,
        source_sound: None,
        duration_ms: figures.duration_ms,
        samples: figures.samples,
        average_bandwidth_bps: figures.average_bandwidth_bps,
        peak_bandwidth_bps: figures.peak_bandwidth_bps,
        size_bytes: figures.size_bytes,
    };
    Stored { object, finished, track }
}

/// Checks that an answer is a problem, and returns its slug and detail.
pub async fn problem(answer: reqwest::Response) -> (String, String) {
    let status = answer.status().as_u16();
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    assert_eq!(answer.headers()["access-control-allow-origin"], "*", "pages may read refusals too");
    let problem: flame_api::Problem = answer.json().await.unwrap();
    assert_eq!(problem.status, status);
    (problem.slug().to_owned(), problem.detail)
}

/// A picture of so many octets, five at least: one slice, behind its length (ISO/IEC 14496-15 section 5.3.2).
pub fn picture(seed: u8, bytes: usize) -> Vec<u8> {
    let mut data = vec![seed; bytes];
    data[..4].copy_from_slice(&u32::try_from(bytes - 4).unwrap().to_be_bytes());
    // An IDR slice.
    data[4] = 0x65;
    data
}

pub fn probe() -> Probe {
    Probe {
        container: "mov,mp4,m4a,3gp,3g2,mj2".to_owned(),
        duration_ms: 1,
        bitrate_bps: 1,
        video: Some(VideoStream {
            codec: "h264".to_owned(),
            width: 1280,
            height: 720,
            display_width: 1280,
            display_height: 720,
            rotation_deg: 0,
            pixel_aspect: Rational { num: 1, den: 1 },
            frame_rate: None,
            variable_frame_rate: false,
            timescale: None,
            pixel_format: "yuv420p".to_owned(),
            bit_depth: 8,
            interlaced: false,
            duration_ms: None,
        }),
        audio: None,
        other_audio: Vec::new(),
    }
}
