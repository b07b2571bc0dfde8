//! Everything that a job needs, real and on free ports: object store, router, catalogue, and the service itself.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use flame_api::Client;
use flame_api::media::Probe;
use flame_api::metadata::{Asset, NewAsset, Source};
use flame_api::transcode::{Job, NewJob};
use flame_object_store::{EmbeddedConfig, EmbeddedServer, RunningStore, SecretKey, Store, StoreConfig};
use flame_service_host::config::Span;
use flame_service_host::{HostConfig, Running};
use flame_test_kit::clips::recipe;
pub use flame_test_kit::processes::{kill, media_processes};
use flame_test_kit::programs::program;
use flame_test_kit::{Scratch, eventually};
use flame_transcode::Config;
use reqwest::Method;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Longest wait for a job on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);
const SECRET: &str = "only for tests";

pub struct World {
    pub folder: Scratch,
    pub config: Config,
    pub client: Client,
    pub objects: Store,
    pub transcode: Option<Running>,
    pub metadata: Option<Running>,
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
        let folder = Scratch::new("transcode");
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
        let store = store_config(&server.endpoint());
        let objects = Store::connect(&store);
        objects.ensure_bucket().await.expect("the bucket is made");
        let router = flame_router::Config {
            host: HostConfig { listen: loopback(), ..HostConfig::default() },
            ..flame_router::Config::default()
        };
        let router = flame_router::start(router).await.expect("the router starts");
        let url = format!("http://{}", router.address()).parse().expect("an address makes a URL");
        let config = config(&folder, store, Some(url));
        let client = Client::new(config.host.router.clone().expect("set above"), None);
        let mut world =
            Self { folder, config, client, objects, transcode: None, metadata: None, _router: router, _server: server };
        world.start_metadata().await;
        world
    }

    pub async fn start_metadata(&mut self) {
        let host = HostConfig { router: self.config.host.router.clone(), ..HostConfig::default() };
        let database = self.folder.join("metadata.db").into();
        let config = flame_metadata::Config { host, database, ..flame_metadata::Config::default() };
        self.metadata = Some(flame_metadata::start(config).await.expect("the catalogue starts"));
        eventually(PATIENCE, || async { self.client.asset(Uuid::nil()).await.map(drop) }).await;
    }

    pub async fn start_service(&mut self) {
        self.transcode = Some(flame_transcode::start(self.config.clone()).await.expect("the service starts"));
        self.until_registered().await;
    }

    pub async fn until_registered(&self) {
        eventually(PATIENCE, || async {
            let answer = self.client.request(Method::GET, "transcode", "health/ready").send().await;
            answer.and_then(reqwest::Response::error_for_status).map(drop)
        })
        .await;
    }

    pub fn base(&self) -> String {
        format!("http://{}", self.transcode.as_ref().expect("the service runs").address())
    }

    /// Uploads and registers a file as a new asset; returns the job that would condition it.
    pub async fn job_for(&self, file: &Path) -> NewJob {
        self.job_with(file, probe(file)).await
    }

    /// The same, with a probe of the test's own.
    pub async fn job_with(&self, file: &Path, probe: Probe) -> NewJob {
        let asset_id = Uuid::now_v7();
        let source_key = format!("default/sources/{asset_id}");
        self.objects.put_file(&source_key, file, "application/octet-stream").await.expect("the source is stored");
        let source = Source {
            key: source_key.clone(),
            file_name: None,
            size_bytes: std::fs::metadata(file).expect("the file is there").len(),
            sha256: hex::encode(Sha256::digest(std::fs::read(file).expect("the file is there"))),
        };
        let asset =
            NewAsset { id: asset_id, title: "A clip".to_owned(), source, probe: probe.clone(), poster_key: None };
        self.client.create_asset(&asset).await.expect("the asset is registered");
        NewJob {
            id: Uuid::now_v7(),
            chain: "ladder".to_owned(),
            document: None,
            parameters: Default::default(),
            asset_id,
            source_key,
            probe,
        }
    }

    /// Queues a job.
    pub async fn queue(&self, job: &NewJob) -> Job {
        self.client.create_job(job).await.expect("the job is queued")
    }

    /// The job, once this holds.
    pub async fn until(&self, id: Uuid, what: &str, holds: impl Fn(&Job) -> bool) -> Job {
        eventually(PATIENCE, || async {
            let job = self.client.job(id).await.map_err(|error| error.to_string())?;
            let job = job.ok_or("there is no such job")?;
            if holds(&job) { Ok(job) } else { Err(format!("waiting until {what}: {job:?}")) }
        })
        .await
    }

    pub async fn until_final(&self, id: Uuid) -> Job {
        self.until(id, "it has ended", |job| job.state.is_final()).await
    }

    /// The job, once a media process encodes.
    pub async fn until_encoding(&self, id: Uuid) -> Job {
        self.until(id, "it encodes", |job| job.stage == "encoding" && job.progress > 0.05).await
    }

    pub async fn asset(&self, id: Uuid) -> Asset {
        self.client.asset(id).await.expect("the catalogue answers").expect("the asset is there")
    }

    /// Keys of everything that conditioning has stored.
    pub async fn media_keys(&self) -> Vec<String> {
        let page = self.objects.list("default/media/", None).await.expect("the store answers");
        assert!(page.next.is_none());
        page.objects.into_iter().map(|object| object.key).collect()
    }

    /// Nothing is left of any job: no object, no unfinished upload, no file.
    pub async fn assert_nothing_left(&self) {
        assert_eq!(self.media_keys().await, Vec::<String>::new());
        let open = self.objects.list_multipart("default/media/", 10).await.expect("the store answers");
        assert!(open.is_empty(), "{open:?}");
        self.assert_scratch_is_empty();
    }

    pub fn assert_scratch_is_empty(&self) {
        let left: Vec<PathBuf> = std::fs::read_dir(self.config.scratch.join("jobs"))
            .expect("the folder is there")
            .map(|entry| entry.expect("it can be read").path())
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// A configuration with the short times that tests want.
pub fn config(folder: &Scratch, store: StoreConfig, router: Option<url::Url>) -> Config {
    let mut config = Config::new(store);
    config.host.router = router;
    config.database = folder.join("transcode/jobs.db");
    config.scratch = folder.join("scratch");
    config.jobs.poll = Span(Duration::from_millis(100));
    config.jobs.backoff = Span(Duration::from_millis(100));
    config.jobs.close_pause = Span(Duration::from_millis(100));
    config
}

pub fn store_config(endpoint: &str) -> StoreConfig {
    StoreConfig {
        endpoint: endpoint.to_owned(),
        region: "us-east-1".to_owned(),
        bucket: "flame".to_owned(),
        access_key: "test".to_owned(),
        secret_key: SecretKey::new(SECRET),
    }
}

fn loopback() -> std::net::SocketAddr {
    std::net::SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Two seconds, quickly encoded.
pub fn short_clip() -> PathBuf {
    recipe("synthetic").seconds(2.0).make()
}

/// Long enough to do something while it is encoded.
pub fn long_clip() -> PathBuf {
    recipe("synthetic").seconds(12.0).size(1280, 720).make()
}

/// What the real probe says of a file.
pub fn probe(file: &Path) -> Probe {
    let said = Command::new(program("flame-media")).arg("probe").arg(file).output().expect("flame-media starts");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    serde_json::from_slice(&said.stdout).expect("the probe is JSON")
}

/// What the real probe says of [`short_clip`], asked once.
pub fn short_probe() -> Probe {
    static SAID: OnceLock<Probe> = OnceLock::new();
    SAID.get_or_init(|| probe(&short_clip())).clone()
}
