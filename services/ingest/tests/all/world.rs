//! A running service with a scratch folder, and the words in which tests speak to it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flame_api::Problem;
use flame_api::ingest::{Upload, UploadState};
use flame_ingest::Running;
use flame_ingest::config::{Config, EmbeddedStore, LadderConfig, Limits, PullConfig, Quotas, ScrubConfig, StoreChoice};
use flame_object_store::{SecretKey, Store, StoreConfig};
use flame_service_host::HostConfig;
use flame_test_kit::{Scratch, eventually, ports};
use rand::RngCore;
use rand::SeedableRng;
use rand::rngs::StdRng;
use reqwest::{Method, RequestBuilder, Response};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use uuid::Uuid;

/// Long enough for two busy cores.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const MIB: usize = 1 << 20;
/// Part size of the tests: S3's minimum.
pub const PART: usize = 5 * MIB;

pub struct World {
    pub scratch: Scratch,
    pub config: Config,
    running: Option<Running>,
    http: reqwest::Client,
}

/// A client of one tus upload, over one or many connections.
pub struct Tus {
    pub base: String,
    pub id: Uuid,
    pub http: reqwest::Client,
}

/// Without its media program the service waits before it looks into a file: what was stored stays to be compared.
pub fn without_media(config: &mut Config) {
    config.media_program = Some("/nonexistent/flame-media".into());
}

pub fn config(folder: &Path) -> Config {
    Config {
        host: HostConfig { min_free_disk_percent: 0.0, ..HostConfig::default() },
        data: folder.join("ingest"),
        store: StoreChoice::Embedded(EmbeddedStore {
            root: folder.join("objects"),
            listen: "127.0.0.1:0".parse().unwrap(),
            bucket: "flame".to_owned(),
            access_key: "test".to_owned(),
            secret_key: "test-secret".to_owned(),
            min_free_disk_percent: 0,
            max_connections: 64,
            max_writes: 16,
        }),
        limits: Limits {
            part: flame_service_host::config::Bytes(PART as u64),
            max_backoff: flame_service_host::config::Span(Duration::from_millis(500)),
            ..Limits::default()
        },
        quotas: Quotas::default(),
        pulls: PullConfig::default(),
        scrub: ScrubConfig::default(),
        rtmp: None,
        srt: None,
        whip: None,
        push: None,
        sources: None,
        ladder: LadderConfig::default(),
        allowed_origins: Vec::new(),
        media_program: None,
    }
}

impl World {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let scratch = Scratch::new("ingest");
        let mut config = config(&scratch);
        change(&mut config);
        // The same ports after a restart.
        let [http, s3] = ports::free_tcp();
        config.host.listen = SocketAddr::from(([127, 0, 0, 1], http));
        if let StoreChoice::Embedded(store) = &mut config.store {
            store.listen = SocketAddr::from(([127, 0, 0, 1], s3));
        }
        let running = flame_ingest::start(config.clone()).await.expect("the service starts");
        Self { scratch, config, running: Some(running), http: reqwest::Client::new() }
    }

    pub async fn stop(&mut self) {
        self.running.take().expect("it runs").stop().await;
    }

    pub async fn resume(&mut self) {
        self.running = Some(flame_ingest::start(self.config.clone()).await.expect("the service starts again"));
    }

    pub async fn restart(&mut self) {
        self.stop().await;
        self.resume().await;
    }

    pub fn base(&self) -> String {
        format!("http://{}", self.config.host.listen)
    }

    pub fn store(&self) -> Store {
        Store::connect(self.running.as_ref().expect("it runs").store())
    }

    pub fn store_address(&self) -> SocketAddr {
        self.running.as_ref().and_then(Running::store_address).expect("the store is embedded")
    }

    pub fn store_config(&self) -> StoreConfig {
        self.running.as_ref().expect("it runs").store().clone()
    }

    pub fn rtmp_address(&self) -> SocketAddr {
        self.running.as_ref().and_then(Running::rtmp_address).expect("it has the RTMP door")
    }

    pub fn srt_address(&self) -> SocketAddr {
        self.running.as_ref().and_then(Running::srt_address).expect("it has the SRT door")
    }

    pub fn whip_address(&self) -> SocketAddr {
        self.running.as_ref().and_then(Running::whip_address).expect("it has the WHIP door")
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base()))
    }

    pub fn tus(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).header("tus-resumable", "1.0.0")
    }

    /// Announces an upload with these headers.
    pub async fn announce_with(&self, headers: &[(&str, &str)]) -> Tus {
        Tus::announce_with(&self.base(), headers).await.expect("the service answers")
    }

    /// A partial upload of these bytes, complete.
    pub async fn partial(&self, body: &[u8]) -> Tus {
        let length = body.len().to_string();
        let tus = self.announce_with(&[("upload-concat", "partial"), ("upload-length", &length)]).await;
        assert_eq!(tus.send(0, body).await, body.len());
        tus
    }

    /// Asks for a final upload that is made of these.
    pub async fn concatenate(&self, partials: &[&Tus]) -> Response {
        let urls: Vec<_> = partials.iter().map(|tus| format!("/uploads/{}", tus.id)).collect();
        let concat = format!("final;{}", urls.join(" "));
        let labels = metadata(&[("filename", "whole.mp4"), ("chain", "none")]);
        let post = self.tus(Method::POST, "/uploads").header("upload-concat", concat).header("upload-metadata", labels);
        post.send().await.unwrap()
    }

    /// Announces an upload of this length.
    pub async fn announce(&self, length: usize) -> Tus {
        Tus::announce(&self.base(), length, "clip.mp4").await
    }

    pub async fn upload(&self, id: Uuid) -> Upload {
        json(self.request(Method::GET, &format!("/uploads/{id}")).send().await.unwrap(), 200).await
    }

    /// Waits for a final state.
    pub async fn settled(&self, id: Uuid) -> Upload {
        eventually(PATIENCE, || async {
            let upload = self.upload(id).await;
            match upload.state {
                UploadState::Done | UploadState::Failed => Ok(upload),
                UploadState::Receiving | UploadState::Processing => Err(format!("{upload:?}")),
            }
        })
        .await
    }

    /// Waits until the source of a complete upload is one object, and compares it byte for byte.
    pub async fn check_stored(&self, id: Uuid, body: &[u8]) {
        check_stored(&self.base(), &self.store(), id, body).await;
    }

    /// Waits until a whole part has come in, and so a body is in motion.
    pub async fn part_on_its_way(&self) {
        let store = self.store();
        eventually(PATIENCE, || async {
            let open = store.list_multipart("", 1).await.unwrap();
            if open.is_empty() { Err("no part is on its way") } else { Ok(()) }
        })
        .await;
    }

    /// Has a slow upload hold three parts of memory, until the task is aborted.
    pub async fn hold_all_memory(&self) -> tokio::task::JoinHandle<()> {
        let tus = self.announce(5 * PART).await;
        let mut stream = tus.begin(0, 5 * PART, &noise(999, 3 * PART + MIB)).await;
        // The first part is noted when the third one is full: then the fourth one fills, with two on their way.
        eventually(PATIENCE, || async {
            let offset = self.upload(tus.id).await.offset_bytes;
            if offset >= PART as u64 { Ok(()) } else { Err(offset) }
        })
        .await;
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(200));
            loop {
                ticks.tick().await;
                if stream.write_all(b"x").await.is_err() {
                    return;
                }
            }
        })
    }

    /// Every key in the bucket.
    pub async fn keys(&self) -> Vec<String> {
        keys(&self.store()).await
    }

    /// Waits until nothing is left in the bucket, parts of uploads included.
    pub async fn check_empty(&self) {
        let store = self.store();
        eventually(PATIENCE, || async {
            let keys = keys(&store).await;
            let open = store.list_multipart("", 10).await.unwrap();
            if keys.is_empty() && open.is_empty() { Ok(()) } else { Err(format!("{keys:?} {open:?}")) }
        })
        .await;
    }
}

impl Tus {
    /// Announces an upload with these headers; `None` if there is no answer.
    pub async fn announce_with(base: &str, headers: &[(&str, &str)]) -> Option<Self> {
        let http = reqwest::Client::new();
        let mut post = http.post(format!("{base}/uploads")).header("tus-resumable", "1.0.0");
        post = post.header("upload-metadata", metadata(&[("chain", "none")]));
        for (name, value) in headers {
            post = post.header(*name, *value);
        }
        let answer = post.send().await.ok()?;
        let status = answer.status();
        assert!(status == 201, "{status}: {}", answer.text().await.unwrap_or_default());
        Some(Self { base: base.to_owned(), id: location(&answer), http })
    }

    pub async fn announce(base: &str, length: usize, name: &str) -> Self {
        let http = reqwest::Client::new();
        // A busy disk may keep the database for longer than a request waits: then it is said so, and asked again.
        let answer = eventually(Duration::from_secs(60), || async {
            let post = http
                .post(format!("{base}/uploads"))
                .header("tus-resumable", "1.0.0")
                .header("upload-length", length)
                .header("upload-metadata", metadata(&[("filename", name), ("chain", "none")]));
            let answer = post.send().await.unwrap();
            if answer.status() == 503 { Err(answer.text().await.unwrap_or_default()) } else { Ok(answer) }
        })
        .await;
        assert_eq!(answer.status(), 201);
        Self { base: base.to_owned(), id: location(&answer), http }
    }

    pub fn url(&self) -> String {
        format!("{}/uploads/{}", self.base, self.id)
    }

    pub fn patch(&self, offset: usize) -> RequestBuilder {
        self.http
            .patch(self.url())
            .header("tus-resumable", "1.0.0")
            .header("content-type", "application/offset+octet-stream")
            .header("upload-offset", offset)
    }

    /// Sends these bytes and returns the offset that was acknowledged.
    pub async fn send(&self, offset: usize, bytes: &[u8]) -> usize {
        let answer = self.patch(offset).body(bytes.to_vec()).send().await.unwrap();
        assert_eq!(answer.status(), 204);
        header(&answer, "upload-offset")
    }

    /// Sends `body` up to `end` as a client does that is not alone: told that the upload stands elsewhere, it asks where.
    /// A request of a connection that broke may reach the service after ours.
    pub async fn insist(&self, body: &[u8], mut offset: usize, end: usize) -> usize {
        while offset < end {
            let answer = self.patch(offset).body(body[offset..end].to_vec()).send().await.unwrap();
            match answer.status().as_u16() {
                204 => offset = header(&answer, "upload-offset"),
                409 | 423 => offset = self.offset().await,
                other => panic!("{other}"),
            }
        }
        offset
    }

    pub async fn offset(&self) -> usize {
        self.try_offset().await.unwrap()
    }

    pub async fn try_offset(&self) -> Result<usize, String> {
        let answer = self.http.head(self.url()).header("tus-resumable", "1.0.0").send().await;
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status() == 200 { Ok(header(&answer, "upload-offset")) } else { Err(answer.status().to_string()) }
    }

    /// Opens a connection that promises `promised` bytes from `offset` on and sends `bytes` only.
    pub async fn begin(&self, offset: usize, promised: usize, bytes: &[u8]) -> TcpStream {
        let address = self.base.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "PATCH /uploads/{} HTTP/1.1\r\nHost: {address}\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: {offset}\r\n\
             Content-Type: application/offset+octet-stream\r\nContent-Length: {promised}\r\n\r\n",
            self.id
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    }
}

pub fn metadata(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<_> = pairs.iter().map(|(key, value)| format!("{key} {}", STANDARD.encode(value))).collect();
    pairs.join(",")
}

pub fn location(answer: &Response) -> Uuid {
    let location = answer.headers()["location"].to_str().unwrap();
    location.strip_prefix("/uploads/").expect("an absolute path").parse().unwrap()
}

pub fn header(answer: &Response, name: &str) -> usize {
    answer.headers()[name].to_str().unwrap().parse().unwrap()
}

/// Bytes that no compression and no coincidence makes equal; the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The body of an answer that has this status.
pub async fn json<T: serde::de::DeserializeOwned>(answer: Response, status: u16) -> T {
    let got = answer.status();
    let body = answer.text().await.expect("the body is text");
    assert_eq!(got, status, "{body}");
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

/// The detail of a problem that has this status and kind.
pub async fn problem(answer: Response, status: u16, slug: &str) -> String {
    assert_eq!(answer.headers()["content-type"], "application/problem+json", "{answer:?}");
    let problem: Problem = json(answer, status).await;
    assert_eq!((problem.slug(), problem.status), (slug, status), "{problem}");
    problem.detail
}

pub async fn keys(store: &Store) -> Vec<String> {
    store.list("", None).await.unwrap().objects.into_iter().map(|object| object.key).collect()
}

pub async fn check_stored(base: &str, store: &Store, id: Uuid, body: &[u8]) {
    let key = format!("default/sources/{id}");
    eventually(PATIENCE, || async {
        match store.head(&key).await {
            Ok(Some(info)) if info.size_bytes == body.len() as u64 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let stored = store.get(&key, body.len() as u64).await.unwrap();
    assert!(stored == body, "the stored bytes differ");
    let upload: Upload = json(reqwest::get(format!("{base}/uploads/{id}")).await.unwrap(), 200).await;
    assert_eq!(upload.sha256.as_deref(), Some(sha256(body).as_str()));
    assert_eq!(upload.offset_bytes, body.len() as u64);
    // Nothing lies beside the source: no tail, no part.
    eventually(PATIENCE, || async {
        let prefix = format!("default/uploads/{id}/");
        let beside = store.list(&prefix, None).await.unwrap().objects;
        let open = store.list_multipart(&key, 10).await.unwrap();
        if beside.is_empty() && open.is_empty() { Ok(()) } else { Err(format!("{beside:?} {open:?}")) }
    })
    .await;
}

pub fn store_at(address: SocketAddr) -> Store {
    Store::connect(&StoreConfig {
        endpoint: format!("http://{address}"),
        region: "us-east-1".to_owned(),
        bucket: "flame".to_owned(),
        access_key: "test".to_owned(),
        secret_key: SecretKey::new("test-secret"),
    })
}
