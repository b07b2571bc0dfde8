//! What routers tell each other: `GET /api/router/peers/feed`, a JSON object a line for as long as both live; and
//! `GET /api/router/peers`, how that goes.
//!
//! The first line is [`Line::Hello`], the second the whole state, then changes as they happen and a sign of life where none
//! do. What the versions mean stands in `flame_naming::peers`.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::router::{EndpointState, is_ordinary_weight, ordinary_weight};

/// The version of the lines. The one who asks names the latest that it reads; the answer is at most of that. Version 1 says
/// only where connected endpoints are, version 2 also on which terms, and names those that are not connected.
pub const PROTOCOL: u32 = 2;
/// A sign of life comes this often at least.
pub const ALIVE_EVERY_MS: u64 = 500;
/// Longest line: the whole state of about 40,000 endpoints.
pub const LINE_MAX_BYTES: usize = 8 * 1024 * 1024;

/// A line of the feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Line {
    /// The first one: who speaks.
    Hello {
        /// The version of the lines that follow.
        protocol: u32,
        /// The site whose registrations these are.
        site: String,
    },
    /// All registrations.
    Full {
        /// The owner's start.
        incarnation: u64,
        /// Its changes since then.
        version: u64,
        /// What is registered.
        entries: Vec<Entry>,
    },
    /// What changed.
    Delta {
        /// The owner's start.
        incarnation: u64,
        /// The version that this leads to.
        version: u64,
        /// The version that it goes on top of.
        after: u64,
        /// What is new or different, and what is gone.
        changes: Vec<Entry>,
    },
    /// Nothing changed.
    Alive {
        /// The owner's start.
        incarnation: u64,
        /// Its changes since then.
        version: u64,
    },
}

/// One endpoint behind a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Entry {
    /// The whole name without the domain.
    pub name: String,
    /// The endpoint's own identifier.
    pub endpoint: String,
    /// What is registered; nothing where it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Place>,
}

/// Where an endpoint is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Place {
    /// Where it listens.
    #[schema(value_type = String)]
    pub address: SocketAddr,
    /// Its generation.
    pub generation: u64,
    /// How much it bears beside the others behind its name.
    #[serde(default = "ordinary_weight", skip_serializing_if = "is_ordinary_weight")]
    pub weight: u16,
    /// Requests at once that it takes of one router.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u32>,
    /// Whether it takes HTTP/2 without being asked first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub http2: bool,
    /// Whether requests are meant to go there.
    #[serde(default, skip_serializing_if = "EndpointState::is_connected")]
    pub state: EndpointState,
    /// Whether it is asked over TLS.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tls: bool,
}

/// A router of another site, as this one sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Peer {
    /// Its site.
    pub site: String,
    /// Where it listens.
    pub router: String,
    /// One way to its site by the site file, milliseconds; nothing where no link leads there.
    pub distance_ms: Option<f64>,
    /// How it goes.
    pub state: PeerState,
    /// Milliseconds since it was last heard; nothing before the first time.
    pub heard_ms_ago: Option<u64>,
    /// Endpoints that are known of its site.
    pub endpoints: usize,
    /// What went wrong last, while it is not connected.
    pub error: Option<String>,
}

/// How it goes with a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PeerState {
    /// It was never heard.
    Unknown,
    /// What is known of it is what it has.
    Connected,
    /// It is not heard any more; what was known is still served.
    Stale,
    /// It was not heard for so long that its endpoints are forgotten.
    Forgotten,
}

// === impl Place ===

impl Place {
    /// An endpoint on ordinary terms, connected.
    #[must_use]
    pub fn new(address: SocketAddr, generation: u64) -> Self {
        let (weight, state) = (ordinary_weight(), EndpointState::default());
        Self { address, generation, weight, capacity: None, http2: false, state, tls: false }
    }
}
