//! Who is told when a job changes: those who watch it, the worker that holds it, and workers that wait for one.
//!
//! Only the fact is passed on; everybody reads the job itself from the store. So nothing here can be stale, a message
//! that is lost costs a moment, and the number of watchers is the only thing that must be bounded.

use std::sync::Arc;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast};
use tokio_util::sync::CancellationToken;

/// Changes that a watcher may be behind before it is told that it missed some.
const BEHIND_MAX: usize = 256;

/// A job has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Which one.
    pub seq: i64,
    /// Whether somebody wants it cancelled.
    pub cancel_requested: bool,
}

/// The changes of all jobs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Changes {
    sender: broadcast::Sender<Change>,
    places: Arc<Semaphore>,
    work: Arc<Notify>,
    closed: CancellationToken,
}

/// Somebody who watches one job. Holds one of the places for watchers until dropped.
#[derive(Debug)]
pub struct Watcher {
    seq: i64,
    receiver: broadcast::Receiver<Change>,
    closed: CancellationToken,
    _place: Option<OwnedSemaphorePermit>,
}

/// What a watcher learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// The job has, or may have, changed.
    Changed {
        /// Whether it is known that somebody wants it cancelled.
        cancel_requested: bool,
    },
    /// There will be no more news: the service stops.
    Closed,
}

// === impl Changes ===

impl Changes {
    /// Changes with places for `watchers_max` callers.
    #[must_use]
    pub fn new(watchers_max: usize) -> Self {
        Self {
            sender: broadcast::Sender::new(BEHIND_MAX),
            places: Arc::new(Semaphore::new(watchers_max)),
            work: Arc::new(Notify::new()),
            closed: CancellationToken::new(),
        }
    }

    /// Tells everybody.
    pub fn tell(&self, change: Change) {
        // Nobody listens: that is no failure.
        let _ = self.sender.send(change);
    }

    /// Says that there may be something for a worker.
    pub fn tell_work(&self) {
        // One is enough: a worker that takes something looks for more.
        self.work.notify_waiters();
    }

    /// Waits until there may be something for a worker. Enable it before looking, so that nothing is missed between.
    pub fn work(&self) -> tokio::sync::futures::Notified<'_> {
        self.work.notified()
    }

    /// Watches a job for a caller; `None` when all places are taken.
    #[must_use]
    pub fn watch(&self, seq: i64) -> Option<Watcher> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(Watcher { _place: Some(place), ..self.follow(seq) })
    }

    /// Watches a job for its worker, who takes no caller's place.
    #[must_use]
    pub fn follow(&self, seq: i64) -> Watcher {
        Watcher { seq, receiver: self.sender.subscribe(), closed: self.closed.clone(), _place: None }
    }

    /// Ends all watching: an open stream would hold up the stop of the service.
    pub fn close(&self) {
        self.closed.cancel();
    }
}

// === impl Watcher ===

impl Watcher {
    /// Waits for news of the job.
    pub async fn news(&mut self) -> News {
        loop {
            let received = tokio::select! {
                () = self.closed.cancelled() => return News::Closed,
                received = self.receiver.recv() => received,
            };
            match received {
                Ok(Change { seq, cancel_requested }) if seq == self.seq => return News::Changed { cancel_requested },
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => return News::Changed { cancel_requested: false },
                Err(broadcast::error::RecvError::Closed) => return News::Closed,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_watcher_hears_of_its_job_only_and_of_the_end() {
        let changes = Changes::new(1);
        let mut watcher = changes.watch(7).unwrap();
        assert!(changes.watch(7).is_none(), "one place");
        changes.tell(Change { seq: 8, cancel_requested: true });
        changes.tell(Change { seq: 7, cancel_requested: true });
        assert_eq!(watcher.news().await, News::Changed { cancel_requested: true });
        changes.close();
        assert_eq!(watcher.news().await, News::Closed);
        drop(watcher);
        assert!(changes.watch(7).is_some(), "the place is free again");
    }

    #[tokio::test]
    async fn who_is_behind_is_told_to_look() {
        let changes = Changes::new(0);
        let mut worker = changes.follow(7);
        for seq in 0..1000 {
            changes.tell(Change { seq: 1000 + seq, cancel_requested: false });
        }
        assert_eq!(worker.news().await, News::Changed { cancel_requested: false });
    }
}
