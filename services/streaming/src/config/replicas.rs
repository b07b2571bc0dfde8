//! `[replicas]`: a store at each site, which gives the others what they lack and keeps what it got from them.

use std::time::Duration;

use flame_naming::Name;
use flame_service_host::config::{Bytes, Span};
use serde::Deserialize;

/// The largest object that can be kept: S3's 10,000 parts of 8 MiB.
pub const OBJECT_MAX_BYTES: u64 = 10_000 * crate::replicas::BLOCK_BYTES;

/// How stores of several sites help each other.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReplicasConfig {
    /// The name behind which the stores of all sites are: this instance stands there for its own.
    pub name: String,
    /// Time for another site to begin an answer, and between two pieces of one.
    pub deadline: Span,
    /// Objects that are copied at a time; each takes 8 MiB of memory.
    pub at_once: usize,
    /// Objects that may wait to be copied; more are left until they are asked for again.
    pub waiting: usize,
    /// Larger objects are read where they are, and not kept; at most [`OBJECT_MAX_BYTES`].
    pub object_max: Bytes,
    /// How often is looked which assets are gone for good, so that their copies go, too.
    pub sweep: Span,
}

/// What `[replicas]` cannot be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The name is none.
    #[error("`name` in [replicas] is no name of a service: {0}")]
    Name(String),
    /// Nothing would ever be copied.
    #[error("`at_once` and `waiting` in [replicas] are 1 to 1000 and 1 to 100000")]
    Bounds,
    /// S3 has not that many parts.
    #[error("`object_max` in [replicas] is at most {OBJECT_MAX_BYTES} bytes (10,000 parts of 8 MiB)")]
    ObjectMax,
    /// It would look all the time.
    #[error("`sweep` and `deadline` in [replicas] are more than 0")]
    Times,
}

// === impl ReplicasConfig ===

impl ReplicasConfig {
    /// Holds it to what it may be.
    ///
    /// # Errors
    /// [`Invalid`]: the first value that cannot be.
    pub fn check(&self) -> Result<(), Invalid> {
        self.name.parse::<Name>().map_err(|error| Invalid::Name(error.to_string()))?;
        if !(1..=1000).contains(&self.at_once) || !(1..=100_000).contains(&self.waiting) {
            return Err(Invalid::Bounds);
        }
        if self.object_max.0 > OBJECT_MAX_BYTES {
            return Err(Invalid::ObjectMax);
        }
        if self.sweep.0.is_zero() || self.deadline.0.is_zero() {
            return Err(Invalid::Times);
        }
        Ok(())
    }
}

impl Default for ReplicasConfig {
    fn default() -> Self {
        Self {
            name: "store".to_owned(),
            deadline: Span(Duration::from_secs(10)),
            at_once: 2,
            waiting: 1_000,
            object_max: Bytes(64 << 30),
            sweep: Span(Duration::from_hours(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_is_refused_before_anything_starts() {
        let good = ReplicasConfig::default();
        assert_eq!(good.check(), Ok(()));
        let changed = |change: fn(&mut ReplicasConfig)| {
            let mut config = ReplicasConfig::default();
            change(&mut config);
            config.check()
        };
        assert!(matches!(changed(|config| config.name = "a b".to_owned()), Err(Invalid::Name(_))));
        assert_eq!(changed(|config| config.at_once = 0), Err(Invalid::Bounds));
        assert_eq!(changed(|config| config.waiting = 0), Err(Invalid::Bounds));
        assert_eq!(changed(|config| config.object_max = Bytes(OBJECT_MAX_BYTES + 1)), Err(Invalid::ObjectMax));
        assert_eq!(changed(|config| config.sweep = Span(Duration::ZERO)), Err(Invalid::Times));
    }
}
