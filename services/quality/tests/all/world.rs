//! Everything that a job needs, real and on free ports: object store, router, catalogue, and the service itself.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use flame_api::Client;
use flame_api::media::Track;
use flame_api::metadata::{NewAsset, NewVersion, Source};
use flame_api::quality::Metric;
use flame_api::quality::jobs::{ComparisonJob, InspectionJob, Measuring, MediaName, NewComparison, NewInspection};
use flame_object_store::{EmbeddedConfig, EmbeddedServer, RunningStore, SecretKey, Store, StoreConfig};
use flame_quality_service::Config;
use flame_service_host::config::Span;
use flame_service_host::{HostConfig, Running};
pub use flame_test_kit::processes::media_processes;
use flame_test_kit::programs::program;
use flame_test_kit::{Scratch, clips, eventually};
use reqwest::Method;
use uuid::Uuid;

/// Longest wait for a job on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);
const SECRET: &str = "only for tests";
/// The name of the only version.
const VERSION: &str = "0123456789ab";

pub struct World {
    pub folder: Scratch,
    pub config: Config,
    pub client: Client,
    pub objects: Store,
    pub quality: Option<Running>,
    _metadata: Running,
    _router: Running,
    _server: RunningStore,
}

// === impl World ===

impl World {
    /// A world in which jobs are run.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// A world with a configuration of the service's own.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let mut world = Self::without_service().await;
        change(&mut world.config);
        world.start_service().await;
        world
    }

    /// All but the service.
    pub async fn without_service() -> Self {
        let folder = Scratch::new("quality");
        let server = EmbeddedServer::start(EmbeddedConfig {
            root: folder.join("objects"),
            listen: loopback(),
            access_key: "test".to_owned(),
            secret_key: SecretKey::new(SECRET),
            min_free_percent: 1,
            max_connections: 64,
            max_writes: 8,
            stop_grace_s: 1,
        });
        let server = server.await.expect("the object store starts");
        let store = StoreConfig {
            endpoint: server.endpoint(),
            region: "us-east-1".to_owned(),
            bucket: "flame".to_owned(),
            access_key: "test".to_owned(),
            secret_key: SecretKey::new(SECRET),
        };
        let objects = Store::connect(&store);
        objects.ensure_bucket().await.expect("the bucket is made");
        let router = flame_router::Config {
            host: HostConfig { listen: loopback(), ..HostConfig::default() },
            ..flame_router::Config::default()
        };
        let router = flame_router::start(router).await.expect("the router starts");
        let url: url::Url = format!("http://{}", router.address()).parse().expect("an address makes a URL");
        let host = HostConfig { router: Some(url.clone()), ..HostConfig::default() };
        let database = folder.join("metadata.db").into();
        let metadata = flame_metadata::Config { host: host.clone(), database, ..flame_metadata::Config::default() };
        let metadata = flame_metadata::start(metadata).await.expect("the catalogue starts");
        let client = Client::new(url, None);
        eventually(PATIENCE, || async { client.asset(Uuid::nil()).await.map(drop) }).await;
        let mut config = Config::new(store);
        config.host = host;
        config.database = folder.join("quality/jobs.db");
        config.folder = folder.join("data");
        config.jobs.poll = Span(Duration::from_millis(100));
        config.jobs.backoff = Span(Duration::from_millis(100));
        Self { folder, config, client, objects, quality: None, _metadata: metadata, _router: router, _server: server }
    }

    pub async fn start_service(&mut self) {
        self.quality = Some(flame_quality_service::start(self.config.clone()).await.expect("the service starts"));
        eventually(PATIENCE, || async {
            let answer = self.client.request(Method::GET, "quality", "health/ready").send().await;
            answer.and_then(reqwest::Response::error_for_status).map(drop)
        })
        .await;
    }

    pub fn base(&self) -> String {
        format!("http://{}", self.quality.as_ref().expect("the service runs").address())
    }

    /// Uploads and registers a file as a new asset of `client`'s tenant, with `track` as the only track of its version.
    pub async fn asset(&self, client: &Client, tenant: &str, source: &Path, track: Option<&Path>) -> Uuid {
        let id = Uuid::now_v7();
        let key = format!("{tenant}/sources/{id}");
        self.objects.put_file(&key, source, "video/mp4").await.expect("the source is stored");
        let size_bytes = std::fs::metadata(source).expect("the file is there").len();
        let source_of = Source { key, file_name: None, size_bytes, sha256: "0123456789abcdef".repeat(4) };
        let title = "A clip".to_owned();
        let new = NewAsset { id, title, source: source_of, probe: probe(source), poster_key: None };
        client.create_asset(&new).await.expect("the asset is registered");
        if let Some(track) = track {
            let key = format!("{tenant}/media/{id}/{VERSION}/v144.mp4");
            self.objects.put_file(&key, track, "video/mp4").await.expect("the track is stored");
            let described: Track = serde_json::from_value(serde_json::json!({
                "name": "v144", "kind": "video", "codec": "avc1.64001f", "width": 176, "height": 144, "duration_ms": 4004,
                "samples": 120, "average_bandwidth_bps": 1, "peak_bandwidth_bps": 1, "size_bytes": 1,
            }))
            .expect("it is a track");
            let version = NewVersion {
                job_id: None,
                chain: "test".to_owned(),
                tracks: vec![described],
                thumbnails: None,
                conditioning: None,
            };
            client.publish_version(id, VERSION, &version).await.expect("the version is published");
        }
        id
    }

    /// The pair that everybody compares: real footage as the source, a damaged copy as the track.
    pub async fn carphone(&self) -> Uuid {
        let (source, track) = (clips::path("carphone_pristine"), clips::path("carphone_distorted"));
        self.asset(&self.client, "default", &source, Some(&track)).await
    }

    /// A comparison of that.
    pub async fn new_comparison(&self, gates: &[&str]) -> NewComparison {
        comparison_of(self.carphone().await, gates)
    }

    pub async fn ended_comparison(&self, id: Uuid) -> ComparisonJob {
        self.until(|| self.client.comparison(id), |job| &job.standing, "it has ended", |job| job.state.is_final()).await
    }

    pub async fn ended_inspection(&self, id: Uuid) -> InspectionJob {
        self.until(|| self.client.inspection(id), |job| &job.standing, "it has ended", |job| job.state.is_final()).await
    }

    /// The job, once this holds.
    pub async fn until<T: std::fmt::Debug, Asking>(
        &self,
        ask: impl Fn() -> Asking,
        standing: impl Fn(&T) -> &Measuring,
        what: &str,
        holds: impl Fn(&Measuring) -> bool,
    ) -> T
    where
        Asking: Future<Output = Result<Option<T>, flame_api::ClientError>>,
    {
        eventually(PATIENCE, || async {
            let job = ask().await.map_err(|error| error.to_string())?;
            let job = job.ok_or("there is no such job")?;
            if holds(standing(&job)) { Ok(job) } else { Err(format!("waiting until {what}: {job:?}")) }
        })
        .await
    }

    /// Nothing of any attempt is left.
    pub fn assert_scratch_is_empty(&self) {
        let left: Vec<PathBuf> = std::fs::read_dir(self.config.folder.join("jobs"))
            .expect("the folder is there")
            .map(|entry| entry.expect("it can be read").path())
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }

    /// Numbers of the jobs that have files.
    pub fn results(&self) -> usize {
        std::fs::read_dir(self.config.folder.join("results")).expect("the folder is there").count()
    }
}

/// The source of an asset against its track.
pub fn comparison_of(asset_id: Uuid, gates: &[&str]) -> NewComparison {
    NewComparison {
        id: Uuid::now_v7(),
        reference: MediaName::Source(asset_id),
        distorted: MediaName::Track(asset_id, "v144".to_owned()),
        metrics: vec![Metric::Psnr, Metric::Ssim],
        gates: gates.iter().map(|gate| (*gate).to_owned()).collect(),
        subsample: 1,
        frames_max: None,
        confidence_min: 0.1,
    }
}

pub fn inspection_of(media: MediaName, gates: &[&str]) -> NewInspection {
    let gates = gates.iter().map(|gate| (*gate).to_owned()).collect();
    NewInspection { id: Uuid::now_v7(), media, shortest_s: 2.0, gates }
}

fn loopback() -> std::net::SocketAddr {
    std::net::SocketAddr::from(([127, 0, 0, 1], 0))
}

/// What the real probe says of a file.
fn probe(file: &Path) -> flame_api::media::Probe {
    let said = Command::new(program("flame-media")).arg("probe").arg(file).output().expect("flame-media starts");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    serde_json::from_slice(&said.stdout).expect("the probe is JSON")
}
