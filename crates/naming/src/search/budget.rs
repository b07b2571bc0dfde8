//! What a search may still use up, and how a router tells the next one: the request field `Flame-Search`.
//!
//! It is a structured item (RFC 9651): `Flame-Search: nested;hops=5;deadline-ms=1800`. Whoever sends it, it only ever makes
//! a search smaller: a router takes the lesser of it and its own limits. In an answer, `Flame-Search: nested;hops=2` says
//! how many steps were taken.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What a search may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Steps.
    pub hops: u32,
    /// Time from now.
    pub deadline: Duration,
}

/// A field that is none of a nested search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not of the form `nested;hops=5;deadline-ms=1800`")]
pub struct NotNested;

// === impl Budget ===

impl Budget {
    /// The lesser of both in each.
    #[must_use]
    pub fn at_most(self, other: Self) -> Self {
        Self { hops: self.hops.min(other.hops), deadline: self.deadline.min(other.deadline) }
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // RFC 9651 section 3.3.1: an integer has at most 15 digits.
        let ms = self.deadline.as_millis().min(999_999_999_999_999);
        write!(f, "nested;hops={};deadline-ms={ms}", self.hops)
    }
}

impl FromStr for Budget {
    type Err = NotNested;

    /// What a field does not name is unlimited; parameters that are not known here are skipped.
    fn from_str(text: &str) -> Result<Self, NotNested> {
        let mut parts = text.split(';').map(str::trim);
        if parts.next() != Some("nested") {
            return Err(NotNested);
        }
        let mut budget = Self { hops: u32::MAX, deadline: Duration::MAX };
        for part in parts {
            match part.split_once('=') {
                Some(("hops", value)) => budget.hops = value.parse().map_err(|_| NotNested)?,
                Some(("deadline-ms", value)) => {
                    budget.deadline = Duration::from_millis(value.parse().map_err(|_| NotNested)?);
                }
                Some(_) | None => {}
            }
        }
        Ok(budget)
    }
}
