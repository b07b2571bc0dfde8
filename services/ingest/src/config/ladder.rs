//! `[ladder]`: channels with a ladder, and what bounds what is sent to transcode for it.

use std::time::Duration;

use flame_service_host::config::Span;
use serde::{Deserialize, Serialize};

use super::Contradiction;

/// `[ladder]`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LadderConfig {
    /// Segments that transcode may be behind, besides the one under way; what comes then is left out, and is a gap in the renditions.
    pub queue_segments: usize,
    /// Time that a publication waits for its renditions before it begins without them.
    pub patience: Span,
    /// Longest pause between two tries.
    pub max_backoff: Span,
}

// === impl LadderConfig ===

impl LadderConfig {
    /// Whether the values fit together.
    pub(super) fn check(&self) -> Result<(), Contradiction> {
        if self.queue_segments < 2 || self.patience.0.is_zero() {
            return Err(Contradiction("ladder.queue_segments is 2 at least, ladder.patience above 0".to_owned()));
        }
        Ok(())
    }
}

impl Default for LadderConfig {
    fn default() -> Self {
        Self { queue_segments: 2, patience: Span(Duration::from_secs(5)), max_backoff: Span(Duration::from_secs(15)) }
    }
}
