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
    /// When nothing comes back for so long of what is sent, transcode hangs, and is asked anew.
    pub stuck: Span,
    /// Time for the last of the renditions to come when a publication ends.
    pub farewell: Span,
}

// === impl LadderConfig ===

impl LadderConfig {
    /// Whether the values fit together.
    pub(super) fn check(&self) -> Result<(), Contradiction> {
        if self.queue_segments < 2 || self.patience.0.is_zero() || self.stuck.0.is_zero() {
            let why = "ladder.queue_segments is 2 at least, ladder.patience and ladder.stuck above 0";
            return Err(Contradiction(why.to_owned()));
        }
        Ok(())
    }
}

impl Default for LadderConfig {
    fn default() -> Self {
        let seconds = |seconds| Span(Duration::from_secs(seconds));
        Self {
            queue_segments: 2,
            patience: seconds(5),
            max_backoff: seconds(15),
            stuck: seconds(10),
            farewell: seconds(3),
        }
    }
}
