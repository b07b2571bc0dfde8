//! What answers may take of a router's memory: those that say how long they are all that they say, at once; the others more as they come.
//! Each of both kinds has a bound of its own below the whole, so that neither crowds out the other: three quarters for what is said, half
//! for what is not. So a quarter is always left to the latter, and half to the former.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::HeaderMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::head::{self, Length};

/// What an answer costs besides its body.
const OWN_KIB: u32 = 64;
/// Blocks that the sender of an answer holds that does not say how long it is.
pub(super) const UNSAID_BLOCKS: u32 = 16;
/// What one takes at an edge at first, and more each time.
const UNSAID_STEP_BYTES: u64 = 1 << 20;

/// The memory for all answers.
#[derive(Debug)]
pub(crate) struct Memory {
    free: Arc<Semaphore>,
    /// What of it is left to those that say how long they are.
    said: Arc<Semaphore>,
    /// What of it is left to the others.
    unsaid: Arc<Semaphore>,
    pub(super) body_max_bytes: u64,
}

/// Room for one answer.
#[derive(Debug)]
pub(crate) struct Room(Mutex<Held>);

/// Memory that is taken, of the whole and of its kind's share alike.
#[derive(Debug)]
struct Held {
    of_all: OwnedSemaphorePermit,
    of_kind: OwnedSemaphorePermit,
}

// === impl Memory ===

impl Memory {
    pub(super) fn new(bytes: u64, body_max_bytes: u64) -> Self {
        let all_kib = kib(bytes) as usize;
        let [free, said, unsaid] =
            [all_kib, all_kib - all_kib / 4, all_kib / 2].map(|share_kib| Arc::new(Semaphore::new(share_kib)));
        Self { free, said, unsaid, body_max_bytes }
    }

    /// Room for another answer of the length that these fields state; where they state none, for the beginning of one.
    pub(crate) fn room_for(&self, headers: &HeaderMap) -> Option<Room> {
        match head::length(headers)? {
            Length::Stated(bytes) if bytes > self.body_max_bytes => None,
            Length::Stated(bytes) => self.take(&self.said, bytes),
            Length::Unsaid => self.take(&self.unsaid, self.body_max_bytes.min(UNSAID_STEP_BYTES)),
        }
    }

    /// The same to send it from here.
    pub(crate) fn room_to_send(&self, headers: &HeaderMap) -> Option<Room> {
        match head::length(headers)? {
            Length::Stated(_) => self.room_for(headers),
            Length::Unsaid => {
                self.take(&self.unsaid, u64::from(UNSAID_BLOCKS) * flame_multicast::BLOCK_MAX_BYTES as u64)
            }
        }
    }

    /// Whether `room`, of one that states no length, holds `bytes`, or can from now on.
    pub(super) fn grow(&self, room: &Room, bytes: u64) -> bool {
        let held_bytes = room.bytes();
        if bytes <= held_bytes {
            return true;
        }
        if bytes > self.body_max_bytes {
            return false;
        }
        let wanted_bytes = bytes.next_multiple_of(UNSAID_STEP_BYTES).min(self.body_max_bytes);
        let more = self.take(&self.unsaid, wanted_bytes - held_bytes);
        more.map(|more| room.add(more)).is_some()
    }

    fn take(&self, share: &Arc<Semaphore>, bytes: u64) -> Option<Room> {
        let wanted_kib = kib(bytes) + OWN_KIB;
        let of_kind = Arc::clone(share).try_acquire_many_owned(wanted_kib).ok()?;
        let of_all = Arc::clone(&self.free).try_acquire_many_owned(wanted_kib).ok()?;
        Some(Room(Mutex::new(Held { of_all, of_kind })))
    }
}

// === impl Room ===

impl Room {
    /// How long a body may be that it holds.
    pub(super) fn bytes(&self) -> u64 {
        let held_kib = self.lock().of_all.num_permits().saturating_sub(OWN_KIB as usize);
        held_kib as u64 * 1024
    }

    /// Gives back what a body of so many bytes does not take.
    pub(super) fn holds_only(&self, bytes: u64) {
        let mut held = self.lock();
        let spare = held.of_all.num_permits().saturating_sub((kib(bytes) + OWN_KIB) as usize);
        drop((held.of_all.split(spare), held.of_kind.split(spare)));
    }

    fn add(&self, more: Self) {
        let Held { of_all, of_kind } = more.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut held = self.lock();
        held.of_all.merge(of_all);
        held.of_kind.merge(of_kind);
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn kib(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX >> 1)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, header};
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn stated(bytes: u64) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_LENGTH, HeaderValue::from(bytes))])
    }

    /// As much room as there is for answers with these fields.
    fn all_of(memory: &Memory, headers: &HeaderMap) -> Vec<Room> {
        std::iter::from_fn(|| memory.room_for(headers)).collect()
    }

    #[test]
    fn what_states_no_length_takes_room_as_it_comes_and_never_more_than_half() {
        let memory = Memory::new(256 * MIB, 16 * MIB);
        let unsaid = all_of(&memory, &HeaderMap::new());
        assert!((110..=128).contains(&unsaid.len()), "{} answers", unsaid.len());
        assert!(!memory.grow(&unsaid[0], 2 * MIB), "others take it");
        // Those that say it find their half.
        let said = all_of(&memory, &stated(16 * MIB));
        assert!(said.len() >= 7 && memory.room_for(&stated(16 * MIB + 1)).is_none(), "{} answers", said.len());
        drop((unsaid, said));
        let one = memory.room_for(&HeaderMap::new()).unwrap();
        assert!(memory.grow(&one, 5 * MIB) && one.bytes() >= 5 * MIB);
        assert!(!memory.grow(&one, 16 * MIB + 1));
        one.holds_only(10);
        assert_eq!(one.bytes(), 1024);
        drop(one);
        let left = [&memory.free, &memory.said, &memory.unsaid].map(|share| share.available_permits());
        assert_eq!(left, [256 * 1024, 192 * 1024, 128 * 1024], "all of it came back");
    }

    #[test]
    fn what_states_its_length_leaves_a_quarter_to_what_does_not() {
        let memory = Memory::new(256 * MIB, 16 * MIB);
        let said = all_of(&memory, &stated(16 * MIB - 64 * 1024));
        assert_eq!(said.len(), 12);
        let sent: Vec<_> = std::iter::from_fn(|| memory.room_to_send(&HeaderMap::new())).collect();
        assert_eq!(sent.len(), 15, "windows of 4 MiB in 64 MiB");
        drop(sent);
        let one = memory.room_for(&HeaderMap::new()).unwrap();
        assert!(memory.grow(&one, 16 * MIB), "it grows beside them");
    }

    proptest! {
        /// However room is taken and given back, each kind finds its share, and all of it comes back.
        #[test]
        fn neither_kind_takes_the_other_s_share(
            steps in prop::collection::vec((any::<bool>(), 0u64..20 * MIB, any::<prop::sample::Index>(), 0u8..4), 0..200),
        ) {
            const OWN_BYTES: u64 = OWN_KIB as u64 * 1024;
            let memory = Memory::new(256 * MIB, 16 * MIB);
            let mut held: Vec<(bool, Room)> = Vec::new();
            for (is_said, bytes, at, step) in steps {
                let headers = if is_said { stated(bytes) } else { HeaderMap::new() };
                match step {
                    0 | 1 => held.extend(memory.room_for(&headers).map(|room| (is_said, room))),
                    _ if held.is_empty() => {}
                    2 => drop(held.swap_remove(at.index(held.len()))),
                    _ => {
                        let (is_said, room) = &held[at.index(held.len())];
                        let (before, grown) = (room.bytes(), !is_said && memory.grow(room, bytes));
                        let least = if grown { bytes } else { before };
                        prop_assert!(room.bytes() >= least);
                    }
                }
                let of = |wanted: bool| held.iter().filter(move |(is_said, _)| *is_said == wanted);
                let taken = |wanted| of(wanted).map(|(_, room)| room.bytes() + OWN_BYTES).sum::<u64>();
                prop_assert!(taken(true) <= 192 * MIB && taken(false) <= 128 * MIB, "{} {}", taken(true), taken(false));
                prop_assert!(taken(true) + taken(false) <= 256 * MIB);
                // Who finds nothing sees its own share used up, or the whole by both.
                if is_said && bytes <= 16 * MIB && taken(true) + bytes + 2 * OWN_BYTES <= 128 * MIB {
                    prop_assert!(memory.room_for(&headers).is_some());
                }
                if !is_said && taken(false) + 2 * MIB <= 64 * MIB {
                    prop_assert!(memory.room_for(&headers).is_some());
                }
            }
            drop(held);
            prop_assert_eq!(memory.free.available_permits(), 256 * 1024);
        }
    }
}
