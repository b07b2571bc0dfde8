//! What answers may take of a router's memory: those that say how long they are all that they say, at once; the others more as they come,
//! and half of the memory at most, so that they never crowd out those.

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
    all_kib: u32,
    pub(super) body_max_bytes: u64,
}

/// Room for one answer.
#[derive(Debug)]
pub(crate) struct Room(Mutex<OwnedSemaphorePermit>);

// === impl Memory ===

impl Memory {
    pub(super) fn new(bytes: u64, body_max_bytes: u64) -> Self {
        let all_kib = kib(bytes);
        Self { free: Arc::new(Semaphore::new(all_kib as usize)), all_kib, body_max_bytes }
    }

    /// Room for another answer of the length that these fields state; where they state none, for the beginning of one.
    pub(crate) fn room_for(&self, headers: &HeaderMap) -> Option<Room> {
        match head::length(headers)? {
            Length::Stated(bytes) if bytes > self.body_max_bytes => None,
            Length::Stated(bytes) => self.take(bytes),
            Length::Unsaid => self.take_unsaid(self.body_max_bytes.min(UNSAID_STEP_BYTES)),
        }
    }

    /// The same to send it from here.
    pub(crate) fn room_to_send(&self, headers: &HeaderMap) -> Option<Room> {
        match head::length(headers)? {
            Length::Stated(_) => self.room_for(headers),
            Length::Unsaid => self.take_unsaid(u64::from(UNSAID_BLOCKS) * flame_multicast::BLOCK_MAX_BYTES as u64),
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
        let more = self.take_unsaid(wanted_bytes - held_bytes);
        more.map(|more| room.add(more)).is_some()
    }

    fn take(&self, bytes: u64) -> Option<Room> {
        let held = Arc::clone(&self.free).try_acquire_many_owned(kib(bytes) + OWN_KIB);
        held.ok().map(|held| Room(Mutex::new(held)))
    }

    /// What says how long it is finds half of the memory free.
    fn take_unsaid(&self, bytes: u64) -> Option<Room> {
        let after = self.free.available_permits().checked_sub((kib(bytes) + OWN_KIB) as usize)?;
        if after < (self.all_kib / 2) as usize { None } else { self.take(bytes) }
    }
}

// === impl Room ===

impl Room {
    /// How long a body may be that it holds.
    pub(super) fn bytes(&self) -> u64 {
        let held_kib = self.lock().num_permits().saturating_sub(OWN_KIB as usize);
        held_kib as u64 * 1024
    }

    /// Gives back what a body of so many bytes does not take.
    pub(super) fn holds_only(&self, bytes: u64) {
        let mut held = self.lock();
        let spare = held.num_permits().saturating_sub((kib(bytes) + OWN_KIB) as usize);
        drop(held.split(spare));
    }

    fn add(&self, more: Self) {
        let more = more.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.lock().merge(more);
    }

    fn lock(&self) -> MutexGuard<'_, OwnedSemaphorePermit> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn kib(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX >> 1)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, header};

    use super::*;

    const MIB: u64 = 1 << 20;

    fn stated(bytes: u64) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_LENGTH, HeaderValue::from(bytes))])
    }

    #[test]
    fn what_states_no_length_takes_room_as_it_comes_and_never_more_than_half() {
        let memory = Memory::new(256 * MIB, 16 * MIB);
        let unsaid: Vec<_> = std::iter::from_fn(|| memory.room_for(&HeaderMap::new())).collect();
        assert!((110..=128).contains(&unsaid.len()), "{} answers", unsaid.len());
        assert!(!memory.grow(&unsaid[0], 2 * MIB), "others take it");
        // Those that say it find their half.
        let said: Vec<_> = std::iter::from_fn(|| memory.room_for(&stated(16 * MIB))).collect();
        assert!(said.len() >= 7 && memory.room_for(&stated(16 * MIB + 1)).is_none(), "{} answers", said.len());
        drop((unsaid, said));
        let one = memory.room_for(&HeaderMap::new()).unwrap();
        assert!(memory.grow(&one, 5 * MIB) && one.bytes() >= 5 * MIB);
        assert!(!memory.grow(&one, 16 * MIB + 1));
        one.holds_only(10);
        assert_eq!(one.bytes(), 1024);
        drop(one);
        assert_eq!(memory.free.available_permits(), 256 * 1024, "all of it came back");
    }
}
