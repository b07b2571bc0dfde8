//! One body to many clients, each at its own pace. Its blocks are held until it is over, so that who comes later begins at the first;
//! where it grows beyond the room that it has, nobody is let in any more, and only those blocks are held that somebody has still to
//! read. Then it comes no faster than the slowest reads: one that stands still is left behind, so that the others go on.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::Shared;

/// A body that is coming. Its length is bounded by who lets it in.
#[derive(Debug)]
pub(crate) struct Fan {
    state: watch::Sender<State>,
    /// Somebody has taken a block, or gone.
    moved: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    blocks: VecDeque<Bytes>,
    /// Number of the first block that is held.
    first: usize,
    held_bytes: u64,
    /// Number of the block that each reader takes next.
    readers: Vec<Weak<AtomicUsize>>,
    /// Whether it is over, and whether that is its end.
    over: Option<bool>,
}

/// One who reads.
#[derive(Debug)]
pub(crate) struct Reading {
    states: watch::Receiver<State>,
    next: Arc<AtomicUsize>,
    moved: Arc<Notify>,
}

/// The body ended before its end.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off on its way from the other site")]
pub(crate) struct BrokeOff;

// === impl Fan ===

impl Default for Fan {
    fn default() -> Self {
        Self { state: watch::Sender::new(State::default()), moved: Arc::default() }
    }
}

impl Fan {
    /// Begins to read at the first block; `None` where that is not held any more.
    pub(crate) fn enter(&self) -> Option<Reading> {
        let next = Arc::new(AtomicUsize::new(0));
        let mut is_in = false;
        self.state.send_if_modified(|state| {
            is_in = state.first == 0;
            if is_in {
                state.readers.retain(|reader| reader.strong_count() > 0);
                state.readers.push(Arc::downgrade(&next));
            }
            false
        });
        is_in.then(|| Reading { states: self.state.subscribe(), next, moved: Arc::clone(&self.moved) })
    }

    pub(crate) fn put(&self, block: Bytes) {
        self.state.send_modify(|state| {
            state.held_bytes += block.len() as u64;
            state.blocks.push_back(block);
        });
    }

    pub(crate) fn held_bytes(&self) -> u64 {
        self.state.borrow().held_bytes
    }

    /// Lets go of what all have read, until `room_bytes` would hold another block of `bytes`, or nothing is held; the slowest are left
    /// behind where that takes longer than `patience` and others are ahead of them.
    pub(crate) async fn make_room(&self, bytes: u64, room_bytes: u64, patience: Duration) {
        let until = Instant::now() + patience;
        loop {
            let mut slowest = 0;
            self.state.send_if_modified(|state| {
                slowest = state.let_go();
                false
            });
            let held_bytes = self.held_bytes();
            if held_bytes == 0 || held_bytes + bytes <= room_bytes {
                return;
            }
            // Where nobody is ahead there is nobody to hurry for.
            let is_hurried = self.state.borrow().is_anybody_ahead(slowest);
            let stands = |state: &State| state.slowest() == slowest && state.is_anybody_ahead(slowest) == is_hurried;
            let moves = async {
                while stands(&self.state.borrow()) {
                    self.moved.notified().await;
                }
            };
            if !is_hurried {
                moves.await;
            } else if tokio::time::timeout_at(until, moves).await.is_err() {
                tracing::info!("a client that reads too slowly is left behind by those who share its answer");
                self.state.send_modify(|state| state.leave_behind(slowest));
            }
        }
    }

    /// Whether nobody reads.
    pub(crate) fn is_left(&self) -> bool {
        self.state.receiver_count() == 0
    }

    /// Waits until nobody reads.
    pub(crate) async fn left(&self) {
        self.state.closed().await;
    }

    /// Ends it; what was ended stays so.
    pub(crate) fn end(&self, is_whole: bool) {
        self.state.send_modify(|state| {
            state.over.get_or_insert(is_whole);
        });
    }
}

// === impl State ===

impl State {
    /// The block that the slowest takes next; the first where nobody reads, because somebody may be about to.
    fn slowest(&self) -> usize {
        let at = self.readers.iter().filter_map(Weak::upgrade).map(|next| next.load(Ordering::Acquire));
        at.min().unwrap_or(self.first)
    }

    fn let_go(&mut self) -> usize {
        let slowest = self.slowest();
        while self.first < slowest
            && let Some(block) = self.blocks.pop_front()
        {
            (self.first, self.held_bytes) = (self.first + 1, self.held_bytes - block.len() as u64);
        }
        slowest
    }

    fn is_anybody_ahead(&self, slowest: usize) -> bool {
        self.readers.iter().any(|reader| is_ahead(reader, slowest))
    }

    /// Waits no more for those who are at `slowest`, where there are others.
    fn leave_behind(&mut self, slowest: usize) {
        if self.is_anybody_ahead(slowest) {
            self.readers.retain(|reader| is_ahead(reader, slowest));
        }
    }
}

fn is_ahead(reader: &Weak<AtomicUsize>, of: usize) -> bool {
    reader.upgrade().is_some_and(|next| next.load(Ordering::Acquire) > of)
}

// === impl Reading ===

impl Reading {
    /// The body as this one gets it; `shared` is what it is of.
    pub(crate) fn of(self, shared: Arc<Shared>) -> impl Stream<Item = Result<Bytes, BrokeOff>> + Send {
        futures_util::stream::unfold(Some((self, shared)), async |at| {
            let (mut reading, shared) = at?;
            let found = reading.block().await?;
            let then = found.is_ok().then_some((reading, shared));
            Some((found, then))
        })
    }

    async fn block(&mut self) -> Option<Result<Bytes, BrokeOff>> {
        let next = self.next.load(Ordering::Acquire);
        let found = {
            let is_there = |state: &State| state.first + state.blocks.len() > next || state.over.is_some();
            let state = self.states.wait_for(is_there).await.expect("what is shared holds its sender");
            let block = next.checked_sub(state.first).map(|at| state.blocks.get(at).cloned());
            match (block, state.over) {
                (Some(Some(block)), _) => Ok(block),
                (Some(None), Some(true)) => return None,
                // It was left behind, or the body broke off.
                (Some(None), Some(false) | None) | (None, _) => Err(BrokeOff),
            }
        };
        if found.is_ok() {
            self.next.store(next + 1, Ordering::Release);
            self.moved.notify_one();
        }
        Some(found)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        // Its place goes with it: before those who wait for that look again.
        self.next = Arc::default();
        self.moved.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(200);

    fn block(number: u8) -> Bytes {
        Bytes::from(vec![number; 10])
    }

    async fn takes(reading: &mut Reading) -> Option<Result<u8, ()>> {
        Some(reading.block().await?.map(|block| block[0]).map_err(|_| ()))
    }

    #[tokio::test]
    async fn what_all_have_read_makes_room_and_nobody_comes_in_any_more() {
        let fan = Fan::default();
        let mut readers = [fan.enter().unwrap(), fan.enter().unwrap()];
        (0..4).for_each(|number| fan.put(block(number)));
        let mut late = fan.enter().unwrap();
        for reader in readers.iter_mut().chain([&mut late]) {
            assert_eq!(takes(reader).await, Some(Ok(0)));
        }
        fan.make_room(10, 40, PATIENCE).await;
        assert_eq!((fan.held_bytes(), fan.enter().is_none()), (30, true));
        // It waits for the slowest, and no longer than it takes.
        assert_eq!(takes(&mut readers[0]).await, Some(Ok(1)));
        let makes_room = tokio::time::timeout(PATIENCE / 4, fan.make_room(20, 40, PATIENCE));
        assert!(makes_room.await.is_err());
        assert_eq!(takes(&mut late).await, Some(Ok(1)));
        let (took, ()) = tokio::join!(takes(&mut readers[1]), fan.make_room(20, 40, PATIENCE));
        assert_eq!((took, fan.held_bytes()), (Some(Ok(1)), 20));
    }

    #[tokio::test]
    async fn who_stands_still_is_left_behind_and_who_goes_is_not_waited_for() {
        let fan = Fan::default();
        let [mut one, mut still, gone] = [(); 3].map(|()| fan.enter().unwrap());
        (0..4).for_each(|number| fan.put(block(number)));
        drop(gone);
        for number in 0..4 {
            assert_eq!(takes(&mut one).await, Some(Ok(number)));
        }
        fan.make_room(10, 40, PATIENCE).await;
        fan.put(block(4));
        fan.end(true);
        assert_eq!((takes(&mut one).await, takes(&mut one).await), (Some(Ok(4)), None));
        assert_eq!(takes(&mut still).await, Some(Err(())));
        drop((one, still));
        assert!(fan.is_left());
        // Where nobody is ahead it is waited for whoever reads, however long that takes.
        let fan = Fan::default();
        let mut alone = fan.enter().unwrap();
        fan.put(block(0));
        assert!(tokio::time::timeout(2 * PATIENCE, fan.make_room(10, 10, PATIENCE)).await.is_err());
        let (took, ()) = tokio::join!(takes(&mut alone), fan.make_room(10, 10, PATIENCE));
        assert_eq!((took, fan.held_bytes()), (Some(Ok(0)), 0));
    }
}
