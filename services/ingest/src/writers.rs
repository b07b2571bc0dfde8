//! One writer an upload at a time.
//!
//! Who comes later is the one who counts: a client that lost its connection comes back before the server has noticed
//! that the old one is dead, and must not be locked out by it. So the one who holds the turn is asked to stop; it stores
//! what it has and gives the turn up, and only then the newcomer learns the offset. Two clients that both live and both
//! insist take turns, each told by a 409 where the upload stands.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The turns of all uploads. Cheap to clone; as large as the number of uploads in motion.
#[derive(Debug, Clone, Default)]
pub struct Writers {
    seats: Arc<Mutex<HashMap<Uuid, Arc<Seat>>>>,
}

/// The right to write to one upload, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    asked_to_stop: CancellationToken,
    // Fields are dropped in this order: the turn is free before the place is given back.
    _guard: OwnedMutexGuard<()>,
    _place: Place,
}

/// One who waits or writes.
#[derive(Debug)]
struct Place {
    writers: Writers,
    id: Uuid,
    seat: Arc<Seat>,
}

#[derive(Debug, Default)]
struct Seat {
    turn: Arc<tokio::sync::Mutex<()>>,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    /// Asks the present holder to stop.
    holder: CancellationToken,
    /// Those who wait or write.
    present: usize,
}

// === impl Writers ===

impl Writers {
    /// Whether somebody writes to an upload, or waits to.
    #[must_use]
    pub fn is_busy(&self, id: Uuid) -> bool {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&id)
    }

    /// Asks the holder of the turn to stop and waits for it, at most `patience`.
    pub async fn take(&self, id: Uuid, patience: Duration) -> Option<Turn> {
        let seat = Arc::clone(self.seats.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default());
        let place = Place::in_line(self.clone(), id, seat);
        let guard = tokio::time::timeout(patience, Arc::clone(&place.seat.turn).lock_owned()).await.ok()?;
        let mut queue = place.seat.queue();
        queue.holder = CancellationToken::new();
        // Those who wait came later, so they count more: the turn is over before it began.
        if queue.present > 1 {
            queue.holder.cancel();
        }
        let asked_to_stop = queue.holder.clone();
        drop(queue);
        Some(Turn { asked_to_stop, _guard: guard, _place: place })
    }
}

// === impl Seat ===

impl Seat {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Place ===

impl Place {
    fn in_line(writers: Writers, id: Uuid, seat: Arc<Seat>) -> Self {
        let mut queue = seat.queue();
        queue.holder.cancel();
        queue.present += 1;
        drop(queue);
        Self { writers, id, seat }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut seats = self.writers.seats.lock().unwrap_or_else(PoisonError::into_inner);
        self.seat.queue().present -= 1;
        // Seats are handed out under this lock: with two references, the map's and this one, nobody else is here.
        if Arc::strong_count(&self.seat) == 2 {
            seats.remove(&self.id);
        }
    }
}

// === impl Turn ===

impl Turn {
    /// Ends when somebody else wants the turn.
    pub async fn wanted_by_another(&self) {
        self.asked_to_stop.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_newcomer_asks_the_holder_to_stop() {
        let writers = Writers::default();
        let id = Uuid::now_v7();
        let first = writers.take(id, PATIENCE).await.unwrap();
        let newcomer = tokio::spawn({
            let writers = writers.clone();
            async move { writers.take(id, PATIENCE).await.is_some() }
        });
        first.wanted_by_another().await;
        assert!(!newcomer.is_finished());
        drop(first);
        assert!(newcomer.await.unwrap());
        assert!(writers.seats.lock().unwrap().is_empty(), "seats are given back");
    }

    #[tokio::test]
    async fn patience_ends() {
        let writers = Writers::default();
        let id = Uuid::now_v7();
        let first = writers.take(id, PATIENCE).await.unwrap();
        assert!(writers.take(id, Duration::from_millis(10)).await.is_none());
        assert!(writers.take(Uuid::now_v7(), PATIENCE).await.is_some(), "other uploads are not concerned");
        drop(first);
        assert!(writers.take(id, PATIENCE).await.is_some());
        assert!(writers.seats.lock().unwrap().is_empty(), "seats are given back");
    }

    #[tokio::test]
    async fn the_last_of_three_writes() {
        let writers = Writers::default();
        let id = Uuid::now_v7();
        let first = writers.take(id, PATIENCE).await.unwrap();
        let (mut second, mut third) = (Box::pin(writers.take(id, PATIENCE)), Box::pin(writers.take(id, PATIENCE)));
        // Both stand in line, the third behind the second.
        for waiting in [&mut second, &mut third] {
            assert!(tokio::time::timeout(Duration::ZERO, waiting).await.is_err());
        }
        drop(first);
        let second = second.await.unwrap();
        second.wanted_by_another().await;
        drop(second);
        let third = third.await.unwrap();
        assert!(tokio::time::timeout(Duration::ZERO, third.wanted_by_another()).await.is_err());
    }
}
