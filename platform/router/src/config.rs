//! What the router is told. `config.example.toml` holds every key with its meaning.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use flame_credentials::Issuer;
use flame_naming::hedge;
use flame_naming::path::{PathError, Paths};
use flame_naming::{Domain, Label, NameError};
use flame_service_host::HostConfig;
use flame_service_host::config::Span;
use serde::{Deserialize, Serialize};

pub use crate::multicast::MulticastConfig;
pub use crate::oidc::OidcConfig;
pub use crate::search::{SearchConfig, Searchable};
pub use crate::session::SessionConfig;
pub use crate::sticky::{StickyBy, StickyConfig};
pub use crate::viewers::{CertificateFiles, ViewersConfig};

/// The configuration of the router.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What every service is told.
    pub host: HostConfig,
    /// The parent domain of all names.
    pub domain: String,
    /// The site that this router stands at: what `<site>--<function>` pins.
    pub site: String,
    /// The site file: all sites, their links, and where their routers are; those are this router's peers.
    pub sites: Option<PathBuf>,
    /// A file of endpoints that do not register themselves.
    pub static_entries: Option<PathBuf>,
    /// Hosts besides `localhost`, the domain and IP addresses at which the page and the API answer; `"*"` is every host.
    pub public_hosts: Vec<String>,
    /// What may grow, and how far.
    pub limits: Limits,
    /// How endpoints are spoken to.
    pub upstream: Upstream,
    /// How routers of other sites are listened to.
    pub peers: PeersConfig,
    /// Net-level indirection: when an answer is searched for elsewhere.
    pub search: SearchConfig,
    /// One answer to many routers.
    pub multicast: MulticastConfig,
    /// The local certificate authority, at the one router that holds it.
    pub issuer: Option<IssuerConfig>,
    /// Listeners for viewers besides `[host] listen`, over TLS with the certificates of their names.
    pub viewers: Vec<ViewersConfig>,
    /// Names that stand for several functions in a row.
    pub paths: Vec<PathConfig>,
    /// Names whose requests stay with one endpoint.
    pub sticky: Vec<StickyConfig>,
    /// Browsers that signed in.
    pub session: SessionConfig,
    /// Where people sign in, besides with tokens and links.
    pub oidc: Option<OidcConfig>,
}

/// `[[paths]]`: a name that stands for several functions in a row.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathConfig {
    /// What it is called.
    pub name: String,
    /// Names of its functions, from the client to the source.
    pub functions: Vec<String>,
}

/// `[issuer]`: the local certificate authority.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// Its folder (`flame ca init`).
    pub folder: PathBuf,
    /// Life of the certificates that it gives; they are renewed at two thirds of it.
    #[serde(default = "certificate_life")]
    pub life: Span,
}

fn certificate_life() -> Span {
    Span(flame_credentials::issuer::LIFE)
}

/// `[peers]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PeersConfig {
    /// A peer that says nothing for so long is stale: its feed is opened anew, and what it said is served on. Peers give
    /// a sign of life every half second.
    pub stale_after: Span,
    /// A peer that is not heard for so long is forgotten with its endpoints.
    pub forget_after: Span,
}

/// `[limits]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Endpoints registered at once (about 300 bytes each).
    pub endpoints: usize,
    /// Upgraded connections (WebSocket) at once; two sockets and two buffers of 8 KiB each.
    pub tunnels: usize,
    /// Threads that pass requests on, each with its own connections; 0 is one for each processor.
    pub threads: usize,
}

/// `[upstream]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Upstream {
    /// Endpoints that one request is tried on, at most.
    pub attempts: u32,
    /// Time for a TCP connection.
    pub connect_timeout: Span,
    /// Time from the end of the request to the head of the answer, whoever is asked meanwhile, searches included.
    pub answer_timeout: Span,
    /// Endpoints asked for one request besides the first: again, as a second one, or in a search.
    pub hops: u32,
    /// Time without a byte in the middle of a body, while the other side waits for one.
    pub body_idle_timeout: Span,
    /// Time that an unused connection is kept; shorter than the endpoints keep it (`head_timeout`), so that a request
    /// never meets a connection that is being closed.
    pub pool_idle: Span,
    /// Unused connections kept for each endpoint.
    pub pool_max_idle: usize,
    /// Shortest time without an answer after which a safe request is sent to a second endpoint too; later where answers
    /// of the name usually take longer.
    pub hedge_min: Span,
    /// Longest such time.
    pub hedge_max: Span,
    /// Time without a byte in the middle of an answer after which its rest is asked for elsewhere, where its ETag allows it.
    pub stall_after: Span,
    /// Requests of a hundred that may be sent again, because they failed or are late; steps of searches after failures count.
    pub repeat_percent: u8,
    /// How many may be sent again in a burst.
    pub repeat_burst: u16,
    /// How often an endpoint that hangs is asked whether it is back.
    pub probe_every: Span,
    /// Time after which one that is written down, and of which nothing was heard, is asked whether it is there; zero: never.
    pub probe_static_every: Span,
}

/// A name in the configuration that is none.
#[derive(Debug, thiserror::Error)]
#[error("`{key}` of the configuration")]
pub struct Invalid {
    key: &'static str,
    #[source]
    source: NameError,
}

/// An issuer that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IssuerInvalid {
    /// Certificates are renewed over TLS.
    #[error("`[issuer]` of the configuration needs `[host.tls] folder`: certificates are asked for over TLS")]
    NoTls,
    /// Its folder cannot be used.
    #[error(transparent)]
    Folder(#[from] flame_credentials::IssuerError),
}

// === impl Config ===

impl Config {
    /// The parent domain.
    pub fn domain(&self) -> Result<Domain, Invalid> {
        self.domain.parse().map_err(|source| Invalid { key: "domain", source })
    }

    /// The certificate authority, if this router holds it.
    pub(crate) fn issuer(&self) -> Result<Option<Issuer>, IssuerInvalid> {
        let Some(config) = &self.issuer else { return Ok(None) };
        if self.host.tls.is_none() {
            return Err(IssuerInvalid::NoTls);
        }
        Ok(Some(Issuer::open(&config.folder)?.with_life(config.life.0)))
    }

    /// The paths.
    pub fn paths(&self) -> Result<Paths, PathError> {
        Paths::new(self.paths.iter().map(|path| (path.name.as_str(), path.functions.as_slice())))
    }

    /// The site.
    pub fn site(&self) -> Result<Label, Invalid> {
        self.site.parse().map_err(|source| Invalid { key: "site", source })
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: HostConfig { listen: SocketAddr::from(([127, 0, 0, 1], 8080)), ..HostConfig::default() },
            domain: "localhost".to_owned(),
            site: "local".to_owned(),
            public_hosts: Vec::new(),
            limits: Limits::default(),
            upstream: Upstream::default(),
            sites: None,
            static_entries: None,
            peers: PeersConfig::default(),
            search: SearchConfig::default(),
            multicast: MulticastConfig::default(),
            issuer: None,
            viewers: Vec::new(),
            paths: Vec::new(),
            sticky: Vec::new(),
            session: SessionConfig::default(),
            oidc: None,
        }
    }
}

impl Upstream {
    /// How late is late, and how many requests are repeated.
    pub(crate) fn repeats(&self) -> hedge::Limits {
        let Self { repeat_percent, repeat_burst: burst, .. } = *self;
        hedge::Limits { hedge_min: self.hedge_min.0, hedge_max: self.hedge_max.0, repeat_percent, burst }
    }
}

impl Default for PeersConfig {
    fn default() -> Self {
        let seconds = |seconds| Span(Duration::from_secs(seconds));
        Self { stale_after: seconds(2), forget_after: seconds(3600) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { endpoints: 4096, tunnels: 1024, threads: 0 }
    }
}

impl Default for Upstream {
    fn default() -> Self {
        let seconds = |seconds| Span(Duration::from_secs(seconds));
        Self {
            attempts: 3,
            connect_timeout: seconds(1),
            answer_timeout: seconds(60),
            hops: 12,
            body_idle_timeout: seconds(60),
            pool_idle: seconds(5),
            pool_max_idle: 1024,
            hedge_min: Span(Duration::from_millis(20)),
            hedge_max: seconds(1),
            stall_after: Span(Duration::from_millis(100)),
            repeat_percent: 20,
            repeat_burst: 100,
            probe_every: Span(Duration::from_millis(100)),
            probe_static_every: seconds(5),
        }
    }
}
