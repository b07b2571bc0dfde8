//! What the service is told. `config.example.toml` holds every key with its meaning.

use std::path::PathBuf;
use std::time::Duration;

use flame_jobs::job::{Bounds, Leaves};
use flame_object_store::StoreConfig;
use flame_service_host::HostConfig;
use flame_service_host::config::{Bytes, Span};
use serde::Deserialize;

/// The configuration of the transcode service.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What every service is told. The router is needed: that is how finished work reaches the catalogue.
    #[serde(default)]
    pub host: HostConfig,
    /// The SQLite file of the jobs; it and its folder are made if they are not there.
    #[serde(default = "default_database")]
    pub database: PathBuf,
    /// Connections that read at once; one more writes.
    #[serde(default = "default_database_readers")]
    pub database_readers: u32,
    /// Time that a request waits for a free connection, or for another process's lock, before it gets 503.
    #[serde(default = "default_database_wait")]
    pub database_wait: Span,
    /// Folder for sources and tracks on their way; made if it is not there. One process at a time; emptied at start.
    #[serde(default = "default_scratch")]
    pub scratch: PathBuf,
    /// The program that does the media work; by default `flame-media` beside the running program, else in `PATH`.
    #[serde(default)]
    pub media_program: Option<PathBuf>,
    /// Callers that may watch jobs at once (`GET /jobs/{id}/events`); more get 503.
    #[serde(default = "default_watchers_max")]
    pub watchers_max: usize,
    /// How jobs are run.
    #[serde(default)]
    pub jobs: JobConfig,
    /// What was made before.
    #[serde(default)]
    pub reuse: ReuseConfig,
    /// Pictures of long sources in chunks.
    #[serde(default)]
    pub chunks: ChunkConfig,
    /// How renditions are made in the path of requests.
    #[serde(default)]
    pub transrate: TransrateConfig,
    /// How live ladders are made.
    #[serde(default)]
    pub live: LiveConfig,
    /// Where sources come from and tracks go to.
    pub store: StoreConfig,
}

/// `[reuse]`: what was made before is taken again, and not made anew.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReuseConfig {
    /// For how long after it was made, or taken last; `0s` takes nothing again.
    pub keep: Span,
    /// Outputs of each tenant that are remembered, tracks and sheets of thumbnails; of more, the oldest are forgotten. It has to be more
    /// than one job makes: those are of one age, and are forgotten together.
    pub outputs_max: u32,
}

/// `[chunks]`: the pictures of a long source are encoded in chunks, by all processes that share the database.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChunkConfig {
    /// About how long each of them is; a source of less than two of these is encoded in one piece, and with `0s` every one.
    pub length: Span,
    /// Chunks that this process encodes at once, at least as many as jobs: of its own jobs and of those of the other processes.
    pub at_once: usize,
    /// Room in the object store for chunks on their way; a job whose chunks have none is encoded in one piece.
    pub budget: Bytes,
    /// How long a chunk stays that no job wants, for one that wants the same.
    pub keep: Span,
}

/// `[transrate]`: renditions that are made when somebody asks for them, below `/derived`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TransrateConfig {
    /// The name that media comes from: streaming, or the surrogate of this site.
    pub upstream: String,
    /// Shorter sides in pixels that are offered where they are missing; none offers nothing.
    pub rungs: Vec<u32>,
    /// Segments that are made at once; others wait.
    pub at_once: usize,
    /// Segments that may wait, each for at most `deadline`; further ones are answered with 503.
    pub waiting_max: usize,
    /// x264's constant rate factor.
    pub crf: u32,
    /// x264's preset.
    pub preset: Preset,
    /// Memory for what was made.
    pub memory: Bytes,
    /// The largest segment of a source.
    pub segment_max: Bytes,
    /// Time for each answer of upstream, and for making a segment.
    pub deadline: Span,
}

/// `[live]`: smaller renditions of live media, made while it comes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LiveConfig {
    /// Ladders at once, each with a media process of its own; more are refused with 503.
    pub at_once: usize,
    /// Ladders of one tenant at once, of those; more are refused with 503.
    pub at_once_of_tenant: usize,
    /// Shorter sides in pixels, for channels that name none; those that are smaller than what comes are made.
    pub rungs: Vec<u32>,
    /// x264's preset, always tuned for no latency.
    pub preset: Preset,
    /// Time for the description of a ladder to come, and for its media process to begin.
    pub patience: Span,
    /// A source that brings nothing for this long has gone.
    pub idle: Span,
    /// A media process that makes nothing for this long of what comes hangs, and is ended.
    pub stuck: Span,
}

/// `[jobs]`: how jobs are run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JobConfig {
    /// Jobs that are encoded at once.
    pub at_once: usize,
    /// Niceness of the media work, 0 to 19: viewers who are served on the same machine have the processor first.
    pub nice: u8,
    /// Jobs of each tenant that may wait; further ones get 503.
    pub queued_max: u32,
    /// Jobs of each tenant that have ended and are kept; the oldest of more are forgotten.
    pub kept_max: u32,
    /// x264's preset: `ultrafast` to `placebo`.
    pub preset: Preset,
    /// Life of a worker's lease that is not renewed; renewed at a third of it.
    pub lease: Span,
    /// Failures after which a job is given up.
    pub failures_max: u32,
    /// Attempts after which it is given up, whatever ended them.
    pub attempts_max: u32,
    /// Pause after the first failure; it doubles with each further one.
    pub backoff: Span,
    /// Longest pause.
    pub backoff_max: Span,
    /// Time that an attempt waits for metadata or the object store while they are away.
    pub patience: Span,
    /// Pause before the removal of a failed or cancelled job's objects is tried again.
    pub close_pause: Span,
    /// Time for encoding, whatever the length of the source.
    pub deadline: Span,
    /// Further time for each second of the source.
    pub deadline_per_second: Span,
    /// Longest time for encoding, however long the source is said to be.
    pub deadline_max: Span,
    /// How often the queue is looked at without a reason.
    pub poll: Span,
}

/// One of x264's presets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "x264's own words")]
pub enum Preset {
    Ultrafast,
    Superfast,
    Veryfast,
    Faster,
    Fast,
    Medium,
    Slow,
    Slower,
    Veryslow,
    Placebo,
}

// === impl Config ===

impl Config {
    /// The defaults, with this object store.
    #[must_use]
    pub fn new(store: StoreConfig) -> Self {
        Self {
            host: HostConfig::default(),
            database: default_database(),
            database_readers: default_database_readers(),
            database_wait: default_database_wait(),
            scratch: default_scratch(),
            media_program: None,
            watchers_max: default_watchers_max(),
            jobs: JobConfig::default(),
            reuse: ReuseConfig::default(),
            chunks: ChunkConfig::default(),
            transrate: TransrateConfig::default(),
            live: LiveConfig::default(),
            store,
        }
    }
}

fn default_database() -> PathBuf {
    PathBuf::from("transcode.db")
}

fn default_database_readers() -> u32 {
    4
}

fn default_database_wait() -> Span {
    Span(Duration::from_secs(5))
}

fn default_scratch() -> PathBuf {
    PathBuf::from("transcode-scratch")
}

fn default_watchers_max() -> usize {
    256
}

// === impl ReuseConfig ===

impl Default for ReuseConfig {
    fn default() -> Self {
        Self { keep: Span(Duration::from_secs(90 * 24 * 3600)), outputs_max: 100_000 }
    }
}

// === impl ChunkConfig ===

impl Default for ChunkConfig {
    fn default() -> Self {
        Self {
            length: Span(Duration::from_secs(30)),
            at_once: 1,
            budget: Bytes(32 << 30),
            keep: Span(Duration::from_secs(3600)),
        }
    }
}

// === impl TransrateConfig ===

impl Default for TransrateConfig {
    fn default() -> Self {
        Self {
            upstream: "streaming".to_owned(),
            rungs: vec![480, 360, 240],
            at_once: 2,
            waiting_max: 64,
            crf: 24,
            preset: Preset::Veryfast,
            memory: Bytes(128 << 20),
            segment_max: Bytes(64 << 20),
            deadline: Span(Duration::from_secs(10)),
        }
    }
}

// === impl LiveConfig ===

impl Default for LiveConfig {
    fn default() -> Self {
        Self {
            at_once: 2,
            at_once_of_tenant: 2,
            rungs: vec![720, 480, 360, 240],
            preset: Preset::Veryfast,
            patience: Span(Duration::from_secs(10)),
            idle: Span(Duration::from_secs(60)),
            stuck: Span(Duration::from_secs(10)),
        }
    }
}

// === impl JobConfig ===

impl Default for JobConfig {
    fn default() -> Self {
        let seconds = |seconds| Span(Duration::from_secs(seconds));
        Self {
            at_once: 1,
            nice: 10,
            queued_max: 10_000,
            kept_max: 10_000,
            preset: Preset::Veryfast,
            lease: seconds(30),
            failures_max: 3,
            attempts_max: 20,
            backoff: seconds(2),
            backoff_max: seconds(60),
            patience: seconds(600),
            close_pause: seconds(5),
            deadline: seconds(600),
            deadline_per_second: seconds(60),
            deadline_max: seconds(48 * 3600),
            poll: seconds(1),
        }
    }
}

impl JobConfig {
    /// What bounds each job.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        Bounds {
            lease: self.lease.0,
            failures_max: self.failures_max.max(1),
            attempts_max: self.attempts_max.max(1),
            backoff: self.backoff.0,
            backoff_max: self.backoff_max.0,
            leaves: Leaves::Objects { close_pause: self.close_pause.0 },
        }
    }
}

// === impl Preset ===

impl Preset {
    /// As x264 spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ultrafast => "ultrafast",
            Self::Superfast => "superfast",
            Self::Veryfast => "veryfast",
            Self::Faster => "faster",
            Self::Fast => "fast",
            Self::Medium => "medium",
            Self::Slow => "slow",
            Self::Slower => "slower",
            Self::Veryslow => "veryslow",
            Self::Placebo => "placebo",
        }
    }
}
