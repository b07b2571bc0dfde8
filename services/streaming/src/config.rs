//! What the service is told. `config.example.toml` holds every key with its meaning.

mod replicas;
mod steering;

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use flame_naming::Name;
use flame_object_store::StoreConfig;
use flame_service_host::HostConfig;
use flame_service_host::config::{Bytes, Span};
use flame_service_host::viewers::Signers;
use serde::Deserialize;

pub use replicas::{Invalid as InvalidReplicas, OBJECT_MAX_BYTES, ReplicasConfig};
pub use steering::{PathwayConfig, SteeringConfig};

/// The configuration of the streaming service.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What every service is told. `router` is needed here.
    #[serde(default)]
    pub host: HostConfig,
    /// The tenant whose assets are served, where the credential allows more than its own.
    #[serde(default)]
    pub tenant: Option<String>,
    /// The object store that holds the tracks.
    pub store: StoreConfig,
    /// Time for the object store to begin an answer; then 503.
    #[serde(default = "default_store_deadline")]
    pub store_deadline: Span,
    /// Memory for track indexes.
    #[serde(default = "default_indexes")]
    pub indexes: Bytes,
    /// Memory for what is known of files that play as they were uploaded.
    #[serde(default = "default_movies")]
    pub movies: Bytes,
    /// Memory for subtitles.
    #[serde(default = "default_subtitles")]
    pub subtitles: Bytes,
    /// What is made of segments on request.
    #[serde(default)]
    pub derived: DerivedConfig,
    /// How answers of the catalogue are kept.
    #[serde(default)]
    pub catalogue: CatalogueConfig,
    /// Live channels.
    #[serde(default)]
    pub live: LiveConfig,
    /// Whose signed URLs open protected assets here; without it nobody's do.
    #[serde(default)]
    pub viewers: Option<ViewersConfig>,
    /// Who may fetch protected assets for viewers that he verifies himself; without it whoever `host.auth` knows as a service.
    #[serde(default)]
    pub surrogates: Option<SurrogatesConfig>,
    /// What keys of encrypted assets are wrapped with; without it they are stored as they are.
    #[serde(default)]
    pub encryption: Option<EncryptionConfig>,
    /// Sites that viewers are steered to; without it there is one.
    #[serde(default)]
    pub steering: Option<SteeringConfig>,
    /// Stores of other sites, which have what this one lacks; without it there is one store.
    #[serde(default)]
    pub replicas: Option<ReplicasConfig>,
}

/// `[viewers]`: signed URLs (RFC 9246).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewersConfig {
    /// JWKS file of those who may sign; read again on SIGHUP.
    pub keys: PathBuf,
    /// Scheme and authority of the URLs that tokens open. Without it: `https://` and the service's whole name.
    #[serde(default)]
    pub origin: Option<String>,
    /// Whom a token is for, if it says so. Without it: the service's whole name.
    #[serde(default)]
    pub audience: Option<String>,
    /// Verified tokens that are remembered.
    #[serde(default = "default_remembered")]
    pub remembered: usize,
    /// Links are signed here for whoever may read an asset; without it only elsewhere.
    #[serde(default)]
    pub links: Option<LinksConfig>,
}

/// `[viewers.links]`: links that callers of the API get (`POST /assets/{asset}/viewer-links`).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinksConfig {
    /// Folder with the private key to one of the public ones that `keys` of the name that links lead to holds.
    pub signer: PathBuf,
    /// The name that links lead to: a surrogate that verifies viewers. Without it the service's own.
    #[serde(default)]
    pub through: Option<String>,
    /// Scheme and authority of the URLs that tokens open there. Without it: `https://` and the whole name.
    #[serde(default)]
    pub origin: Option<String>,
    /// How long a link lives that nothing ends earlier.
    #[serde(default = "default_link_life")]
    pub life: Span,
}

/// `[surrogates]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SurrogatesConfig {
    /// Folder with `jwks.json` and `revoked.json`: who shows a token of it with the scope `service` is a surrogate.
    pub keys: PathBuf,
}

/// `[encryption]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncryptionConfig {
    /// File of at least 32 octets that nobody else can read, the same for all instances: keys are stored wrapped with it.
    pub secret: PathBuf,
}

/// Live channels.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LiveConfig {
    /// Channels at a time that have not ended.
    pub channels_max: usize,
    /// Media of one track that may wait in memory until the object store takes it; then nothing more is taken.
    pub memory: Bytes,
    /// How long a viewer's request waits for a part or a segment; then 503.
    pub patience: Span,
    /// A publisher that sends nothing of a segment for so long has gone.
    pub silence: Span,
    /// When nothing comes of the first encoder for so long, the one that stands by has the channel.
    pub failover: Span,
    /// The clock of whoever sends is looked at once in so long: what came with the least delay counts.
    pub drift_window: Span,
    /// Segments that a track may be behind the others of its publication; what it lacks then is a gap. More than ingest's
    /// `ladder.queue_segments` and the one under way, or renditions that are made in time are cut short.
    pub behind_segments: u64,
    /// Marks of a channel.
    pub marks_max: usize,
    /// Segments of a track that the one document of its recording holds; more stay in their blocks.
    pub recording_inline_segments: usize,
    /// Segments of an encrypted channel after which another key follows; without it one key opens all. Channels that are there keep what they have.
    pub key_segments: Option<NonZeroU64>,
    /// Where several instances share the object store: one of them owns the channels, and another one does when nothing was heard of it for so
    /// long. Without it there is one instance.
    pub lease: Option<Span>,
}

/// What is made of a segment on request: transport streams, I-frames, the last segment of a clip.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DerivedConfig {
    /// The largest segment that is taken into memory for it.
    pub segment_max: Bytes,
    /// Segments at a time.
    pub at_once: usize,
    /// Memory for what was made, for those who ask for it next.
    pub memory: Bytes,
}

/// How answers of the catalogue (the metadata service) are kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CatalogueConfig {
    /// Assets kept at a time; beyond it the least used ones are asked for again.
    pub assets_max: u64,
    /// A multivariant playlist or poster is at most this old.
    pub fresh: Span,
    /// Media below a version, which never changes, is served on an answer of at most this age; it is also how
    /// long a deleted asset can still be played.
    pub media_fresh: Span,
    /// While the catalogue is away, its last answer is used up to this age.
    pub stale: Span,
    /// Time for the catalogue to answer.
    pub deadline: Span,
}

// === impl Config ===

impl Config {
    /// The configuration with every bound at its default.
    #[must_use]
    pub fn new(host: HostConfig, store: StoreConfig) -> Self {
        Self {
            host,
            tenant: None,
            store,
            store_deadline: default_store_deadline(),
            indexes: default_indexes(),
            movies: default_movies(),
            subtitles: default_subtitles(),
            derived: DerivedConfig::default(),
            catalogue: CatalogueConfig::default(),
            live: LiveConfig::default(),
            viewers: None,
            surrogates: None,
            encryption: None,
            steering: None,
            replicas: None,
        }
    }
}

// === impl ViewersConfig ===

impl ViewersConfig {
    /// Those who may sign for the service called `name`.
    pub(crate) fn signers(&self, name: &Name) -> Signers {
        Signers {
            keys: self.keys.clone(),
            origin: self.origin.clone().unwrap_or_else(|| format!("https://{name}")),
            audience: self.audience.clone().unwrap_or_else(|| name.to_string()),
            remembered: self.remembered,
        }
    }
}

// === impl LiveConfig ===

impl Default for LiveConfig {
    fn default() -> Self {
        Self {
            channels_max: 100,
            memory: Bytes(128 << 20),
            patience: Span(Duration::from_secs(20)),
            silence: Span(Duration::from_secs(10)),
            failover: Span(Duration::from_secs(1)),
            drift_window: Span(Duration::from_secs(30)),
            behind_segments: 4,
            marks_max: 1_000,
            recording_inline_segments: 4_096,
            key_segments: None,
            lease: None,
        }
    }
}

// === impl DerivedConfig ===

impl Default for DerivedConfig {
    fn default() -> Self {
        Self { segment_max: Bytes(64 << 20), at_once: 4, memory: Bytes(64 << 20) }
    }
}

// === impl CatalogueConfig ===

impl Default for CatalogueConfig {
    fn default() -> Self {
        Self {
            assets_max: 10_000,
            fresh: Span(Duration::from_secs(1)),
            media_fresh: Span(Duration::from_secs(60)),
            stale: Span(Duration::from_secs(3600)),
            deadline: Span(Duration::from_secs(3)),
        }
    }
}

fn default_store_deadline() -> Span {
    Span(Duration::from_secs(5))
}

fn default_link_life() -> Span {
    Span(Duration::from_hours(4))
}

fn default_remembered() -> usize {
    10_000
}

fn default_movies() -> Bytes {
    Bytes(256 << 20)
}

fn default_subtitles() -> Bytes {
    Bytes(32 << 20)
}

fn default_indexes() -> Bytes {
    Bytes(64 << 20)
}
