//! Where points go: into the store, and what it took to the stores outside that are to have the same. A write never waits for
//! those.

use std::sync::Arc;

use flame_telemetry::line::Line;

use crate::forward::{self, Forward};
use crate::store::{Store, StoreError, Written};

/// The store, and those outside. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Keeper {
    store: Store,
    forwards: Arc<[Forward]>,
}

// === impl Keeper ===

impl Keeper {
    /// All that is written to `store` is offered to `forwards`.
    pub fn new(store: Store, forwards: Vec<Forward>) -> Self {
        Self { store, forwards: forwards.into() }
    }

    /// The store itself.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Writes points; when it returns, those accepted are safe, and on their way.
    pub fn write(
        &self,
        tenant: &str,
        database: &str,
        points: &[(Line<'_>, i64)],
        now_ns: i64,
    ) -> Result<Written, StoreError> {
        let written = self.store.write(tenant, database, points, now_ns)?;
        if !self.forwards.is_empty() {
            let mut rejected = written.rejected.iter().map(|(at, _)| *at).peekable();
            // Both are in the order of the points.
            let accepted = points.iter().enumerate().filter(|(at, _)| rejected.next_if_eq(at).is_none());
            for batch in forward::batches(tenant, database, accepted.map(|(_, point)| point)) {
                self.forwards.iter().for_each(|forward| forward.offer(batch.clone()));
            }
        }
        Ok(written)
    }
}
