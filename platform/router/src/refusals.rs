//! Endpoints that were not believed, and why: for people who look for the reason. It decides nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flame_naming::peers::Key;
use flame_naming::{Label, Moment};

/// How long a reason is shown.
const SHOWN: Duration = Duration::from_secs(60);
/// Reasons kept at once.
const KEPT_MAX: usize = 1024;

/// Reasons by endpoint.
type Kept = BTreeMap<(Label, Key), (Moment, String)>;

/// What is remembered. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refusals(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    kept: Mutex<Kept>,
    /// How many: mostly none, and then nobody waits for the lock.
    count: AtomicUsize,
}

// === impl Refusals ===

impl Refusals {
    pub(crate) fn note(&self, site: &Label, key: Key, reason: String, now: Moment) {
        let mut kept = self.kept();
        kept.retain(|_, (at, _)| *at + SHOWN > now);
        if kept.len() < KEPT_MAX {
            kept.insert((site.clone(), key), (now, reason));
        }
        self.0.count.store(kept.len(), Ordering::Relaxed);
    }

    /// It was believed.
    pub(crate) fn forget(&self, site: &Label, key: impl FnOnce() -> Key) {
        if self.0.count.load(Ordering::Relaxed) > 0 {
            let mut kept = self.kept();
            kept.remove(&(site.clone(), key()));
            self.0.count.store(kept.len(), Ordering::Relaxed);
        }
    }

    pub(crate) fn of(&self, site: &Label, key: &Key, now: Moment) -> Option<String> {
        let kept = self.kept();
        let (at, reason) = kept.get(&(site.clone(), key.clone()))?;
        (*at + SHOWN > now).then(|| reason.clone())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
