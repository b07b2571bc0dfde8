//! What the surrogate is told. `config.example.toml` holds every key with its meaning.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::{HeaderName, header};
use flame_api::router::LEASE_TTL_MS;
use flame_naming::{Destination, Name};
use flame_service_host::HostConfig;
use flame_service_host::config::{Bytes, Span};
use serde::Deserialize;

use crate::room::limit_bytes;

/// The configuration of a surrogate.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What every service is told. `router` is needed here; `listen` is where purges, figures and warming are asked for.
    pub host: HostConfig,
    /// The names that it serves, each at a listener of its own.
    pub fronts: Vec<FrontConfig>,
    /// What is kept, and where.
    pub cache: CacheConfig,
    /// How the services behind the names are asked.
    pub upstream: UpstreamConfig,
    /// What its link carries.
    pub uplink: UplinkConfig,
    /// What of the cache a tenant gets, if it is not `cache.memory` and `cache.disk`.
    pub tenants: BTreeMap<String, Quota>,
}

/// `[[fronts]]`: a name that is served.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrontConfig {
    /// The name: `cdn`, `cdn.main.acme`.
    pub name: String,
    /// The name that is asked for what is not kept: `streaming`, or the same name at another site (`cloud--streaming`).
    pub upstream: String,
    /// Where to listen; port 0 takes a free one.
    #[serde(default = "any_port")]
    pub listen: SocketAddr,
    /// Address that is registered with the router, if it is not the one listened on.
    #[serde(default)]
    pub advertise: Option<SocketAddr>,
    /// Fields of requests that go upstream for all who ask the same, beside Accept, Accept-Encoding and Accept-Language. The
    /// service names in Vary those that its answer depends on.
    #[serde(default)]
    pub fields: Vec<String>,
    /// Requests that change something go upstream, and what they change is forgotten here; without it they get 405.
    #[serde(default)]
    pub writes: bool,
    /// Viewers need a signed URL for some of its paths.
    #[serde(default)]
    pub tokens: Option<TokenConfig>,
}

/// `[fronts.tokens]`: signed URLs (RFC 9246).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// JWKS file of those who may sign; read again on SIGHUP.
    pub keys: PathBuf,
    /// What needs a token: all paths that begin so.
    #[serde(default = "every_path")]
    pub paths: Vec<String>,
    /// Scheme and authority of the URLs that tokens open. Without it: `https://` and the front's whole name.
    #[serde(default)]
    pub origin: Option<String>,
    /// Whom a token is for, if it says so. Without it: the front's whole name.
    #[serde(default)]
    pub audience: Option<String>,
    /// Verified tokens that are remembered.
    #[serde(default = "tokens_remembered")]
    pub remembered: usize,
}

/// `[cache]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// Folder of the disk tier; without one everything is in memory and ends with the process.
    pub folder: Option<PathBuf>,
    /// Memory of a tenant.
    pub memory: Bytes,
    /// Disk of a tenant.
    pub disk: Bytes,
    /// The fetch of an object, counted from 1, from which on it is written to disk. With 2, what nobody asks for again costs no
    /// write, and what has left memory and is wanted again goes to disk.
    pub disk_after: u32,
    /// The largest body that is kept; larger ones flow through.
    pub object_max: Bytes,
    /// Fills at once of a tenant; whoever would begin one more gets 503.
    pub fills: usize,
    /// What bodies on their way, and the beginnings of those that broke off, may take of a tenant, beside what is kept. A body for which
    /// there is no room is passed on alone.
    pub filling: Bytes,
    /// Longest life of an answer that says nothing but when it was last changed; 0 asks for it each time.
    pub heuristic_max: Span,
    /// A range that begins further ahead of a running fill than this is asked for singly.
    pub range_ahead: Bytes,
    /// Objects that are fetched ahead of the first viewer who follows a playlist; 0 fetches none.
    pub prefetch: u32,
    /// How often the other surrogates are asked for purges that this one was not told of.
    pub purges_every: Span,
    /// How long the router has to list this surrogate, and no other, until it is believed that there is no other: one that has just
    /// started lists nobody. Until then what lay on disk is asked for again before it is used. 0 believes it at once.
    pub alone_after: Span,
    /// Assets whose requests are counted apart; the others are counted together.
    pub assets_counted: usize,
    /// Sessions of players that are told apart.
    pub sessions_counted: usize,
    /// Those that one address may speak for in four seconds, where sites are judged by what players report; at least 1.
    pub sessions_of_an_address: u32,
}

/// `[upstream]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamConfig {
    /// Time from the request to the head of the answer.
    pub answer_timeout: Span,
    /// Time without a byte in the middle of a body.
    pub body_idle_timeout: Span,
    /// How often a body that broke off is resumed where it ended.
    pub resumes: u32,
    /// Surrogates that a request may pass; routers between them do not count.
    pub hops: usize,
}

/// `[uplink]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UplinkConfig {
    /// What all fronts together send in a second; without it, as much as they can.
    pub rate: Option<Bytes>,
    /// How long an answer waits for its turn, where there is a rate; one that would wait longer gets 503.
    pub wait: Span,
}

/// `[tenants.NAME]`
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Its memory.
    pub memory: Bytes,
    /// Its disk.
    pub disk: Bytes,
}

/// A key of the configuration that says nothing usable.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    /// Not a name.
    #[error("`fronts.{key} = \"{text}\"` is no name")]
    Name {
        /// The key.
        key: &'static str,
        /// What it says.
        text: String,
        /// What is wrong.
        #[source]
        source: flame_naming::NameError,
    },
    /// It would ask itself.
    #[error("the front `{0}` has itself for upstream: pin another site (`SITE--{0}`) or name the service behind it")]
    Itself(String),
    /// Not the name of a field, or of one that is somebody's own.
    #[error("`{0}` in `fronts.fields` is no field that may go upstream for many: it is no name, or says who asks")]
    Field(String),
    /// A body that may be kept would never find room on its way.
    #[error(
        "`cache.object_max` is {object_max} bytes, and `cache.filling` ({filling} bytes) has room for bodies of {most} bytes: larger ones \
         would never be kept. Raise `filling`, or lower `object_max`"
    )]
    Filling {
        /// Bytes.
        object_max: u64,
        /// Bytes.
        filling: u64,
        /// Bytes of the largest body that finds room.
        most: u64,
    },
    /// Nobody would be heard.
    #[error("`cache.sessions_of_an_address = 0` would hear nobody: it is at least 1")]
    Unheard,
    /// Two fronts of one name.
    #[error("the front `{0}` is there twice")]
    Twice(String),
}

// === impl FrontConfig ===

impl FrontConfig {
    /// A front on a free port of loopback.
    #[must_use]
    pub fn new(name: &str, upstream: &str) -> Self {
        Self {
            name: name.to_owned(),
            upstream: upstream.to_owned(),
            listen: any_port(),
            advertise: None,
            fields: Vec::new(),
            writes: false,
            tokens: None,
        }
    }

    /// The same for viewers with a URL that one of `keys` signed.
    #[must_use]
    pub fn with_tokens(self, keys: PathBuf) -> Self {
        let (paths, remembered) = (every_path(), tokens_remembered());
        Self { tokens: Some(TokenConfig { keys, paths, origin: None, audience: None, remembered }), ..self }
    }

    /// The fields that go upstream for all.
    pub(crate) fn shared_fields(&self) -> Result<Vec<HeaderName>, Invalid> {
        const OWN: [HeaderName; 6] = [
            header::AUTHORIZATION,
            header::COOKIE,
            header::PROXY_AUTHORIZATION,
            header::RANGE,
            header::HOST,
            HeaderName::from_static("x-api-key"),
        ];
        let field = |text: &String| text.parse().ok().filter(|name: &HeaderName| !OWN.contains(name));
        self.fields.iter().map(|text| field(text).ok_or_else(|| Invalid::Field(text.clone()))).collect()
    }

    /// The name that is served, and what is asked behind it.
    pub(crate) fn names(&self) -> Result<(Name, Destination), Invalid> {
        let wrong = |key, text: &str, source| Invalid::Name { key, text: text.to_owned(), source };
        let name: Name = self.name.parse().map_err(|source| wrong("name", &self.name, source))?;
        let upstream: Destination =
            self.upstream.parse().map_err(|source| wrong("upstream", &self.upstream, source))?;
        if upstream.site.is_none() && upstream.name == name {
            return Err(Invalid::Itself(self.name.clone()));
        }
        Ok((name, upstream))
    }
}

// === impl Config ===

impl Config {
    /// What the tenant may keep.
    #[must_use]
    pub fn quota(&self, tenant: &str) -> Quota {
        let default = Quota { memory: self.cache.memory, disk: self.cache.disk };
        self.tenants.get(tenant).copied().unwrap_or(default)
    }
}

// === impl CacheConfig ===

impl CacheConfig {
    /// Whether what may be kept finds room on its way, and somebody is heard.
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        if self.sessions_of_an_address == 0 {
            return Err(Invalid::Unheard);
        }
        let (object_max, filling) = (self.object_max.0, self.filling.0);
        let most = limit_bytes(filling, object_max);
        if object_max <= most { Ok(()) } else { Err(Invalid::Filling { object_max, filling, most }) }
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            folder: None,
            memory: Bytes(256 << 20),
            disk: Bytes(10 << 30),
            disk_after: 1,
            object_max: Bytes(1 << 30),
            fills: 1024,
            filling: Bytes(2 << 30),
            heuristic_max: Span(Duration::from_secs(3600)),
            range_ahead: Bytes(4 << 20),
            prefetch: 1,
            purges_every: Span(Duration::from_secs(10)),
            alone_after: Span(Duration::from_millis(LEASE_TTL_MS)),
            assets_counted: 10_000,
            sessions_counted: 100_000,
            sessions_of_an_address: flame_cmcd::OF_AN_ADDRESS,
        }
    }
}

// === impl UpstreamConfig ===

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self {
            answer_timeout: Span(Duration::from_secs(20)),
            body_idle_timeout: Span(Duration::from_secs(20)),
            resumes: 2,
            hops: 8,
        }
    }
}

// === impl UplinkConfig ===

impl Default for UplinkConfig {
    fn default() -> Self {
        Self { rate: None, wait: Span(Duration::from_secs(5)) }
    }
}

fn every_path() -> Vec<String> {
    vec!["/".to_owned()]
}

fn tokens_remembered() -> usize {
    10_000
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}
