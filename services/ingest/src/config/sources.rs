//! `[sources]`: channels whose media this service fetches itself, and what bounds that.

use std::time::Duration;

use flame_service_host::config::{Bytes, Span};
use serde::{Deserialize, Serialize};

use super::Contradiction;

/// `[sources]`. Which addresses may be fetched from, and how often a redirect is followed, `[pulls]` says.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourcesConfig {
    /// Channels that are fetched for at once; others wait.
    pub max_channels: usize,
    /// Time between two looks for channels with a source, and for a channel that somebody else publishes to.
    pub look: Span,
    /// Longest playlist.
    pub max_playlist: Bytes,
    /// Longest segment.
    pub max_segment: Bytes,
    /// What is fetched of a channel ahead of its time; one segment more may be under way.
    pub held: Bytes,
    /// A live playlist that names nothing new for this long, or for three segments, is left, and tried again.
    pub stale: Span,
    /// Longest pause between two tries.
    pub max_backoff: Span,
    /// What waits for streaming, for each track; past it the oldest segment is dropped.
    pub queue: Bytes,
    /// The same in segments.
    pub queue_segments: usize,
    /// Streaming may be away for this long before a publication is given up.
    pub patience: Span,
    /// Time for an answer of streaming.
    pub answer_timeout: Span,
}

/// A segment of some seconds, of usual size, fits into this.
const SEGMENT_MIN_BYTES: u64 = 1 << 20;

// === impl SourcesConfig ===

impl SourcesConfig {
    /// Whether the values fit together.
    pub(super) fn check(&self) -> Result<(), Contradiction> {
        let wrong = |text: &str| Err(Contradiction(text.to_owned()));
        if self.max_segment.0 < SEGMENT_MIN_BYTES || self.max_playlist.0 == 0 {
            return wrong("sources.max_segment is 1MiB at least, sources.max_playlist above 0");
        }
        if self.held.0 < self.max_segment.0 || self.queue.0 < self.max_segment.0 || self.queue_segments < 2 {
            return wrong(
                "sources.held and sources.queue have room for one segment at least, sources.queue_segments is 2 at least",
            );
        }
        if self.max_channels == 0 || self.look.0.is_zero() {
            return wrong("sources.max_channels is 1 at least, sources.look above 0");
        }
        Ok(())
    }
}

impl Default for SourcesConfig {
    fn default() -> Self {
        Self {
            max_channels: 16,
            look: Span(Duration::from_secs(2)),
            max_playlist: Bytes(2 << 20),
            max_segment: Bytes(32 << 20),
            held: Bytes(64 << 20),
            stale: Span(Duration::from_secs(20)),
            max_backoff: Span(Duration::from_secs(30)),
            queue: Bytes(64 << 20),
            queue_segments: 15,
            patience: Span(Duration::from_secs(30)),
            answer_timeout: Span(Duration::from_secs(5)),
        }
    }
}
