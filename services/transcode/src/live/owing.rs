//! Since when a media process owes something: it has got something, and has given nothing back since. Pure.
//!
//! A source that rests is no fault of the process: what it has not given back may wait, inside its decoder, for what comes next. So of a rest
//! [`REST`] counts and no more; but each counts, or one that follows every fragment would hide a process that hangs. A process that
//! does not read what there is owes it whatever the source does.

use std::time::{Duration, Instant};

/// A source that brings nothing for so long rests: three of the longest parts.
const REST: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owing {
    came_at: Instant,
    /// Later by what of rests does not count.
    since: Option<Instant>,
    is_over: bool,
    rests: bool,
}

// === impl Owing ===

impl Owing {
    /// Nothing has come.
    pub(super) fn new(now: Instant) -> Self {
        Self { came_at: now, since: None, is_over: false, rests: false }
    }

    /// Something came.
    pub(super) fn came(&mut self, now: Instant) {
        let beyond = now.saturating_duration_since(self.came_at).saturating_sub(REST);
        self.since = Some(self.since.map_or(now, |since| since + beyond));
        (self.came_at, self.rests) = (now, false);
    }

    /// Nothing more comes: the rest is owed.
    pub(super) fn over(&mut self, now: Instant) {
        (self.since, self.is_over, self.rests) = (Some(now), true, false);
    }

    /// Something was given back.
    pub(super) fn made(&mut self) {
        self.since = None;
    }

    /// When it has to be looked again whether something is overdue; `None` until something more has come.
    pub(super) fn due(&self, stuck: Duration) -> Option<Instant> {
        Some(self.since.filter(|_| !self.rests)? + stuck)
    }

    /// Whether something has been owed for `stuck`. `is_read`: the process has read all that there is.
    pub(super) fn is_overdue(&mut self, now: Instant, is_read: bool, stuck: Duration) -> bool {
        self.rests = is_read && !self.is_over && now.saturating_duration_since(self.came_at) > REST;
        let until = if self.rests { self.came_at + REST } else { now };
        self.since.is_some_and(|since| until.saturating_duration_since(since) >= stuck)
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
        // It goes on: of the pause three seconds count.
        owing.came(at(60));
        assert_eq!(owing.due(STUCK), Some(at(67)));
        owing.made();
        // The same of one that has not even been read.
        owing.came(at(80));
        assert!(!owing.is_overdue(at(89), false, STUCK) && owing.is_overdue(at(90), false, STUCK));
        owing.made();
        assert!(!owing.is_overdue(at(95), false, STUCK));
        // Parts of a second, of which nothing comes back.
        (100..110).for_each(|second| owing.came(at(second)));
        assert!(!owing.is_overdue(at(109), true, STUCK) && owing.is_overdue(at(110), true, STUCK));
    }

    #[test]
    fn fragments_as_long_as_segments_hide_no_hang() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut owing = Owing::new(at(0));
        // Each is followed by a rest, but the process gives something back of each.
        for second in [0, 5, 10, 15, 20, 25] {
            owing.came(at(second));
            owing.made();
            assert!(!owing.is_overdue(at(second + 4), true, STUCK));
        }
        // And of none: each rest counts for three seconds.
        [30, 35, 40, 45].into_iter().for_each(|second| owing.came(at(second)));
        assert!(!owing.is_overdue(at(45), true, STUCK));
        assert!(owing.is_overdue(at(46), true, STUCK) && owing.is_overdue(at(60), true, STUCK));
    }

    #[test]
    fn the_rest_is_owed_at_the_end() {
        let began = Instant::now();
        let mut owing = Owing::new(began);
        owing.over(began);
        assert!(owing.is_overdue(began + STUCK, true, STUCK));
    }
}
