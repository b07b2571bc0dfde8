//! A running service with a scratch database, and assets to put into it.

use flame_api::Problem;
use flame_api::media::{AudioStream, Probe, Rational, SoundRole, Track, TrackKind, VideoStream};
use flame_api::metadata::{Asset, NewAsset, NewVersion, Source};
use flame_metadata::Config;
use flame_metadata::config::Location;
use flame_service_host::Running;
use flame_test_kit::{Postgres, Scratch};
use reqwest::{Method, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

/// The database that a world's catalogue lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    Sqlite,
    Postgres,
}

pub struct World {
    /// Holds the SQLite file.
    _folder: Scratch,
    pub running: Running,
    pub config: Config,
    pub postgres: Option<Postgres>,
    http: reqwest::Client,
    tenant: Option<&'static str>,
}

impl On {
    /// Whether this machine has it; says so loudly where not.
    pub fn is_there(self) -> bool {
        let is_there = self == Self::Sqlite || flame_test_kit::postgres::is_installed();
        if !is_there {
            flame_test_kit::loud_skip("PostgreSQL is not installed (tools/deps test)");
        }
        is_there
    }

    /// A database: a file in `folder`, or a server that ends with the value.
    pub async fn database(self, folder: &Scratch) -> (Location, Option<Postgres>) {
        match self {
            Self::Sqlite => (folder.join("catalogue/metadata.db").into(), None),
            Self::Postgres => {
                let postgres = Postgres::start().await;
                (Location::Postgres(postgres.url()), Some(postgres))
            }
        }
    }
}

impl World {
    /// An empty catalogue, open to everybody on loopback.
    pub async fn start(on: On) -> Self {
        Self::start_with(on, |_| {}).await
    }

    /// An empty catalogue with a configuration of its own.
    pub async fn start_with(on: On, change: impl FnOnce(&mut Config)) -> Self {
        let folder = Scratch::new("metadata");
        let (database, postgres) = on.database(&folder).await;
        let mut config = Config { database, ..Config::default() };
        change(&mut config);
        let running = flame_metadata::start(config.clone()).await.expect("the service starts");
        Self { _folder: folder, running, config, postgres, http: reqwest::Client::new(), tenant: None }
    }

    /// The same service, spoken to for another tenant.
    pub fn act_for(&mut self, tenant: Option<&'static str>) {
        self.tenant = tenant;
    }

    pub fn base(&self) -> String {
        format!("http://{}", self.running.address())
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base()));
        match self.tenant {
            Some(tenant) => request.header("flame-tenant", tenant),
            None => request,
        }
    }

    pub async fn send(&self, method: Method, path: &str, body: &impl Serialize) -> Response {
        self.request(method, path).json(body).send().await.expect("the service answers")
    }

    pub async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.expect("the service answers")
    }

    /// Registers a new asset with this title.
    pub async fn register(&self, title: &str) -> Asset {
        let new = NewAsset { title: title.to_owned(), ..new_asset(self.tenant.unwrap_or("default")) };
        json(self.send(Method::POST, "/assets", &new).await, 201).await
    }

    /// The asset as it is now.
    pub async fn asset(&self, id: Uuid) -> Asset {
        json(self.get(&format!("/assets/{id}")).await, 200).await
    }
}

/// The body of an answer that has this status.
pub async fn json<T: DeserializeOwned>(answer: Response, status: u16) -> T {
    let got = answer.status();
    let body = answer.text().await.expect("the body is text");
    assert_eq!(got, status, "{body}");
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

/// The detail of a problem that has this status and kind.
pub async fn problem(answer: Response, status: u16, slug: &str) -> String {
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let problem: Problem = json(answer, status).await;
    assert_eq!((problem.slug(), problem.status), (slug, status), "{problem}");
    problem.detail
}

pub fn new_asset(tenant: &str) -> NewAsset {
    let id = Uuid::now_v7();
    NewAsset {
        id,
        title: "A clip".to_owned(),
        source: Source {
            key: format!("{tenant}/sources/{id}"),
            file_name: Some("clip.mp4".to_owned()),
            size_bytes: 1_234_567,
            sha256: "0123456789abcdef".repeat(4),
        },
        probe: Probe {
            container: "mov,mp4,m4a,3gp,3g2,mj2".to_owned(),
            duration_ms: 5_280,
            bitrate_bps: 1_870_556,
            video: Some(VideoStream {
                codec: "h264".to_owned(),
                width: 1280,
                height: 720,
                display_width: 1280,
                display_height: 720,
                rotation_deg: 0,
                pixel_aspect: Rational { num: 1, den: 1 },
                frame_rate: Some(Rational { num: 30_000, den: 1001 }),
                variable_frame_rate: false,
                timescale: Some(30_000),
                pixel_format: "yuv420p".to_owned(),
                bit_depth: 8,
                interlaced: false,
                duration_ms: Some(5_280),
            }),
            audio: Some(AudioStream {
                number: 0,
                codec: "aac".to_owned(),
                sample_rate_hz: 48_000,
                channels: 2,
                language: Some("eng".to_owned()),
                role: SoundRole::Main,
                title: None,
                duration_ms: Some(5_248),
            }),
            other_audio: Vec::new(),
        },
        poster_key: Some(format!("{tenant}/posters/{id}.jpg")),
    }
}

pub fn new_version() -> NewVersion {
    NewVersion {
        job_id: Some(Uuid::now_v7()),
        chain: "ladder".to_owned(),
        tracks: vec![video(720), video(360), audio()],
        thumbnails: None,
        conditioning: None,
    }
}

pub fn video(height: u32) -> Track {
    Track {
        name: format!("v{height}"),
        kind: TrackKind::Video,
        codec: "avc1.64001f".to_owned(),
        width: Some(height * 16 / 9),
        height: Some(height),
        frame_rate: Some(Rational { num: 30_000, den: 1001 }),
        channels: None,
        sample_rate_hz: None,
        language: None,
        role: SoundRole::Main,
        title: None,
        source_sound: None,
        duration_ms: 5_280,
        samples: 158,
        average_bandwidth_bps: 2_900_000,
        peak_bandwidth_bps: 4_100_000,
        size_bytes: 1_900_000,
    }
}

pub fn audio() -> Track {
    Track {
        name: "a128".to_owned(),
        kind: TrackKind::Audio,
        codec: "mp4a.40.2".to_owned(),
        width: None,
        height: None,
        frame_rate: None,
        channels: Some(2),
        sample_rate_hz: Some(48_000),
        language: Some("eng".to_owned()),
        role: SoundRole::Main,
        title: None,
        source_sound: Some(0),
        duration_ms: 5_248,
        samples: 246,
        average_bandwidth_bps: 128_000,
        peak_bandwidth_bps: 131_000,
        size_bytes: 84_000,
    }
}
