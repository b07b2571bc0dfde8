//! What an endpoint registers, and what it is from then on: its identifier, its lease, its terms and its state.
//!
//! Values and their rules; the table keeps them. Whether an endpoint answers is not its state but its
//! [`health`](crate::health).

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::Moment;
use crate::health::Health;
use crate::name::Name;

/// Longest endpoint identifier.
const ID_MAX_BYTES: usize = 64;
/// Largest weight.
pub const WEIGHT_MAX: u16 = 1000;

/// The generation of an endpoint that is written down: whoever registers at its address itself takes its place.
pub const WRITTEN_DOWN: u64 = 0;
/// Longer than any lease.
const LEASES_END_WITHIN: Duration = Duration::from_secs(365 * 24 * 3600);

/// An endpoint's own identifier, unique behind its name: 1 to 64 letters, digits, `-`, `_`, `.`. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(Arc<str>);

/// What an endpoint registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Where it listens.
    pub address: SocketAddr,
    /// Counts up with its starts.
    pub generation: u64,
    /// Life from now.
    pub ttl: Duration,
    /// How much it takes, and how.
    pub terms: Terms,
    /// The state in which this generation begins.
    pub state: State,
}

/// How much an endpoint takes, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How much it bears beside the others behind its name, 1 to [`WEIGHT_MAX`]: what a request costs there is divided by it.
    pub weight: u16,
    /// Requests at once that it takes of one router; `None` is any number.
    pub capacity: Option<u32>,
    /// Whether it takes HTTP/2 without being asked first (RFC 9113 section 3.3).
    pub http2: bool,
    /// Whether it speaks TLS: then its certificate has to list the name.
    pub tls: bool,
}

/// Terms that no endpoint can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Too heavy, or of no weight.
    #[error("the weight is {0}, not 1 to {WEIGHT_MAX}; what is to get nothing is registered as `booted`")]
    Weight(u16),
    /// Room for nobody.
    #[error("the capacity is 0; what is to get nothing is registered as `booted`")]
    Capacity,
}

/// Whether requests are meant to go to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum State {
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

/// An endpoint that holds a lease.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Held<'a> {
    /// The name that it stands behind.
    pub name: &'a Name,
    /// Its identifier.
    pub endpoint: &'a EndpointId,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its generation.
    pub generation: u64,
    /// What is left of its lease.
    pub expires_in: Duration,
    /// How much it takes, and how.
    pub terms: Terms,
    /// Whether requests are meant to go there.
    pub state: State,
    /// How it does.
    pub health: &'a Health,
}

/// The endpoint that a request gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Its identifier.
    pub endpoint: EndpointId,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its generation.
    pub generation: u64,
    /// Whether it takes HTTP/2.
    pub http2: bool,
    /// Whether it speaks TLS.
    pub tls: bool,
}

// === impl EndpointId ===

impl EndpointId {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EndpointId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if (1..=ID_MAX_BYTES).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(text.into()))
        } else {
            Err(format!("`{text}` is no endpoint identifier: 1 to {ID_MAX_BYTES} letters, digits, `-`, `_`, `.`"))
        }
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Lease ===

impl Lease {
    /// A lease on ordinary terms, connected at once.
    #[must_use]
    pub fn new(address: SocketAddr, generation: u64, ttl: Duration) -> Self {
        Self { address, generation, ttl, terms: Terms::default(), state: State::default() }
    }
}

// === impl Terms ===

impl Terms {
    /// Terms that an endpoint can have, which speaks plain HTTP.
    pub fn new(weight: u16, capacity: Option<u32>, http2: bool) -> Result<Self, Unfit> {
        match (weight, capacity) {
            (_, Some(0)) => Err(Unfit::Capacity),
            (1..=WEIGHT_MAX, _) => Ok(Self { weight, capacity, http2, tls: false }),
            (weight, _) => Err(Unfit::Weight(weight)),
        }
    }

    /// Whether there is room for one more beside `open` requests.
    #[must_use]
    pub fn have_room(self, open: u32) -> bool {
        self.capacity.is_none_or(|capacity| open < capacity)
    }
}

impl Default for Terms {
    fn default() -> Self {
        Self { weight: 1, capacity: None, http2: false, tls: false }
    }
}

// === impl Held ===

impl Held<'_> {
    /// Whether it is written down, here or at its owner, and so renews no lease: nothing but its answers says that it is there.
    #[must_use]
    pub fn is_written_down(&self) -> bool {
        self.generation == WRITTEN_DOWN && self.expires_in > LEASES_END_WITHIN
    }

    /// Whether it takes one more request.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.terms.have_room(self.health.open())
    }

    /// What a request costs there, microseconds: of two, the one with less gets it.
    #[must_use]
    pub fn cost_us(&self, now: Moment) -> f64 {
        self.health.cost_us(now) / f64::from(self.terms.weight)
    }

    /// The endpoint, as a request gets it.
    #[must_use]
    pub fn choice(&self) -> Choice {
        let (endpoint, Terms { http2, tls, .. }) = (self.endpoint.clone(), self.terms);
        Choice { endpoint, address: self.address, generation: self.generation, http2, tls }
    }
}
