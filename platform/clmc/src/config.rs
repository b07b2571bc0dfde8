//! What the service is told. `config.example.toml` holds every key with its meaning.

use std::path::PathBuf;
use std::time::Duration;

use flame_service_host::HostConfig;
use flame_service_host::config::{Bytes, Span};
use serde::Deserialize;
use url::Url;

/// The configuration of CLMC.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What every service is told.
    pub host: HostConfig,
    /// Where measurements are kept, and how many.
    pub store: StoreConfig,
    /// What one request may send.
    pub write: WriteConfig,
    /// What one question may cost.
    pub query: QueryConfig,
    /// When conditions are looked at, and who may be told.
    pub alerts: AlertsConfig,
    /// The network, and what round-trip times are taken from.
    pub graph: GraphConfig,
    /// Stores that are told the same points.
    pub forward: Vec<ForwardConfig>,
}

/// `[store]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// The folder; made if it is not there.
    pub folder: PathBuf,
    /// How long points are kept, by their own time. Older ones are refused.
    pub retention: Span,
    /// The most that all databases take on disk; beyond it the largest one loses its oldest points.
    pub disk: Bytes,
    /// Length of a file. Points are deleted by whole files.
    pub segment: Bytes,
    /// Databases of all tenants together.
    pub databases: usize,
    /// Series (measurement and tags) in one database. Points of further ones are refused.
    pub series: usize,
    /// Fields of all measurements in one database.
    pub fields: usize,
    /// Whether a write makes the database that it names, as VictoriaMetrics does and InfluxDB does not.
    pub create_on_write: bool,
}

/// `[write]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WriteConfig {
    /// Longest body, unpacked.
    pub body_max: Bytes,
    /// Requests that are written at once; more wait.
    pub at_once: usize,
    /// How long they wait before they get 503.
    pub wait: Span,
}

/// `[query]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueryConfig {
    /// Values that one request may read (about 40 bytes each).
    pub values_max: usize,
    /// Rows that one request may get, windows without points included; rows of more than 15 values count for more.
    pub rows_max: usize,
    /// Requests that are answered at once; more wait.
    pub at_once: usize,
    /// How long they wait before they get 503.
    pub wait: Span,
}

/// `[alerts]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlertsConfig {
    /// How long after its end a window is looked at: the reporting interval, when its points have come.
    pub lateness: Span,
    /// Documents of all tenants together.
    pub documents: usize,
    /// Values that one window may read.
    pub values_max: usize,
    /// Where `flame_sfemc` is; by default the orchestrator, by name through the router.
    pub sfemc: Option<Url>,
    /// Hosts that documents may have messages sent to, besides `flame_sfemc`; `*` is any.
    pub handler_hosts: Vec<String>,
    /// How often a message is sent that is not taken.
    pub attempts: u32,
    /// The pause after the first time; each further one is twice as long.
    pub retry: Span,
    /// Time that a handler may take to answer.
    pub timeout: Span,
    /// Messages of one tenant under way at once; further ones are put off to the next window.
    pub deliveries: usize,
}

/// `[graph]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GraphConfig {
    /// The site file; without one the network is what was measured of it.
    pub sites: Option<PathBuf>,
    /// The database of the default tenant that latencies are read from, besides that of the chain.
    pub database: String,
    /// How far back measurements count.
    pub window: Span,
    /// How often round-trip times are written as a measurement of their own; never, if it is 0.
    pub interval: Span,
    /// Pairs of a place and an endpoint of one database.
    pub pairs: usize,
    /// Values of one measurement that may be read.
    pub values_max: usize,
}

/// `[[forward]]`
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForwardConfig {
    /// Where the store takes line protocol as InfluxDB 1.x does: `http://127.0.0.1:8086/write`.
    pub url: Url,
    /// Sent as `Authorization: Token …`; user and password may stand in the URL instead.
    #[serde(default)]
    pub token: Option<String>,
    /// Bytes of lines that wait while the store does not take them; beyond it the oldest go.
    #[serde(default = "forward_buffer")]
    pub buffer: Bytes,
    /// The pause after the first time that nothing was taken; each further one is twice as long, up to a minute.
    #[serde(default = "forward_retry")]
    pub retry: Span,
    /// Time that one sending may take.
    #[serde(default = "forward_timeout")]
    pub timeout: Span,
}

fn forward_buffer() -> Bytes {
    Bytes(64 << 20)
}

fn forward_retry() -> Span {
    Span(Duration::from_secs(1))
}

fn forward_timeout() -> Span {
    Span(Duration::from_secs(10))
}

// === impl ForwardConfig ===

/// Without what is secret.
impl std::fmt::Debug for ForwardConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ForwardConfig").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

// === impl GraphConfig ===

impl Default for GraphConfig {
    fn default() -> Self {
        Self {
            sites: None,
            database: "flame".to_owned(),
            window: Span(Duration::from_secs(60)),
            interval: Span(Duration::from_secs(10)),
            pairs: 20_000,
            values_max: 500_000,
        }
    }
}

// === impl AlertsConfig ===

impl Default for AlertsConfig {
    fn default() -> Self {
        Self {
            lateness: Span(Duration::from_secs(10)),
            documents: 100,
            values_max: 500_000,
            sfemc: None,
            handler_hosts: Vec::new(),
            attempts: 8,
            retry: Span(Duration::from_secs(1)),
            timeout: Span(Duration::from_secs(5)),
            deliveries: 64,
        }
    }
}

// === impl StoreConfig ===

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("clmc"),
            retention: Span(Duration::from_secs(7 * 24 * 3600)),
            disk: Bytes(1 << 30),
            segment: Bytes(8 << 20),
            databases: 100,
            series: 100_000,
            fields: 10_000,
            create_on_write: true,
        }
    }
}

// === impl WriteConfig ===

impl Default for WriteConfig {
    fn default() -> Self {
        Self { body_max: Bytes(32 << 20), at_once: 16, wait: Span(Duration::from_secs(10)) }
    }
}

// === impl QueryConfig ===

impl Default for QueryConfig {
    fn default() -> Self {
        Self { values_max: 2_000_000, rows_max: 500_000, at_once: 4, wait: Span(Duration::from_secs(10)) }
    }
}
