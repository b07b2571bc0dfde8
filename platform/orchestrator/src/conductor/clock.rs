//! The time that terms are measured in. Records keep it as milliseconds since 1970, for they outlive a run; within one it goes on
//! evenly, whatever is done to the machine's clock.

use std::time::{Instant, SystemTime};

/// Milliseconds since 1970 that never go back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    began: Instant,
    began_ms: u64,
}

// === impl Clock ===

impl Clock {
    /// Begins with what the machine's clock says.
    pub(super) fn start() -> Self {
        Self { began: Instant::now(), began_ms: wall_ms() }
    }

    pub(super) fn now_ms(self) -> u64 {
        self.began_ms.saturating_add(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

/// What the machine's clock says now: for people.
pub(super) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
