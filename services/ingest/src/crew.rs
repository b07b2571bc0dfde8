//! Tasks that each work on one upload, at most one for each, and what became of them.
//!
//! A task that panics loses itself and nobody else: it is told how often that happened to its upload in a row, and whoever runs the
//! tasks treats it as a try that failed. It decides nothing about uploads.

use std::collections::{HashMap, HashSet};
use std::future::Future;

use tokio::task::{Id, JoinSet};
use uuid::Uuid;

/// So many crashes in a row and an upload is given up: what breaks us each time would do so for ever.
pub const CRASHES_MAX: u32 = 3;

/// The tasks. They end with it.
#[derive(Debug, Default)]
pub struct Crew {
    tasks: JoinSet<()>,
    uploads: HashMap<Id, Uuid>,
    busy: HashSet<Uuid>,
    /// In a row, of those that crashed last time.
    crashes: HashMap<Uuid, u32>,
}

/// The end of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// What it worked on.
    pub id: Uuid,
    /// How often in a row the work on it has crashed; 0: it did not.
    pub crashes: u32,
}

// === impl Crew ===

impl Crew {
    /// How many work.
    #[must_use]
    pub fn len(&self) -> usize {
        self.busy.len()
    }

    /// Whether none works.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.busy.is_empty()
    }

    /// Whether one works on this upload.
    #[must_use]
    pub fn is_busy(&self, id: Uuid) -> bool {
        self.busy.contains(&id)
    }

    /// The uploads that somebody works on.
    #[must_use]
    pub fn busy(&self) -> Vec<Uuid> {
        self.busy.iter().copied().collect()
    }

    /// Has `work` done on an upload, unless somebody is at it.
    pub fn start(&mut self, id: Uuid, work: impl Future<Output = ()> + Send + 'static) {
        if self.busy.insert(id) {
            let task = self.tasks.spawn(work).id();
            self.uploads.insert(task, id);
        }
    }

    /// Waits for the next that ends; pending for ever while none works. May be given up while it waits.
    pub async fn next(&mut self) -> Ended {
        loop {
            let (task, crashed) = match self.tasks.join_next_with_id().await {
                Some(Ok((task, ()))) => (task, None),
                Some(Err(error)) => (error.id(), Some(error)),
                None => std::future::pending().await,
            };
            let Some(id) = self.uploads.remove(&task) else { continue };
            self.busy.remove(&id);
            let Some(error) = crashed else {
                self.crashes.remove(&id);
                return Ended { id, crashes: 0 };
            };
            let before = self.crashes.get(&id).copied().unwrap_or(0);
            let crashes = before + 1;
            tracing::error!(%error, %id, crashes, "the work on an upload crashed; this is a mistake in the program");
            if crashes < CRASHES_MAX {
                self.crashes.insert(id, crashes);
            } else {
                self.crashes.remove(&id);
            }
            return Ended { id, crashes };
        }
    }

    /// Waits for all.
    pub async fn finish(mut self) {
        while !self.is_empty() {
            self.next().await;
        }
    }

    /// Ends all at once.
    pub async fn shutdown(mut self) {
        self.tasks.shutdown().await;
    }
}

/// What an uploader reads of it.
#[must_use]
pub fn reason(crashes: u32) -> String {
    format!("the work on it crashed {crashes} times in a row; the log of ingest says where")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_crashes_is_counted_and_disturbs_nobody() {
        let mut crew = Crew::default();
        let (bad, good) = (Uuid::now_v7(), Uuid::now_v7());
        for round in 1..=CRASHES_MAX {
            crew.start(bad, async { panic!("as it is meant to") });
            crew.start(good, async {});
            // Nobody works twice on one.
            crew.start(good, async { panic!("never begun") });
            assert_eq!(crew.len(), 2);
            let ended = [crew.next().await, crew.next().await];
            assert!(ended.contains(&Ended { id: bad, crashes: round }), "{ended:?}");
            assert!(ended.contains(&Ended { id: good, crashes: 0 }), "{ended:?}");
        }
        // It was given up; and what went well in between is not held against anybody.
        assert!(crew.is_empty() && crew.crashes.is_empty());
        crew.start(bad, async { panic!("as it is meant to") });
        assert_eq!(crew.next().await, Ended { id: bad, crashes: 1 });
        crew.start(bad, async {});
        assert_eq!(crew.next().await, Ended { id: bad, crashes: 0 });
        assert!(crew.crashes.is_empty());
        crew.finish().await;
    }
}
