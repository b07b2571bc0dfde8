//! Service routing: which endpoints stand behind a name.
//!
//! `GET /api/router/endpoints` · `PUT|DELETE /api/router/endpoints/{name}/{endpoint}`.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Life of a registration in milliseconds unless it is renewed.
pub const LEASE_TTL_MS: u64 = 10_000;

/// Body of `PUT /api/router/endpoints/{name}/{endpoint}`: registers the endpoint, or renews its lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// Where it listens.
    #[schema(value_type = String)]
    pub address: SocketAddr,
    /// Counts up with each start of the endpoint: a renewal of an older generation is refused with 409.
    pub generation: u64,
    /// Life in milliseconds, 100 to 60,000.
    pub ttl_ms: u64,
}

/// An endpoint as the router knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Endpoint {
    /// The whole name without the domain: `metadata.main`.
    pub name: String,
    /// The endpoint's own identifier, unique behind the name at its site.
    pub endpoint: String,
    /// Where it is.
    #[serde(default)]
    pub site: String,
    /// Where it listens.
    #[schema(value_type = String)]
    pub address: SocketAddr,
    /// Its generation.
    pub generation: u64,
    /// Milliseconds until the lease ends.
    pub expires_in_ms: u64,
    /// The router's clock at the answer, Unix milliseconds: endpoints measure their clock's offset with it.
    pub router_time_unix_ms: u64,
}

/// A name that stands for several functions in a row: an item of `GET /api/router/paths`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Path {
    /// What it is called.
    pub name: String,
    /// From the client to the source.
    pub functions: Vec<PathFunction>,
}

/// A function of a path, and where a request would get it now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PathFunction {
    /// Its name.
    pub name: String,
    /// Endpoints at all sites that stand behind it.
    pub endpoints: usize,
    /// The nearest site that has one; nothing where none has, and the path is broken there.
    pub site: Option<String>,
}
