//! What the service is told. `config.example.toml` holds every key with its meaning.

use std::path::PathBuf;
use std::time::Duration;

use flame_jobs::job::{Bounds, Leaves};
use flame_object_store::StoreConfig;
use flame_service_host::HostConfig;
use flame_service_host::config::Span;
use serde::Deserialize;

/// The configuration of the quality service.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What every service is told. The router is needed: that is how the catalogue and what plays are reached.
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
    /// Folder for the files of results, and for media on their way; made if it is not there. One process at a time.
    #[serde(default = "default_folder")]
    pub folder: PathBuf,
    /// The program that does the media work; by default `flame-media` beside the running program, else in `PATH`.
    #[serde(default)]
    pub media_program: Option<PathBuf>,
    /// Callers that may watch jobs at once (`…/events`); more get 503.
    #[serde(default = "default_watchers_max")]
    pub watchers_max: usize,
    /// How jobs are run.
    #[serde(default)]
    pub jobs: JobConfig,
    /// What is kept of suites.
    #[serde(default)]
    pub suites: SuiteConfig,
    /// What may be opened.
    #[serde(default)]
    pub media: MediaConfig,
    /// Where sources and tracks come from.
    pub store: StoreConfig,
}

/// `[jobs]`: how jobs are run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JobConfig {
    /// Jobs that are measured at once.
    pub at_once: usize,
    /// Threads of libvmaf for each; 0 for one a core.
    pub threads: u32,
    /// Niceness of the media work, 0 to 19: viewers who are served on the same machine have the processor first.
    pub nice: u8,
    /// Jobs of each tenant that may wait; further ones get 503.
    pub queued_max: u32,
    /// Jobs of each tenant that have ended and are kept; the oldest of more are forgotten, with their files.
    pub kept_max: u32,
    /// Pairs of frames that are scored at most; of a longer film only the first.
    pub frames_max: u64,
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
    /// Time for measuring.
    pub deadline: Span,
    /// How often the queue is looked at without a reason.
    pub poll: Span,
}

/// `[suites]`: what is kept of runs of suites.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SuiteConfig {
    /// Suites of each tenant; of more, those that were run longest ago are forgotten.
    pub suites_max: u32,
    /// Runs of each suite; the oldest of more are forgotten.
    pub runs_max: u32,
}

/// `[media]`: what may be opened.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MediaConfig {
    /// Names whose paths may be measured (`/~streaming/…`). What answers there decides what else is fetched.
    pub names: Vec<String>,
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
            folder: default_folder(),
            media_program: None,
            watchers_max: default_watchers_max(),
            jobs: JobConfig::default(),
            suites: SuiteConfig::default(),
            media: MediaConfig::default(),
            store,
        }
    }
}

fn default_database() -> PathBuf {
    PathBuf::from("quality.db")
}

fn default_database_readers() -> u32 {
    4
}

fn default_database_wait() -> Span {
    Span(Duration::from_secs(5))
}

fn default_folder() -> PathBuf {
    PathBuf::from("quality-data")
}

fn default_watchers_max() -> usize {
    256
}

// === impl JobConfig ===

impl Default for JobConfig {
    fn default() -> Self {
        let seconds = |seconds| Span(Duration::from_secs(seconds));
        Self {
            at_once: 1,
            nice: 10,
            threads: 0,
            queued_max: 1000,
            kept_max: 1000,
            frames_max: 100_000,
            lease: seconds(30),
            failures_max: 3,
            attempts_max: 20,
            backoff: seconds(2),
            backoff_max: seconds(60),
            deadline: seconds(6 * 3600),
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
            leaves: Leaves::Nothing,
        }
    }
}

// === impl SuiteConfig ===

impl Default for SuiteConfig {
    fn default() -> Self {
        Self { suites_max: 50, runs_max: 100 }
    }
}

// === impl MediaConfig ===

impl Default for MediaConfig {
    fn default() -> Self {
        Self { names: ["streaming", "cdn"].map(str::to_owned).into() }
    }
}
