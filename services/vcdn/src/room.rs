//! Room for bodies that no quota of what is kept counts: those on their way, and the beginnings of those that broke off.
//!
//! A body whose length is known takes all of its room before its first byte, so that one that has begun never fails for it. It
//! gives room back by being dropped, and never waits for any: what finds none is passed on alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One tenant's room.
#[derive(Debug)]
pub(crate) struct Room {
    max_bytes: u64,
    taken_bytes: AtomicU64,
}

/// What one body has of it.
#[derive(Debug)]
pub(crate) struct Held {
    room: Arc<Room>,
    bytes: u64,
}

// === impl Room ===

impl Room {
    pub(crate) fn new(max_bytes: u64) -> Arc<Self> {
        Arc::new(Self { max_bytes, taken_bytes: AtomicU64::new(0) })
    }

    /// Room for `bytes`, if there is.
    pub(crate) fn take(self: &Arc<Self>, bytes: u64) -> Option<Held> {
        let mut held = Held { room: Arc::clone(self), bytes: 0 };
        held.grow_to(bytes).then_some(held)
    }

    pub(crate) fn taken_bytes(&self) -> u64 {
        self.taken_bytes.load(Ordering::Relaxed)
    }
}

// === impl Held ===

impl Held {
    /// Takes so much that it has `bytes`; false, and as it was, where there is not so much. What has more keeps it.
    pub(crate) fn grow_to(&mut self, bytes: u64) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let room = &self.room;
        let fits = |taken: u64| taken.checked_add(more).filter(|sum| more == 0 || *sum <= room.max_bytes);
        let has_grown = room.taken_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        self.bytes += if has_grown { more } else { 0 };
        has_grown
    }

    /// Gives back what is beyond `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: u64) {
        let less = self.bytes.saturating_sub(bytes);
        self.bytes -= less;
        self.room.taken_bytes.fetch_sub(less, Ordering::Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX_BYTES: u64 = 1000;

    proptest! {
        #[test]
        fn no_more_is_taken_than_there_is_and_all_of_it_comes_back(
            steps in prop::collection::vec((0_u8..4, 0_usize..8, prop_oneof![0_u64..700, Just(u64::MAX)]), 1..60),
        ) {
            let room = Room::new(MAX_BYTES);
            let mut held: Vec<Held> = Vec::new();
            for (what, which, bytes) in steps {
                let sum: u64 = held.iter().map(|held| held.bytes).sum();
                prop_assert_eq!(room.taken_bytes(), sum);
                prop_assert!(sum <= MAX_BYTES);
                let at = which.checked_rem(held.len());
                match (what, at) {
                    (0, _) | (_, None) => {
                        let taken = room.take(bytes);
                        prop_assert_eq!(taken.is_some(), bytes <= MAX_BYTES - sum);
                        held.extend(taken);
                    }
                    (1, Some(at)) => {
                        let had = held[at].bytes;
                        let fits = bytes <= had || bytes - had <= MAX_BYTES - sum;
                        prop_assert_eq!(held[at].grow_to(bytes), fits);
                        prop_assert_eq!(held[at].bytes, if fits { had.max(bytes) } else { had });
                    }
                    (2, Some(at)) => {
                        let had = held[at].bytes;
                        held[at].shrink_to(bytes);
                        prop_assert_eq!(held[at].bytes, had.min(bytes));
                    }
                    (_, Some(at)) => drop(held.swap_remove(at)),
                }
            }
            held.clear();
            prop_assert_eq!(room.taken_bytes(), 0);
        }
    }
}
