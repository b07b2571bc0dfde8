//! What an answer's status says of the endpoint that gave it, and of nothing else.
//!
//! One that has *no room* says so, and when to ask again (503 with Retry-After to what changes nothing): it is passed over
//! while another has room. One that *cannot write* (503, 507) is passed over for what changes something, and still asked for
//! what it has. A 429 is about whoever asked (RFC 6585 section 4), and says nothing of the endpoint. An error alone may be the request's fault: only several in a row, with no success between them, are the
//! endpoint's. What is refused is refused quickly; so how long such an answer took says nothing of how it does.

use std::time::Duration;

/// Longest time that an endpoint is believed to have no room.
pub const FULL_MAX: Duration = Duration::from_secs(30);
/// Shortest: a request that follows at once would only be refused too.
pub const FULL_MIN: Duration = Duration::from_secs(1);
/// So many errors in a row, to what changes something, are the endpoint's and not the requests' fault.
pub const WRITE_FAILURES: u32 = 3;

/// What a request is to do at an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Demand {
    /// Nothing changes: the method is safe (RFC 9110 section 9.2.1).
    Read,
    /// Something is to change there.
    Write,
}

/// What an answer says of its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// Nothing.
    Nothing,
    /// It takes no request for so long.
    NoRoom(Duration),
    /// It takes nothing that changes something.
    CannotWrite,
    /// It failed at what was to change something.
    FailedToWrite,
    /// It did what was to change something.
    Wrote,
}

// === impl Said ===

impl Said {
    /// What an answer of `status` says, with the `retry_after` that it states.
    #[must_use]
    pub fn of(demand: Demand, status: u16, retry_after: Option<Duration>) -> Self {
        match (status, retry_after, demand) {
            (503, Some(after), Demand::Read) => Self::NoRoom(after.clamp(FULL_MIN, FULL_MAX)),
            (200..=399, _, Demand::Write) => Self::Wrote,
            (503 | 507, _, Demand::Write) => Self::CannotWrite,
            // These are the request's fault.
            (501 | 505, _, _) => Self::Nothing,
            (500..=599, _, Demand::Write) => Self::FailedToWrite,
            _ => Self::Nothing,
        }
    }
}

/// Whether how long an answer of `status` took says how long answers take there.
#[must_use]
pub fn tells_latency(status: u16) -> bool {
    status < 500 && status != 429
}
