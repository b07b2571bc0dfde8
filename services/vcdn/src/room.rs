//! Room for bodies that no quota of what is kept counts: those on their way, the beginnings of those that broke off, and whole ones
//! that found no place where things are kept, until their last viewer has them.
//!
//! A body whose length is known takes all of its room before its first byte, so that one that has begun never fails for it. It
//! gives room back by being dropped, and never waits for any: what finds none is passed on alone. Small bodies have a part of the
//! room for themselves: a few large ones on their way must not cost playlists and parts that they are shared.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bodies up to this size may take all room that there is. Larger ones leave a part of it.
pub(crate) const SMALL_MAX_BYTES: u64 = 1 << 20;
/// One of so many parts is for small bodies alone.
const PARTS: u64 = 8;

/// One tenant's room.
#[derive(Debug)]
pub(crate) struct Room {
    max_bytes: u64,
    taken_bytes: AtomicU64,
}

/// What one body has of it. One task at a time makes it more or less; anybody may hold it.
#[derive(Debug)]
pub(crate) struct Held {
    room: Arc<Room>,
    bytes: AtomicU64,
}

/// What of `max_bytes` may be taken once a body of `bytes` has its own.
pub(crate) fn limit_bytes(max_bytes: u64, bytes: u64) -> u64 {
    if bytes <= SMALL_MAX_BYTES { max_bytes } else { max_bytes - max_bytes / PARTS }
}

// === impl Room ===

impl Room {
    pub(crate) fn new(max_bytes: u64) -> Arc<Self> {
        Arc::new(Self { max_bytes, taken_bytes: AtomicU64::new(0) })
    }

    /// Nothing yet, for a body that is to come.
    pub(crate) fn nothing(self: &Arc<Self>) -> Held {
        Held { room: Arc::clone(self), bytes: AtomicU64::new(0) }
    }

    pub(crate) fn taken_bytes(&self) -> u64 {
        self.taken_bytes.load(Ordering::Relaxed)
    }
}

// === impl Held ===

impl Held {
    /// Takes so much that it has `bytes`; false, and as it was, where there is not so much. What has more keeps it.
    pub(crate) fn grow_to(&self, bytes: u64) -> bool {
        let more = bytes.saturating_sub(self.bytes());
        let room = &self.room;
        let limit = limit_bytes(room.max_bytes, bytes);
        let fits = |taken: u64| taken.checked_add(more).filter(|sum| more == 0 || *sum <= limit);
        let has_grown = room.taken_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        self.bytes.fetch_add(if has_grown { more } else { 0 }, Ordering::Relaxed);
        has_grown
    }

    /// Whether it could have `bytes` if others gave back `freed_bytes`.
    pub(crate) fn could_grow_to(&self, bytes: u64, freed_bytes: u64) -> bool {
        let more = bytes.saturating_sub(self.bytes());
        let taken = self.room.taken_bytes().saturating_sub(freed_bytes);
        taken.saturating_add(more) <= limit_bytes(self.room.max_bytes, bytes)
    }

    /// Gives back what is beyond `bytes`.
    pub(crate) fn shrink_to(&self, bytes: u64) {
        let less = self.bytes.fetch_min(bytes, Ordering::Relaxed).saturating_sub(bytes);
        self.room.taken_bytes.fetch_sub(less, Ordering::Relaxed);
    }

    /// All of it, for the same body in another place; nothing is left here.
    pub(crate) fn hand_over(&self) -> Self {
        Self { room: Arc::clone(&self.room), bytes: AtomicU64::new(self.bytes.swap(0, Ordering::Relaxed)) }
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
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

    const MAX_BYTES: u64 = 8 << 20;

    proptest! {
        #[test]
        fn no_more_is_taken_than_there_is_small_bodies_have_a_part_of_their_own_and_all_of_it_comes_back(
            steps in prop::collection::vec((0_u8..5, 0_usize..8, prop_oneof![0_u64..5 << 20, 0_u64..2 << 20, Just(u64::MAX)]), 1..60),
        ) {
            let room = Room::new(MAX_BYTES);
            let mut held: Vec<Held> = Vec::new();
            for (what, which, bytes) in steps {
                let sum: u64 = held.iter().map(Held::bytes).sum();
                prop_assert_eq!(room.taken_bytes(), sum);
                prop_assert!(sum <= MAX_BYTES);
                let most = if bytes <= 1 << 20 { MAX_BYTES } else { MAX_BYTES / 8 * 7 };
                let at = which.checked_rem(held.len());
                match (what, at) {
                    (0, _) | (_, None) => {
                        let taken = room.nothing();
                        let fits = bytes == 0 || bytes <= most.saturating_sub(sum);
                        prop_assert_eq!(taken.could_grow_to(bytes, 0) || bytes == 0, fits);
                        prop_assert_eq!(taken.grow_to(bytes), fits);
                        held.push(taken);
                    }
                    (1, Some(at)) => {
                        let had = held[at].bytes();
                        let fits = bytes <= had || bytes - had <= most.saturating_sub(sum);
                        prop_assert_eq!(held[at].grow_to(bytes), fits);
                        prop_assert_eq!(held[at].bytes(), if fits { had.max(bytes) } else { had });
                    }
                    (2, Some(at)) => {
                        let had = held[at].bytes();
                        held[at].shrink_to(bytes);
                        prop_assert_eq!(held[at].bytes(), had.min(bytes));
                    }
                    (3, Some(at)) => {
                        let had = held[at].bytes();
                        let moved = held[at].hand_over();
                        prop_assert_eq!((held[at].bytes(), moved.bytes()), (0, had));
                        held.push(moved);
                    }
                    (_, Some(at)) => drop(held.swap_remove(at)),
                }
            }
            held.clear();
            prop_assert_eq!(room.taken_bytes(), 0);
        }
    }
}
