//! The site file: points of presence with their clusters, the links between them, and where each one's router is.
//!
//! It says how far sites are apart, which the choice of an endpoint and the order of a search begin with. The distance
//! of two sites is the latency of the quickest way over links, one way; links carry both ways alike. The file is TOML:
//!
//! ```toml
//! version = 1
//!
//! [[sites]]
//! name = "bristol"
//! router = "router-bristol:8080"
//!
//! [[sites.clusters]]
//! name = "tower"
//! tier = "far_edge"
//! cpus = 4
//! memory_mib = 8192
//! storage_mib = 65536
//!
//! [[sites]]
//! name = "london"
//!
//! [[links]]
//! between = ["bristol", "london"]
//! latency_ms = 2.5
//! bandwidth_mbps = 1000
//! multicast_mbps = 400
//! ```
//!
//! Nothing here measures: what the network really does is the telemetry's to say.

mod atlas;
mod distance;
mod file;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::name::{Label, NameError};

pub use atlas::Atlas;

/// The version of the file that is read here.
pub const VERSION: u32 = 1;
/// Most sites of a file; distances are computed from each.
pub const SITES_MAX: usize = 256;
/// Most clusters of a site.
pub const CLUSTERS_MAX: usize = 256;
/// Most links of a file.
pub const LINKS_MAX: usize = 4096;
/// Longest latency of a link: more is a mistake of the unit.
pub const LATENCY_MAX: Duration = Duration::from_secs(10);

/// All sites and what connects them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sites {
    sites: BTreeMap<Label, Site>,
    links: Vec<Link>,
}

/// A point of presence.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// Its name: what `<site>--<function>` pins, and `flame_location` in measurements.
    pub name: Label,
    /// Where its router listens; a site may have none.
    pub router: Option<RouterAddress>,
    /// Where services can be placed.
    pub clusters: Vec<Cluster>,
}

/// Machines of a site that services are placed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Unique within its site.
    pub name: Label,
    /// How near to the viewers it is.
    pub tier: Tier,
    /// What it has.
    pub capacity: Capacity,
}

/// What a cluster has in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Processor cores.
    pub cpus: u32,
    /// Memory.
    pub memory_mib: u64,
    /// Disk.
    pub storage_mib: u64,
}

/// How near to the viewers a cluster is (FLAME's four tiers).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// The distant cloud.
    DataCentre,
    /// A city's machine room.
    Edge,
    /// A street cabinet or a mast.
    FarEdge,
    /// Beside the viewer.
    Mist,
}

/// A connection of two sites, the same both ways.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// Its ends.
    pub between: [Label; 2],
    /// One way.
    pub latency: Duration,
    /// Megabits a second.
    pub bandwidth_mbps: f64,
    /// What of it multicast between routers may take, if it is bounded here.
    pub multicast_mbps: Option<f64>,
}

/// `host:port` of a router; the host is a DNS name, an IPv4 address or an IPv6 address in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouterAddress(Box<str>);

/// A site file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// It is no TOML, or a key is missing, unknown or of another type; the cause says line and column.
    #[error("the site file cannot be read")]
    Form(#[source] Box<toml::de::Error>),
    /// A later version of the format.
    #[error("the site file is of version {found}; this reads version {VERSION}")]
    Version {
        /// What it says.
        found: u32,
    },
    /// A name of a site or cluster that is none.
    #[error("{place}")]
    Name {
        /// Where it stands: `sites[2]`.
        place: String,
        /// What is wrong with it.
        #[source]
        source: NameError,
    },
    /// The same thing twice.
    #[error("{what} is there twice")]
    Twice {
        /// `site bristol`, `the link bristol - london`.
        what: String,
    },
    /// A link to a site that the file does not describe.
    #[error("links[{link}] ends at `{site}`, and there is no such site")]
    NoSite {
        /// Its place in the file, from 0.
        link: usize,
        /// What is missing.
        site: Label,
    },
    /// A link from a site to itself.
    #[error("links[{link}] connects `{site}` with itself")]
    Circle {
        /// Its place in the file, from 0.
        link: usize,
        /// The site.
        site: Label,
    },
    /// A value outside of what makes sense.
    #[error("{place}: {reason}")]
    Value {
        /// Where it stands: `links[0] latency_ms`.
        place: String,
        /// What is expected.
        reason: String,
    },
    /// More than the bound.
    #[error("{count} {what}, and at most {limit} are read")]
    TooMany {
        /// `sites`, `links`.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many may be.
        limit: usize,
    },
}

// === impl Sites ===

impl Sites {
    /// All sites, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Site> {
        self.sites.values()
    }

    /// The site called `name`.
    #[must_use]
    pub fn get(&self, name: &Label) -> Option<&Site> {
        self.sites.get(name)
    }

    /// All links.
    #[must_use]
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// How fast multicast between routers may be, megabits a second, where a link bounds it. What is sent once goes over all links, so
    /// that of the slowest counts.
    #[must_use]
    pub fn multicast_mbps(&self) -> Option<f64> {
        self.links.iter().filter_map(|link| link.multicast_mbps).reduce(f64::min)
    }

    /// How far every site is from `from` that can be reached from there; `from` itself is at 0.
    #[must_use]
    pub fn distances(&self, from: &Label) -> BTreeMap<Label, Duration> {
        distance::distances(self, from)
    }
}

impl FromStr for Sites {
    type Err = SiteError;

    fn from_str(text: &str) -> Result<Self, SiteError> {
        file::read(text)
    }
}

// === impl Tier ===

impl Tier {
    /// From the distant cloud to the viewer.
    pub const ALL: [Self; 4] = [Self::DataCentre, Self::Edge, Self::FarEdge, Self::Mist];

    /// The word in files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DataCentre => "data_centre",
            Self::Edge => "edge",
            Self::FarEdge => "far_edge",
            Self::Mist => "mist",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl RouterAddress ===

impl RouterAddress {
    /// `host:port`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RouterAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no router's address: write HOST:PORT");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let is_v6 = || {
            let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
        };
        let is_name = || host.len() <= 253 && host.split('.').all(|label| label.parse::<Label>().is_ok());
        if !port.parse::<u16>().is_ok_and(|port| port > 0) || !(is_name() || is_v6()) {
            return Err(wrong());
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }
}

impl fmt::Display for RouterAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<std::net::SocketAddr> for RouterAddress {
    fn from(address: std::net::SocketAddr) -> Self {
        Self(address.to_string().into())
    }
}
