//! `[scrub]`.

use std::time::Duration;

use flame_service_host::config::{Bytes, Span};
use serde::{Deserialize, Serialize};

use super::Contradiction;

/// The slowest rate: an object of 64 GiB takes a day.
const RATE_MIN_BYTES: u64 = 1 << 20;

/// `[scrub]`: how what is stored is read and compared.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScrubConfig {
    /// Every object is read after this time again; zero: only when somebody asks.
    pub every: Span,
    /// Bytes in a second at most.
    pub rate: Bytes,
}

impl ScrubConfig {
    /// Whether the values can be worked with.
    pub(super) fn check(&self) -> Result<(), Contradiction> {
        if self.rate.0 < RATE_MIN_BYTES {
            let least = Bytes(RATE_MIN_BYTES);
            return Err(Contradiction(format!("scrub.rate is {}, it is {least} at least", self.rate)));
        }
        Ok(())
    }
}

impl Default for ScrubConfig {
    fn default() -> Self {
        Self { every: Span(Duration::from_secs(30 * 24 * 3600)), rate: Bytes(16 << 20) }
    }
}
