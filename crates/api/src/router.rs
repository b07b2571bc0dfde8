//! Service routing: which endpoints stand behind a name.
//!
//! `GET /api/router/endpoints` · `PUT|DELETE /api/router/endpoints/{name}/{endpoint}` and `POST` of `…/drain`, `…/connect`,
//! `…/kill` ·
//! `GET /api/router/routes` · `GET /api/router/explain?url=…` · `GET /api/router/activity` · `POST /api/router/certificates` ·
//! `GET|POST|DELETE /api/router/session` · `GET /api/router/session/doors` · `GET /api/router/session/oidc` and `…/return`.

use std::collections::BTreeMap;
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
    /// Counts up from 1 with each start of the endpoint: a renewal of an older generation is refused with 409.
    pub generation: u64,
    /// Life in milliseconds, 100 to 60,000.
    pub ttl_ms: u64,
    /// How much it bears beside the others behind its name, 1 to 1000: what a request costs there is divided by it.
    #[serde(default = "ordinary_weight", skip_serializing_if = "is_ordinary_weight")]
    pub weight: u16,
    /// Requests at once that it takes of one router; nothing is any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u32>,
    /// Whether it takes HTTP/2 without being asked first (RFC 9113 section 3.3).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub http2: bool,
    /// The state in which this generation begins; renewals change nothing of it.
    #[serde(default, skip_serializing_if = "EndpointState::is_connected")]
    pub state: EndpointState,
    /// Whether it speaks TLS: then it is asked so, and its certificate has to list the name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tls: bool,
}

/// Whether requests are meant to go to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndpointState {
    /// It runs and stands by: it gets none until it is connected.
    Booted,
    /// It gets them.
    #[default]
    Connected,
    /// It gets no new ones; those that are open end there.
    Draining,
    /// It was cut off: it gets none, its open ones have been ended, and this generation does not come back.
    Killed,
}

/// Body of `POST /api/router/certificates`: a join (with a token), or a renewal (over a connection that shows the
/// certificate to renew).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateRequest {
    /// The signing request, PEM (PKCS #10). Of what is in it only the key counts.
    pub request: String,
    /// The one-time join token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// What the joiner means to be: `router` or `service`. A token for something else is refused, and not spent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Its site, where it knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Names that it will register behind.
    #[serde(default)]
    pub names: Vec<String>,
}

/// A certificate that was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Certificate {
    /// The certificate, PEM.
    pub certificate: String,
    /// The authority's certificate, PEM: who joins compares it with the token.
    pub authority: String,
    /// What the certificate says: `router` or `service`.
    pub role: String,
    /// Its site.
    pub site: String,
    /// Names that it may stand behind.
    pub names: Vec<String>,
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
    /// Whether it is asked over TLS.
    #[serde(default)]
    pub tls: bool,
    /// Its generation.
    pub generation: u64,
    /// Milliseconds until the lease ends; of one that was killed, until that is forgotten, ten minutes after it
    /// asked last (what is in the file of static entries keeps its end).
    pub expires_in_ms: u64,
    /// How much it bears beside the others behind its name.
    #[serde(default = "ordinary_weight")]
    pub weight: u16,
    /// Requests at once that it takes of one router; nothing is any number.
    #[serde(default)]
    pub capacity: Option<u32>,
    /// Whether it takes HTTP/2 without being asked first.
    #[serde(default)]
    pub http2: bool,
    /// Whether requests are meant to go there.
    #[serde(default)]
    pub state: EndpointState,
    /// Whether one that is written down, and renews no lease, is there; nothing of others.
    #[serde(default)]
    pub presence: Option<Presence>,
    /// The router's clock at the answer, Unix milliseconds: endpoints measure their clock's offset with it.
    pub router_time_unix_ms: u64,
    /// Milliseconds since the router began, or another site's that it listens to, if that is less. One that has just begun does not know
    /// yet who there is. Nothing where it does not say.
    #[serde(default)]
    pub router_up_ms: Option<u64>,
}

/// Whether an endpoint is there that is written down, and renews no lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// The router has not heard it yet.
    Unknown,
    /// It answered when it was last heard, or asked.
    Answers,
    /// It did not: it gets nothing while another one is there, until it answers again.
    Silent,
}

/// Who a caller is: the answer of `/api/router/session`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// The tenant that it acts for.
    pub tenant: String,
    /// Whom its token was issued to.
    pub subject: String,
    /// What it may do: `read`, `write`, `admin`, `metrics`, `service`.
    pub scopes: Vec<String>,
}

/// How browsers can sign in, besides with tokens and links: the answer of `/api/router/session/doors`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignInDoors {
    /// An issuer of OpenID Connect, if one is set.
    pub oidc: Option<SignInDoor>,
}

/// An issuer at which people sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignInDoor {
    /// Its URL.
    pub issuer: String,
    /// The path, here, at which a browser sets out.
    pub begin: String,
}

/// What a router does besides passing on: the answer of `GET /api/router/activity`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Activity {
    /// What it did for all tenants together; for callers with the scope `metrics` or `admin`, and services.
    pub totals: Option<ActivityTotals>,
    /// The latest events that were asked for, oldest first.
    pub events: Vec<ActivityEvent>,
    /// The number of the last event, to ask for those after it.
    pub last: u64,
}

/// What a router did since its start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ActivityTotals {
    /// How often each kind of thing happened.
    pub counts: BTreeMap<ActivityKind, u64>,
    /// What multicast has done.
    pub multicast: MulticastCounts,
}

/// What happened to a request on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActivityKind {
    /// An endpoint gave no answer, and one is asked again: mostly another one, or the same if there is no other.
    Retried,
    /// An answer is late, and a second endpoint is asked, too.
    Hedged,
    /// An answer broke off or stood still, and goes on from another endpoint, or a new connection to the same if there is no other.
    Resumed,
    /// The answer was not the one that was wanted, and others were asked; one had it.
    Found,
    /// The same, and nobody had it.
    Missed,
}

/// Something that happened to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ActivityEvent {
    /// Counts up from 1 at each start of the router.
    pub number: u64,
    /// The router's clock, Unix milliseconds.
    pub at_unix_ms: u64,
    /// What happened.
    pub kind: ActivityKind,
    /// The name that was asked for.
    pub name: String,
    /// Where the request was before.
    pub from_site: Option<String>,
    /// The same: the endpoint.
    pub from_endpoint: Option<String>,
    /// Where it is now; nowhere if nobody had it.
    pub to_site: Option<String>,
    /// The same: the endpoint, where this router knows it.
    pub to_endpoint: Option<String>,
    /// Why, for people.
    pub why: String,
}

/// What a router sent by multicast.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MulticastCounts {
    /// Answers that went to groups.
    pub answers: u64,
    /// Routers in those groups.
    pub members: u64,
    /// Octets of these answers, each counted once.
    pub body_bytes: u64,
    /// Octets that were not sent once more to each other member.
    pub saved_bytes: u64,
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

/// How a router sees an endpoint: whether requests go there, and what they cost there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Route {
    /// The whole name without the domain.
    pub name: String,
    /// The endpoint's identifier.
    pub endpoint: String,
    /// Where it is.
    pub site: String,
    /// Where it listens.
    #[schema(value_type = String)]
    pub address: SocketAddr,
    /// Whether it is asked over TLS.
    #[serde(default)]
    pub tls: bool,
    /// Why it was not believed when it was asked last: what is wrong with its certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// How far its site is, one way, microseconds; nothing where nobody knows.
    pub distance_us: Option<u64>,
    /// Whether requests go there.
    pub state: RouteState,
    /// Whether it refused requests that change something (POST, PUT, PATCH, DELETE), or failed at them: while another takes them it
    /// gets none of those.
    #[serde(default)]
    pub refuses_writes: bool,
    /// How much it bears beside the others behind its name.
    #[serde(default = "ordinary_weight")]
    pub weight: u16,
    /// Requests at once that it takes of one router; nothing is any number.
    #[serde(default)]
    pub capacity: Option<u32>,
    /// Open requests of this router there.
    pub open: u32,
    /// Answers to requests of this router that began there, without those that were waited for there; after 2^32 - 1 comes 0. Nothing for
    /// whoever is of another tenant than the name, nor of a name without a tenant of its own, unless with the scope `metrics` or `admin`.
    #[serde(default)]
    pub answers: Option<u32>,
    /// How long its answers take, microseconds; nothing before the first.
    pub latency_us: Option<u64>,
    /// Open requests and one more, times latency, by weight: of two, the one with less gets a request.
    pub cost_us: u64,
}

/// Whether requests go to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RouteState {
    /// They do.
    Serving,
    /// It stands by, and gets none until it is connected.
    Booted,
    /// It gets no new ones; open ones end there.
    Draining,
    /// It was cut off, and this generation does not come back.
    Killed,
    /// It has as many open as it takes, and gets none while another has room.
    Full,
    /// It failed a moment ago, and gets some only where no other serves.
    Resting,
    /// It does not answer, and is probed until it does.
    Hung,
}

/// Where a request would go now, and why: `GET /api/router/explain?url=…`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// The name that the URL is for.
    pub name: String,
    /// What the endpoint is asked for.
    pub path: String,
    /// Who gets it; nothing where nobody can.
    pub chosen: Option<Route>,
    /// Why.
    pub reason: String,
    /// All who stand behind the name; behind each of its functions, where it is a path.
    pub routes: Vec<Route>,
    /// The functions of a path, the one that gets the request first; none of an ordinary name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<PathFunction>,
}

// === impl EndpointState ===

impl EndpointState {
    /// Whether it gets requests.
    #[must_use]
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    pub fn is_connected(&self) -> bool {
        *self == Self::Connected
    }
}

// === impl Registration ===

impl Registration {
    /// On ordinary terms: weight 1, any number of requests, connected at once.
    #[must_use]
    pub fn new(address: SocketAddr, generation: u64, ttl_ms: u64) -> Self {
        let (weight, state) = (ordinary_weight(), EndpointState::default());
        Self { address, generation, ttl_ms, weight, capacity: None, http2: false, state, tls: false }
    }
}

pub(crate) fn ordinary_weight() -> u16 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
pub(crate) fn is_ordinary_weight(weight: &u16) -> bool {
    *weight == ordinary_weight()
}

// === impl CertificateRequest ===

/// Without the token.
impl std::fmt::Debug for CertificateRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { request: _, token, role, site, names } = self;
        f.debug_struct("CertificateRequest")
            .field("token", &token.as_ref().map(|_| "[redacted]"))
            .field("role", role)
            .field("site", site)
            .field("names", names)
            .finish_non_exhaustive()
    }
}

// === impl ActivityKind ===

impl ActivityKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Retried, Self::Hedged, Self::Resumed, Self::Found, Self::Missed];

    /// The word in documents and labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retried => "retried",
            Self::Hedged => "hedged",
            Self::Resumed => "resumed",
            Self::Found => "found",
            Self::Missed => "missed",
        }
    }
}
