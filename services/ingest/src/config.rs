//! Configuration; `config.example.toml` holds every key with what it costs.

mod ladder;
mod push;
mod quotas;
mod scrub;
mod sources;
mod srt;
mod whip;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use flame_object_store::{EmbeddedConfig, SecretKey, StoreConfig};
use flame_service_host::HostConfig;
use flame_service_host::config::{Bytes, Span};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::parts::{PART_MIN_BYTES, PARTS_HELD, part_bytes};

pub use ladder::LadderConfig;
pub use push::PushConfig;
pub use quotas::{Quotas, TenantQuota};
pub use scrub::ScrubConfig;
pub use sources::SourcesConfig;
pub use srt::SrtConfig;
pub use whip::WhipConfig;

/// Longest life of a signed request (AWS Signature Version 4, query parameters).
const TICKET_MAX_S: u64 = 7 * 24 * 3600;
/// The bucket where none is named.
pub const DEFAULT_BUCKET: &str = "flame";

/// What the service is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What every service is told.
    #[serde(default)]
    pub host: HostConfig,
    /// Folder for `ingest.sqlite` and scratch files.
    pub data: PathBuf,
    /// Where the bytes go.
    pub store: StoreChoice,
    /// What bounds the service.
    #[serde(default)]
    pub limits: Limits,
    /// What one tenant may have.
    #[serde(default)]
    pub quotas: Quotas,
    /// Pulls from URLs.
    #[serde(default)]
    pub pulls: PullConfig,
    /// How what is stored is read and compared.
    #[serde(default)]
    pub scrub: ScrubConfig,
    /// The RTMP door; without this section there is none.
    #[serde(default)]
    pub rtmp: Option<RtmpConfig>,
    /// The SRT door; without this section there is none.
    #[serde(default)]
    pub srt: Option<SrtConfig>,
    /// The WHIP door; without this section there is none.
    #[serde(default)]
    pub whip: Option<WhipConfig>,
    /// The CMAF door; without this section there is none.
    #[serde(default)]
    pub push: Option<PushConfig>,
    /// Channels whose media is fetched; without this section none is.
    #[serde(default)]
    pub sources: Option<SourcesConfig>,
    /// Channels with a ladder: what is sent to transcode for them.
    #[serde(default)]
    pub ladder: LadderConfig,
    /// Other origins whose web pages may use this service (`https://portal.example`); `*` is not one.
    #[serde(default)]
    pub allowed_origins: Vec<String>,
    /// The program that looks into media; by default `flame-media` beside the running program, else in `PATH`.
    #[serde(default)]
    pub media_program: Option<PathBuf>,
}

/// Where the bytes go: to a store that this service runs itself, or to one that somebody else runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum StoreChoice {
    /// An S3 server on a folder, inside this service.
    Embedded(EmbeddedStore),
    /// Any S3.
    External(ExternalStore),
}

/// `[store.embedded]`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddedStore {
    /// The folder.
    pub root: PathBuf,
    /// Where it listens; port 0 takes a free one.
    #[serde(default = "loopback")]
    pub listen: SocketAddr,
    /// The bucket, made if it is not there.
    #[serde(default = "bucket")]
    pub bucket: String,
    /// Access key that it accepts.
    pub access_key: String,
    /// Its secret.
    pub secret_key: String,
    /// It refuses writes that would leave less of the disk free.
    #[serde(default = "min_free_disk_percent")]
    pub min_free_disk_percent: u8,
    /// Connections that it serves at once.
    #[serde(default = "max_connections")]
    pub max_connections: usize,
    /// Bodies that it receives at once, at 2 MiB each.
    #[serde(default = "max_writes")]
    pub max_writes: usize,
}

/// `[store.external]`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalStore {
    /// Its URL.
    pub endpoint: Url,
    /// Its region.
    #[serde(default = "region")]
    pub region: String,
    /// The bucket. Whoever runs the store makes it: the keys given here need not be allowed to.
    #[serde(default = "bucket")]
    pub bucket: String,
    /// Access key.
    pub access_key: String,
    /// Its secret.
    pub secret_key: String,
}

/// `[limits]`: everything that could grow, and where it ends.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Longest upload.
    pub max_upload: Bytes,
    /// Size of a part, 5 MiB at least; parts of uploads longer than 10,000 of them are larger.
    pub part: Bytes,
    /// Memory for bytes on their way to the store, all uploads together; who finds none free waits.
    pub receive_memory: Bytes,
    /// Who has had memory for this long gives it back while others wait, and stands in line again.
    pub memory_turn: Span,
    /// A body that brings nothing for this long is cut; what came is kept.
    pub idle: Span,
    /// An unfinished upload that nobody touches for this long is given up; also the time that its end is remembered.
    pub expiry: Span,
    /// Time in which a client may put a file into the store itself (`POST /tickets`); a week at most.
    pub ticket: Span,
    /// Time between two looks for expired uploads.
    pub sweep: Span,
    /// Uploads that are looked into and registered at once.
    pub max_processing: usize,
    /// Longest time between two tries to reach what is away.
    pub max_backoff: Span,
    /// Time that a media child may take for one file.
    pub media_timeout: Span,
    /// Partial uploads that one final upload may name.
    pub max_partials: usize,
    /// Longest file of subtitles; as many as `max_processing` are in memory at once.
    pub max_subtitles: Bytes,
}

/// `[pulls]`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PullConfig {
    /// Whether URLs may lead to private, loopback and link-local addresses. On a machine that others can make
    /// requests to, this hands them its inner network.
    pub allow_private: bool,
    /// Pulls at once; more wait.
    pub max_running: usize,
    /// Those of one tenant.
    pub tenant_running: usize,
    /// Pulls that may wait or run; more are refused with 503.
    pub max_waiting: u32,
    /// Those of one tenant; more are refused with 429.
    pub tenant_waiting: u32,
    /// What a server is to bring in a second, on average over `limits.idle`. A try that brings less is ended, and counts as one that
    /// brought nothing.
    pub min_rate: Bytes,
    /// Redirects that are followed.
    pub max_redirects: u32,
    /// Tries in a row that may bring nothing new.
    pub max_tries: u32,
    /// Time to connect, and to wait for an answer's head.
    pub answer_timeout: Span,
}

/// `[rtmp]`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RtmpConfig {
    /// Where encoders publish; port 0 takes a free one. It needs no keys of this service: a channel's key is the credential.
    pub listen: SocketAddr,
    /// Connections at once; more are closed.
    pub max_connections: usize,
    /// Time from the connection to leave to publish.
    pub handshake: Span,
    /// A publisher that sends nothing for this long has gone.
    pub idle: Span,
    /// Longest message: a picture, mostly. Twice as much may be under way on a connection.
    pub max_message: Bytes,
    /// What waits for streaming, for each track; past it the oldest segment is dropped.
    pub queue: Bytes,
    /// The same in segments.
    pub queue_segments: usize,
    /// Streaming may be away for this long before a publication is given up.
    pub patience: Span,
    /// Time for an answer of streaming.
    pub answer_timeout: Span,
}

/// A configuration that contradicts itself.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Contradiction(String);

/// Bounds of `rtmp.max_message`: commands of encoders fit, and more than 24 bits of length cannot be said.
const RTMP_MESSAGE_MIN_BYTES: u64 = 64 << 10;
const RTMP_MESSAGE_MAX_BYTES: u64 = (1 << 24) - 1;
/// The port that encoders use where none is named.
const RTMP_PORT: u16 = 1935;

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn min_free_disk_percent() -> u8 {
    3
}

fn max_connections() -> usize {
    256
}

fn max_writes() -> usize {
    16
}

fn bucket() -> String {
    DEFAULT_BUCKET.to_owned()
}

/// The region that requests are signed for where none is configured.
pub(crate) fn region() -> String {
    "us-east-1".to_owned()
}

// === impl Config ===

impl Config {
    /// Whether the values fit together.
    pub fn check(&self) -> Result<(), Contradiction> {
        let Limits { part, receive_memory, max_upload, .. } = self.limits;
        let wrong = |text: String| Err(Contradiction(text));
        if part.0 < PART_MIN_BYTES {
            return wrong(format!("limits.part is {part}, S3 takes parts of {} and more", Bytes(PART_MIN_BYTES)));
        }
        let largest = part_bytes(part.0, max_upload.0);
        if receive_memory.0 < PARTS_HELD as u64 * largest {
            return wrong(format!(
                "limits.receive_memory is {receive_memory}, the longest upload holds {PARTS_HELD} parts of {}",
                Bytes(largest)
            ));
        }
        if self.limits.max_processing == 0 {
            return wrong("limits.max_processing is 1 at least".to_owned());
        }
        if !(1..=TICKET_MAX_S).contains(&self.limits.ticket.0.as_secs()) {
            return wrong(format!(
                "limits.ticket is {}, signed requests live for a second at least and a week at most",
                self.limits.ticket
            ));
        }
        let pulls = &self.pulls;
        if !(1..=pulls.max_running).contains(&pulls.tenant_running) || pulls.tenant_waiting == 0 {
            return wrong(format!(
                "pulls.tenant_running is {}, it is from 1 to pulls.max_running ({}); pulls.tenant_waiting is 1 at least",
                pulls.tenant_running, pulls.max_running
            ));
        }
        if self.limits.max_partials == 0 {
            return wrong("limits.max_partials is 1 at least".to_owned());
        }
        if self.limits.max_subtitles.0 > flame_subtitles::INPUT_MAX_BYTES as u64 {
            let most = Bytes(flame_subtitles::INPUT_MAX_BYTES as u64);
            return wrong(format!("limits.max_subtitles is {}, at most {most} are read", self.limits.max_subtitles));
        }
        if let Some(rtmp) = &self.rtmp {
            let message = rtmp.max_message;
            if !(RTMP_MESSAGE_MIN_BYTES..=RTMP_MESSAGE_MAX_BYTES).contains(&message.0) {
                let (least, most) = (Bytes(RTMP_MESSAGE_MIN_BYTES), Bytes(RTMP_MESSAGE_MAX_BYTES));
                return wrong(format!("rtmp.max_message is {message}, it is from {least} to {most}"));
            }
            if rtmp.queue.0 < 2 * message.0 || rtmp.queue_segments < 2 {
                return wrong(
                    "rtmp.queue has room for two messages at least, and rtmp.queue_segments is 2 at least".to_owned(),
                );
            }
            if rtmp.max_connections == 0 {
                return wrong("rtmp.max_connections is 1 at least".to_owned());
            }
        }
        if let Some(srt) = &self.srt {
            srt.check()?;
        }
        if let Some(whip) = &self.whip {
            whip.check()?;
        }
        if let Some(push) = &self.push {
            push.check()?;
        }
        if let Some(sources) = &self.sources {
            sources.check()?;
        }
        self.ladder.check()?;
        self.scrub.check()?;
        if let Some(origin) = self.allowed_origins.iter().find(|origin| !is_origin(origin)) {
            return wrong(format!("allowed_origins: `{origin}` is no origin such as https://portal.example"));
        }
        Ok(())
    }
}

// === impl EmbeddedStore ===

impl EmbeddedStore {
    /// A store on the folder `root`, on a free port of loopback, with every bound at its default.
    #[must_use]
    pub fn new(root: PathBuf, access_key: String, secret_key: String) -> Self {
        Self {
            root,
            listen: loopback(),
            bucket: bucket(),
            access_key,
            secret_key,
            min_free_disk_percent: min_free_disk_percent(),
            max_connections: max_connections(),
            max_writes: max_writes(),
        }
    }

    /// What the embedded server is told.
    #[must_use]
    pub fn to_server(&self) -> EmbeddedConfig {
        EmbeddedConfig {
            root: self.root.clone(),
            listen: self.listen,
            access_key: self.access_key.clone(),
            secret_key: SecretKey::new(self.secret_key.clone()),
            min_free_percent: self.min_free_disk_percent,
            max_connections: self.max_connections,
            max_writes: self.max_writes,
            stop_grace_s: 10,
        }
    }
}

/// Without the secret: configurations get into logs.
impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { root, listen, bucket, access_key, .. } = self;
        let mut text = f.debug_struct("EmbeddedStore");
        text.field("root", root).field("listen", listen).field("bucket", bucket).field("access_key", access_key);
        text.finish_non_exhaustive()
    }
}

// === impl ExternalStore ===

impl ExternalStore {
    /// How it is entered.
    #[must_use]
    pub fn to_client(&self) -> StoreConfig {
        StoreConfig {
            endpoint: self.endpoint.to_string(),
            region: self.region.clone(),
            bucket: self.bucket.clone(),
            access_key: self.access_key.clone(),
            secret_key: SecretKey::new(self.secret_key.clone()),
        }
    }
}

/// Without the secret: configurations get into logs.
impl fmt::Debug for ExternalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, region, bucket, access_key, secret_key: _ } = self;
        let mut text = f.debug_struct("ExternalStore");
        text.field("endpoint", &endpoint.as_str()).field("region", region).field("bucket", bucket);
        text.field("access_key", access_key).finish_non_exhaustive()
    }
}

/// Scheme, host and perhaps a port, as a browser writes it.
fn is_origin(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| url.origin().ascii_serialization() == text)
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_upload: Bytes(64 << 30),
            part: Bytes(8 << 20),
            receive_memory: Bytes(96 << 20),
            memory_turn: Span(Duration::from_secs(2)),
            idle: Span(Duration::from_secs(30)),
            expiry: Span(Duration::from_secs(24 * 3600)),
            ticket: Span(Duration::from_secs(3600)),
            sweep: Span(Duration::from_secs(60)),
            max_processing: 2,
            max_backoff: Span(Duration::from_secs(30)),
            media_timeout: Span(Duration::from_secs(120)),
            max_partials: 256,
            max_subtitles: Bytes(4 << 20),
        }
    }
}

// === impl PullConfig ===

impl Default for PullConfig {
    fn default() -> Self {
        Self {
            allow_private: false,
            max_running: 4,
            tenant_running: 2,
            max_waiting: 1000,
            tenant_waiting: 250,
            min_rate: Bytes(32 << 10),
            max_redirects: 5,
            max_tries: 6,
            answer_timeout: Span(Duration::from_secs(15)),
        }
    }
}

// === impl RtmpConfig ===

impl Default for RtmpConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], RTMP_PORT)),
            max_connections: 64,
            handshake: Span(Duration::from_secs(10)),
            idle: Span(Duration::from_secs(10)),
            max_message: Bytes(8 << 20),
            queue: Bytes(64 << 20),
            queue_segments: 15,
            patience: Span(Duration::from_secs(30)),
            answer_timeout: Span(Duration::from_secs(5)),
        }
    }
}
