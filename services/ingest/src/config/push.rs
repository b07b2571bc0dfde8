//! `[push]`: the CMAF door, and what bounds it.

use std::time::Duration;

use flame_service_host::config::{Bytes, Span};
use serde::{Deserialize, Serialize};

use super::Contradiction;

/// `[push]`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PushConfig {
    /// Channels that are pushed to at once.
    pub max_channels: usize,
    /// Tracks that are pushed to one channel.
    pub max_tracks: usize,
    /// Longest fragment: a part, mostly, or a whole segment. Two may be held for each track.
    pub max_fragment: Bytes,
    /// What is held of a channel before its publication begins, and of each track that is ahead of the one that leads.
    pub held: Bytes,
    /// From the first header on, other tracks are waited for this long.
    pub gather: Span,
    /// A body that brings nothing for this long is refused; a channel that nothing is pushed to for this long has been left. Streaming
    /// has a patience of its own (`live.silence`), which is to be longer.
    pub idle: Span,
    /// What waits for streaming, for each track; past it the oldest segment is dropped.
    pub queue: Bytes,
    /// The same in segments.
    pub queue_segments: usize,
    /// Streaming may be away for this long before a publication is given up.
    pub patience: Span,
    /// Time for an answer of streaming.
    pub answer_timeout: Span,
}

/// A fragment of a whole segment, for a ladder of usual size, fits into this.
const FRAGMENT_MIN_BYTES: u64 = 64 << 10;

// === impl PushConfig ===

impl PushConfig {
    /// Whether the values fit together.
    pub(super) fn check(&self) -> Result<(), Contradiction> {
        let wrong = |text: String| Err(Contradiction(text));
        if self.max_fragment.0 < FRAGMENT_MIN_BYTES {
            let least = Bytes(FRAGMENT_MIN_BYTES);
            return wrong(format!("push.max_fragment is {}, it is {least} at least", self.max_fragment));
        }
        if self.held.0 < self.max_fragment.0 || self.queue.0 < self.max_fragment.0 || self.queue_segments < 2 {
            return wrong(
                "push.held and push.queue have room for one fragment at least, push.queue_segments is 2 at least"
                    .to_owned(),
            );
        }
        if self.max_channels == 0 || !(1..=16).contains(&self.max_tracks) {
            return wrong("push.max_channels is 1 at least, push.max_tracks from 1 to 16".to_owned());
        }
        Ok(())
    }
}

impl Default for PushConfig {
    fn default() -> Self {
        Self {
            max_channels: 16,
            max_tracks: 16,
            max_fragment: Bytes(16 << 20),
            held: Bytes(64 << 20),
            gather: Span(Duration::from_secs(1)),
            idle: Span(Duration::from_secs(8)),
            queue: Bytes(64 << 20),
            queue_segments: 15,
            patience: Span(Duration::from_secs(30)),
            answer_timeout: Span(Duration::from_secs(5)),
        }
    }
}
