//! When what is fetched is sent on: as fast as it is played, whatever the size of the pieces that it was fetched in.
//!
//! Values in, values out: who owns it says what time it is. The first piece is due when it comes, every other one as much later as its
//! media is. Where a source goes on with other times (another *epoch*), the new ones begin where the old ones end, and what still comes of
//! the old ones is dropped: the two never mix. A source that fell behind is not hurried after: from then on everything is later, so
//! that players get an even stream again.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// What is due within this time is taken together.
const TOGETHER: Duration = Duration::from_millis(20);
/// Media that should be there ahead of its time.
const AHEAD_US: i64 = 4_000_000;
/// Later than this, a source has fallen behind.
const BEHIND: Duration = Duration::from_millis(500);

/// A piece of a track.
#[derive(Debug, Clone)]
pub struct Unit<T> {
    /// When it is decoded, microseconds of the source's clock.
    pub at_us: i64,
    /// How much memory it takes.
    pub bytes: usize,
    /// What it is.
    pub piece: T,
}

/// See the module.
#[derive(Debug)]
pub struct Pace<T> {
    lanes: BTreeMap<String, VecDeque<(u32, Unit<T>)>>,
    lanes_min: usize,
    held_bytes: usize,
    held_max_bytes: usize,
    epoch: u32,
    /// An instant that is known in both clocks.
    anchor: Option<(Instant, i64)>,
    /// Where what was given out, or is held, of this epoch ends at least.
    end: Option<Instant>,
}

/// What is to be done.
#[derive(Debug)]
pub struct Due<T> {
    /// What comes belongs to another timeline than what came before.
    pub is_cut: bool,
    /// By track.
    pub pieces: BTreeMap<String, Vec<T>>,
}

// === impl Pace ===

impl<T> Pace<T> {
    /// Nothing has come. There will be at least so many tracks.
    #[must_use]
    pub fn new(lanes_min: usize, held_max_bytes: usize) -> Self {
        Self { lanes: BTreeMap::new(), lanes_min, held_bytes: 0, held_max_bytes, epoch: 0, anchor: None, end: None }
    }

    /// These came of a track, in the order of their decoding.
    pub fn push(&mut self, name: &str, epoch: u32, units: impl IntoIterator<Item = Unit<T>>) {
        if epoch < self.epoch {
            return;
        }
        let lane = self.lanes.entry(name.to_owned()).or_default();
        for unit in units {
            self.held_bytes += unit.bytes;
            lane.push_back((epoch, unit));
        }
    }

    /// Whether more should be fetched.
    #[must_use]
    pub fn is_hungry(&self) -> bool {
        let span = |lane: &VecDeque<(u32, Unit<T>)>| match (lane.front(), lane.back()) {
            (Some((first, from)), Some((last, to))) if first == last => to.at_us - from.at_us,
            // The end of one timeline and the beginning of another.
            (Some(_), Some(_)) => AHEAD_US,
            _ => 0,
        };
        let least_us = self.lanes.values().map(span).min().unwrap_or(0);
        self.held_bytes < self.held_max_bytes && (self.lanes.len() < self.lanes_min || least_us < AHEAD_US)
    }

    /// Whether all was given out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lanes.values().all(VecDeque::is_empty)
    }

    /// When [`Pace::take`] should be asked.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        let heads = || self.lanes.values().filter_map(VecDeque::front);
        let first = heads().map(|(epoch, _)| *epoch).min()?;
        let own = heads().filter(|(epoch, _)| *epoch == self.epoch).map(|(_, unit)| unit.at_us).min();
        match (self.anchor, own) {
            (Some((anchor, anchor_us)), Some(at_us)) if first == self.epoch => Some(later(anchor, at_us - anchor_us)),
            // Another epoch begins where this one ends.
            _ => Some(self.end.unwrap_or_else(Instant::now)),
        }
    }

    /// What is due now.
    pub fn take(&mut self, now: Instant) -> Due<T> {
        let mut due = Due { is_cut: false, pieces: BTreeMap::new() };
        let heads = || self.lanes.values().filter_map(VecDeque::front);
        let Some(first) = heads().map(|(epoch, _)| *epoch).min() else { return due };
        if first > self.epoch {
            if self.end.is_some_and(|end| now < end) {
                return due;
            }
            let begins = self.end.unwrap_or(now).max(now);
            due.is_cut = self.anchor.is_some();
            (self.epoch, self.anchor, self.end) = (first, None, Some(begins));
        }
        let heads = self.lanes.values().filter_map(VecDeque::front);
        let earliest = heads.filter(|(epoch, _)| *epoch == self.epoch).map(|(_, unit)| unit.at_us).min();
        let Some(earliest_us) = earliest else { return due };
        let (mut anchor, anchor_us) = self.anchor.unwrap_or((self.end.unwrap_or(now).max(now), earliest_us));
        let late = now.saturating_duration_since(later(anchor, earliest_us - anchor_us));
        if late > BEHIND {
            anchor += late;
        }
        self.anchor = Some((anchor, anchor_us));
        let until = now + TOGETHER;
        for (name, lane) in &mut self.lanes {
            while let Some((epoch, unit)) = lane.front() {
                let at = later(anchor, unit.at_us - anchor_us);
                if *epoch != self.epoch || at > until {
                    break;
                }
                self.end = self.end.max(Some(at + TOGETHER));
                let Some((_, unit)) = lane.pop_front() else { break };
                self.held_bytes -= unit.bytes;
                due.pieces.entry(name.clone()).or_default().push(unit.piece);
            }
        }
        due
    }
}

/// So much later; what is before the anchor is due with it.
fn later(anchor: Instant, us: i64) -> Instant {
    anchor + Duration::from_micros(u64::try_from(us).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unit(at_ms: i64) -> Unit<i64> {
        Unit { at_us: at_ms * 1000, bytes: 10, piece: at_ms }
    }

    fn pace(held_max_bytes: usize) -> Pace<i64> {
        Pace::new(2, held_max_bytes)
    }

    #[test]
    fn pieces_are_due_as_they_are_played() {
        let (mut pace, begin) = (pace(1000), Instant::now());
        pace.push("v", 0, [0, 40, 80, 120].map(|at| unit(5_000 + at)));
        pace.push("a", 0, [10, 30, 70].map(|at| unit(5_000 + at)));
        let at = |pace: &mut Pace<i64>, ms| pace.take(begin + Duration::from_millis(ms)).pieces;
        assert_eq!(at(&mut pace, 0), BTreeMap::from([("a".to_owned(), vec![5010]), ("v".to_owned(), vec![5000])]));
        assert_eq!(pace.next(), Some(begin + Duration::from_millis(30)));
        assert_eq!(at(&mut pace, 30), BTreeMap::from([("a".to_owned(), vec![5030]), ("v".to_owned(), vec![5040])]));
        assert!(at(&mut pace, 45).is_empty());
        assert_eq!(at(&mut pace, 200).len(), 2);
        assert!(pace.is_empty() && pace.next().is_none());
    }

    #[test]
    fn another_epoch_begins_where_the_one_before_ends_and_is_not_mixed_with_it() {
        let (mut pace, begin) = (pace(1000), Instant::now());
        pace.push("v", 0, [unit(0), unit(100)]);
        pace.push("v", 1, [unit(90_000), unit(90_040)]);
        pace.push("a", 0, [unit(0)]);
        assert_eq!(pace.take(begin).pieces.len(), 2);
        // It is not due before the old one has ended, however long one waits for its sound.
        let due = pace.take(begin + Duration::from_millis(100));
        assert_eq!((due.is_cut, due.pieces["v"].as_slice()), (false, &[100][..]));
        let due = pace.take(pace.next().unwrap());
        assert_eq!((due.is_cut, due.pieces["v"].as_slice()), (true, &[90_000][..]));
        pace.push("a", 0, [unit(120)]);
        pace.push("a", 1, [unit(90_000)]);
        let due = pace.take(pace.next().unwrap() + Duration::from_millis(60));
        assert_eq!((due.is_cut, due.pieces["a"].as_slice()), (false, &[90_000][..]));
    }

    #[test]
    fn who_fell_behind_is_not_hurried_after() {
        let (mut pace, begin) = (pace(1000), Instant::now());
        pace.push("v", 0, [unit(0)]);
        pace.take(begin);
        let behind = begin + Duration::from_secs(5);
        pace.push("v", 0, [unit(40), unit(80), unit(120)]);
        assert_eq!(pace.take(behind).pieces["v"], [40]);
        assert_eq!(pace.next(), Some(behind + Duration::from_millis(40)));
    }

    #[test]
    fn it_is_hungry_until_enough_of_every_track_is_there() {
        let mut pace = pace(1000);
        assert!(pace.is_hungry());
        pace.push("v", 0, [unit(0), unit(9_000)]);
        assert!(pace.is_hungry());
        pace.push("a", 0, [unit(0), unit(3_000)]);
        assert!(pace.is_hungry());
        pace.push("a", 0, [unit(4_000)]);
        assert!(!pace.is_hungry());
        let mut pace = self::pace(30);
        pace.push("v", 0, [unit(0), unit(1), unit(2)]);
        assert!(!pace.is_hungry());
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_is_early(times in proptest::collection::vec(0_i64..3_000, 1..60), step_ms in 5_u64..300) {
            let (mut pace, begin) = (pace(1 << 20), Instant::now());
            let mut sorted = times.clone();
            sorted.sort_unstable();
            pace.push("v", 0, sorted.iter().map(|at| unit(*at)));
            let (mut given, mut now_ms) = (Vec::new(), 0);
            while !pace.is_empty() {
                let due = pace.take(begin + Duration::from_millis(now_ms));
                for piece in due.pieces.into_values().flatten() {
                    prop_assert!(piece - sorted[0] <= i64::try_from(now_ms).unwrap() + 20);
                    given.push(piece);
                }
                now_ms += step_ms;
            }
            prop_assert_eq!(given, sorted);
        }
    }
}
