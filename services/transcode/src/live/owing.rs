//! Since when a media process owes something: it has got something, and has given nothing back since. Pure.
//!
//! A source that rests is no fault of the process: what it has not given back may wait, inside its decoder, for what comes next. One that
//! does not read what there is owes it whatever the source does.

use std::time::{Duration, Instant};

/// A source that brings nothing for so long rests: three of the longest parts.
const REST: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owing {
    came_at: Instant,
    since: Option<Instant>,
    is_over: bool,
}

// === impl Owing ===

impl Owing {
    /// Nothing has come.
    pub(super) fn new(now: Instant) -> Self {
        Self { came_at: now, since: None, is_over: false }
    }

    /// Something came.
    pub(super) fn came(&mut self, now: Instant) {
        if self.since.is_none() || now.saturating_duration_since(self.came_at) > REST {
            self.since = Some(now);
        }
        self.came_at = now;
    }

    /// Nothing more comes: the rest is owed.
    pub(super) fn over(&mut self, now: Instant) {
        (self.since, self.is_over) = (Some(now), true);
    }

    /// Something was given back.
    pub(super) fn made(&mut self) {
        self.since = None;
    }

    /// When it has to be looked again whether something is overdue.
    pub(super) fn due(&self, stuck: Duration) -> Option<Instant> {
        Some(self.since? + stuck)
    }

    /// Whether something has been owed for `stuck`. `is_read`: the process has read all that there is. Who rests owes nothing from now on.
    pub(super) fn is_overdue(&mut self, now: Instant, is_read: bool, stuck: Duration) -> bool {
        if is_read && !self.is_over && now.saturating_duration_since(self.came_at) > REST {
            self.since = None;
        }
        self.since.is_some_and(|since| now.saturating_duration_since(since) >= stuck)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STUCK: Duration = Duration::from_secs(10);

    #[test]
    fn a_source_that_pauses_makes_nobody_hang_and_who_gives_nothing_back_does() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut owing = Owing::new(at(0));
        assert_eq!(owing.due(STUCK), None);
        owing.came(at(1));
        assert_eq!(owing.due(STUCK), Some(at(11)));
        // An encoder that pauses: its last pictures are in the decoder.
        assert!(!owing.is_overdue(at(11), true, STUCK) && owing.due(STUCK).is_none());
        // The same of one that has not even been read.
        owing.came(at(20));
        assert!(!owing.is_overdue(at(29), false, STUCK) && owing.is_overdue(at(30), false, STUCK));
        owing.made();
        assert!(!owing.is_overdue(at(90), false, STUCK));
        // Parts of a second, of which nothing comes back.
        (100..110).for_each(|second| owing.came(at(second)));
        assert!(!owing.is_overdue(at(109), true, STUCK) && owing.is_overdue(at(110), true, STUCK));
    }

    #[test]
    fn the_rest_is_owed_at_the_end() {
        let began = Instant::now();
        let mut owing = Owing::new(began);
        owing.over(began);
        assert!(owing.is_overdue(began + STUCK, true, STUCK));
    }
}
