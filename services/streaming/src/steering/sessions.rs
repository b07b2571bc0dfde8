//! Which sessions have told how they fare since the window began: each counts once, however often it speaks, so that no single one
//! decides where everybody plays. Whoever makes up sessions is believed: players are anonymous. Pure, and bounded.
//!
//! It holds numbers that nobody can make sessions of again, and none for longer than the window.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};

/// Sessions of a site that are told apart in a window; what comes beyond is not counted.
const SESSIONS_MAX: usize = 8_192;

/// The sessions of one site.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    /// When the window began.
    began_ms: u64,
    /// Whether it has complained, by the session.
    heard: HashMap<u64, bool>,
    digest: RandomState,
    reports: u64,
    complaints: u64,
}

// === impl Sessions ===

impl Sessions {
    /// `session` says how it fares.
    pub(super) fn hear(&mut self, now_ms: u64, window_ms: u64, session: impl Hash, complains: bool) {
        if now_ms.saturating_sub(self.began_ms) >= window_ms {
            self.began_ms = now_ms;
            self.heard.clear();
        }
        let session = self.digest.hash_one(session);
        if let Some(has_complained) = self.heard.get_mut(&session) {
            self.complaints += u64::from(complains && !*has_complained);
            *has_complained |= complains;
        } else if self.heard.len() < SESSIONS_MAX {
            self.heard.insert(session, complains);
            self.reports += 1;
            self.complaints += u64::from(complains);
        }
    }

    /// Sessions that were heard in all windows, and those that complained.
    pub(super) fn counted(&self) -> (u64, u64) {
        (self.reports, self.complaints)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW_MS: u64 = 1_000;

    #[test]
    fn a_session_counts_once_a_window_however_often_it_speaks() {
        let mut sessions = Sessions::default();
        for second in 0..3 {
            for at in 0..20 {
                sessions.hear(second * WINDOW_MS + at, WINDOW_MS, "one", at > 10);
                sessions.hear(second * WINDOW_MS + at, WINDOW_MS, "other", false);
            }
            assert_eq!(sessions.counted(), (2 * (second + 1), second + 1));
        }
    }

    #[test]
    fn so_many_are_told_apart_and_no_more() {
        let mut sessions = Sessions::default();
        (0..2 * SESSIONS_MAX).for_each(|session| sessions.hear(0, WINDOW_MS, session, true));
        assert_eq!((sessions.heard.len(), sessions.counted().0), (SESSIONS_MAX, SESSIONS_MAX as u64));
        sessions.hear(WINDOW_MS, WINDOW_MS, "one", true);
        assert_eq!(sessions.heard.len(), 1);
    }
}
