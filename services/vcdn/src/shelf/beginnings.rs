//! Beginnings of bodies that broke off: the next try goes on from there. A few, in the order in which they came; the oldest go first,
//! and no more of them than somebody else needs room for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::fill::Flow;

/// How many are kept.
const BEGINNINGS_MAX: usize = 64;

/// Those of one tenant, oldest first, each key once.
#[derive(Debug, Default)]
pub(crate) struct Beginnings(Mutex<VecDeque<Arc<Flow>>>);

// === impl Beginnings ===

impl Beginnings {
    pub(crate) fn get(&self, key: &str) -> Option<Arc<Flow>> {
        self.lock().iter().find(|flow| &*flow.key == key).cloned()
    }

    /// Keeps one in place of what there was under its key.
    pub(crate) fn put(&self, flow: Flow) {
        let mut kept = self.lock();
        kept.retain(|known| known.key != flow.key);
        if kept.len() >= BEGINNINGS_MAX {
            kept.pop_front();
        }
        kept.push_back(Arc::new(flow));
    }

    pub(crate) fn remove(&self, key: &str) {
        self.lock().retain(|flow| &*flow.key != key);
    }

    /// Lets go of all that `is_gone`.
    pub(crate) fn forget(&self, is_gone: impl Fn(&Flow) -> bool) {
        self.lock().retain(|flow| !is_gone(flow));
    }

    /// Lets go of the oldest; false where there is none.
    pub(crate) fn drop_oldest(&self) -> bool {
        self.lock().pop_front().is_some()
    }

    /// What they take.
    pub(crate) fn bytes(&self) -> u64 {
        self.lock().iter().map(|flow| flow.written).sum()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Flow>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
