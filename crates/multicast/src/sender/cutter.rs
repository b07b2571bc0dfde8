//! Cuts a response into blocks: the first ones small, so that the first byte is early; then as long as blocks may be;
//! and whatever is there when the oldest byte has waited long enough, so that a response that trickles streams.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

/// Longest time that a byte waits for its block to fill.
pub(super) const PATIENCE: Duration = Duration::from_millis(50);
/// Length of the first block; each one after it may be twice as long as the one before.
const FIRST_BYTES: usize = 32 * 1024;

/// What is not yet a block.
#[derive(Debug)]
pub(super) struct Cutter {
    held: BytesMut,
    length: usize,
    /// When the oldest byte held came.
    since: Duration,
}

// === impl Cutter ===

impl Cutter {
    pub(super) fn new() -> Self {
        Self { held: BytesMut::new(), length: FIRST_BYTES, since: Duration::ZERO }
    }

    pub(super) fn put(&mut self, bytes: &[u8], now: Duration) {
        if self.held.is_empty() {
            self.since = now;
        }
        self.held.extend_from_slice(bytes);
    }

    /// When a block is due that is not full; `None` where nothing is held.
    pub(super) fn due(&self) -> Option<Duration> {
        (!self.held.is_empty()).then(|| self.since + PATIENCE)
    }

    /// A block, if one is full or due, or if `is_end` and there is a rest.
    pub(super) fn cut(&mut self, now: Duration, is_end: bool) -> Option<Bytes> {
        let is_full = self.held.len() >= self.length;
        let is_due = self.due().is_some_and(|due| due <= now || is_end);
        if !is_full && !is_due {
            return None;
        }
        let block = self.held.split_to(self.length.min(self.held.len())).freeze();
        if is_full {
            self.length = (self.length * 2).min(crate::BLOCK_MAX_BYTES);
        }
        self.since = now;
        Some(block)
    }

    /// Whether a full block is held.
    pub(super) fn is_full(&self) -> bool {
        self.held.len() >= self.length
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn blocks_are_the_response_and_never_too_long_or_late(pieces in prop::collection::vec((0usize..400_000, 0u64..120), 0..8)) {
            let mut cutter = Cutter::new();
            let (mut whole, mut blocks, mut now) = (Vec::new(), Vec::new(), Duration::ZERO);
            for (length, pause_ms) in pieces {
                let piece: Vec<u8> = (0..length).map(|at| ((whole.len() + at) % 251) as u8).collect();
                now += Duration::from_millis(pause_ms);
                while let Some(block) = cutter.cut(now, false) {
                    blocks.push(block);
                }
                prop_assert!(cutter.due().is_none_or(|due| due > now));
                cutter.put(&piece, now);
                whole.extend(piece);
            }
            while let Some(block) = cutter.cut(now, true) {
                blocks.push(block);
            }
            prop_assert!(blocks.iter().all(|block| (1..=crate::BLOCK_MAX_BYTES).contains(&block.len())));
            prop_assert!(blocks.first().is_none_or(|block| block.len() <= FIRST_BYTES));
            prop_assert_eq!(blocks.concat(), whole);
        }
    }
}
