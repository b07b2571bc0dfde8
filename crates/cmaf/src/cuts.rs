//! Where the segments of a live programme begin, for all of its tracks alike.
//!
//! One track leads: the pictures, or the sound where there are none. It begins a segment at the first sync sample at or
//! after each multiple of the segment's length since its first sample. The others follow: a sample belongs to the segment
//! that the leader had begun last at the sample's time. A follower that runs ahead waits where the leader could still begin
//! a segment before it, and only there: within a segment's nominal length nothing is ever held back.
//!
//! It decides by times alone. It holds no samples, and remembers [`BEGUN_MAX`] segments.

use std::cmp::Ordering;
use std::collections::VecDeque;

/// How many segments back a follower may be.
pub const BEGUN_MAX: usize = 64;

/// A time on a track's timeline; tracks of one programme count from the same instant.
#[derive(Debug, Clone, Copy)]
pub struct MediaTime {
    /// Ticks.
    pub ticks: i64,
    /// Ticks per second, above 0.
    pub timescale: u32,
}

/// Where a follower's sample belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followed {
    /// To this segment.
    Number(u64),
    /// Before all segments that are remembered.
    TooEarly,
    /// That is not known before the leader goes on.
    Unknown,
}

/// The cuts of a programme. See the module.
#[derive(Debug)]
pub struct Cuts {
    segment_ms: u32,
    next_number: u64,
    /// The leader's first sample.
    origin: Option<MediaTime>,
    /// Segments by their first times, newest last.
    begun: VecDeque<Begun>,
    /// No segment will begin at or before this.
    passed: Option<MediaTime>,
}

#[derive(Debug, Clone, Copy)]
struct Begun {
    number: u64,
    at: MediaTime,
}

// === impl MediaTime ===

impl MediaTime {
    /// Milliseconds since `origin`, as a fraction: times 1000 of its ticks, over both timescales.
    fn since(self, origin: Self) -> (i128, i128) {
        let (own, other) = (i128::from(self.timescale), i128::from(origin.timescale));
        ((i128::from(self.ticks) * other - i128::from(origin.ticks) * own) * 1000, own * other)
    }
}

impl Ord for MediaTime {
    fn cmp(&self, other: &Self) -> Ordering {
        self.since(*other).0.cmp(&0)
    }
}

impl PartialOrd for MediaTime {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for MediaTime {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for MediaTime {}

// === impl Cuts ===

impl Cuts {
    /// Segments of `segment_ms` (above 0), the first with `first_number`.
    #[must_use]
    pub fn new(segment_ms: u32, first_number: u64) -> Self {
        Self {
            segment_ms: segment_ms.max(1),
            next_number: first_number,
            origin: None,
            begun: VecDeque::new(),
            passed: None,
        }
    }

    /// The segment that the leader's next sample, in decode order, belongs to. The first sample must be a sync sample.
    pub fn lead(&mut self, presented: MediaTime, decoded: MediaTime, is_sync: bool) -> u64 {
        let origin = *self.origin.get_or_insert(presented);
        self.passed = Some(decoded);
        let begins = match self.begun.back() {
            Some(current) => is_sync && self.interval(presented, origin) > self.interval(current.at, origin),
            None => true,
        };
        if begins {
            if self.begun.len() == BEGUN_MAX {
                self.begun.pop_front();
            }
            self.begun.push_back(Begun { number: self.next_number, at: presented });
            self.next_number += 1;
        }
        self.next_number - 1
    }

    /// The leader has ended: nothing is cut any more.
    pub fn close(&mut self) {
        self.passed = Some(MediaTime { ticks: i64::MAX, timescale: 1 });
    }

    /// The segment that a follower's sample belongs to.
    #[must_use]
    pub fn follow(&self, time: MediaTime) -> Followed {
        let (Some(origin), Some(newest), Some(passed)) = (self.origin, self.begun.back(), self.passed) else {
            return Followed::Unknown;
        };
        if time >= newest.at {
            let may_be_cut = self.interval(time, origin) > self.interval(newest.at, origin) && time > passed;
            return if may_be_cut { Followed::Unknown } else { Followed::Number(newest.number) };
        }
        let before = self.begun.iter().rev().find(|begun| begun.at <= time);
        before.map_or(Followed::TooEarly, |begun| Followed::Number(begun.number))
    }

    fn interval(&self, time: MediaTime, origin: MediaTime) -> i128 {
        let (numerator, denominator) = time.since(origin);
        numerator.div_euclid(denominator * i128::from(self.segment_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ticks: i64, timescale: u32) -> MediaTime {
        MediaTime { ticks, timescale }
    }

    fn lead(cuts: &mut Cuts, ticks: i64, is_sync: bool) -> u64 {
        cuts.lead(at(ticks, 1000), at(ticks, 1000), is_sync)
    }

    #[test]
    fn the_leader_cuts_at_the_first_sync_sample_of_an_interval() {
        let mut cuts = Cuts::new(2000, 7);
        let numbers =
            [(500, true), (1500, true), (2400, false), (2499, true), (2500, true), (4600, false), (5000, true)];
        assert_eq!(numbers.map(|(ticks, is_sync)| lead(&mut cuts, ticks, is_sync)), [7, 7, 7, 7, 8, 8, 9]);
    }

    #[test]
    fn a_long_gop_makes_a_long_segment_and_the_grid_stays() {
        let mut cuts = Cuts::new(2000, 0);
        let numbers = [(0, true), (5000, true), (6000, true), (7000, true), (8000, true)];
        assert_eq!(numbers.map(|(ticks, is_sync)| lead(&mut cuts, ticks, is_sync)), [0, 1, 2, 2, 3]);
    }

    #[test]
    fn a_follower_waits_only_where_a_cut_may_still_come() {
        let mut cuts = Cuts::new(2000, 3);
        assert_eq!(cuts.follow(at(0, 48_000)), Followed::Unknown);
        lead(&mut cuts, 0, true);
        assert_eq!(cuts.follow(at(-1, 48_000)), Followed::TooEarly);
        assert_eq!(cuts.follow(at(48_000 * 2 - 1, 48_000)), Followed::Number(3));
        assert_eq!(cuts.follow(at(48_000 * 2, 48_000)), Followed::Unknown);
        lead(&mut cuts, 2000, false);
        assert_eq!(cuts.follow(at(48_000 * 2, 48_000)), Followed::Number(3));
        assert_eq!(cuts.follow(at(48_000 * 2 + 1, 48_000)), Followed::Unknown);
        lead(&mut cuts, 2040, true);
        assert_eq!(cuts.follow(at(48_000 * 2 + 1, 48_000)), Followed::Number(3));
        assert_eq!(cuts.follow(at(48 * 2040, 48_000)), Followed::Number(4));
        assert_eq!(cuts.follow(at(48_000 * 9, 48_000)), Followed::Unknown);
        cuts.close();
        assert_eq!(cuts.follow(at(48_000 * 9, 48_000)), Followed::Number(4));
    }

    #[test]
    fn a_follower_far_behind_is_remembered_up_to_the_bound() {
        let mut cuts = Cuts::new(1000, 0);
        for second in 0..=i64::try_from(BEGUN_MAX).unwrap() {
            lead(&mut cuts, second * 1000, true);
        }
        assert_eq!(cuts.follow(at(0, 1)), Followed::TooEarly);
        assert_eq!(cuts.follow(at(1, 1)), Followed::Number(1));
    }
}
