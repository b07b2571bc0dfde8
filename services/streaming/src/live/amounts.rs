//! How much media of a track lies behind each of its blocks: what a channel keeps is counted by that. Pure.
//!
//! No clock is asked, neither this machine's nor those that gave media their times: one that is set years ahead makes nothing older. So
//! a pause counts for nothing, and what is kept is as much as was asked for. What says to be longer than any segment can be has a wrong
//! time in it, and counts as the longest.

use std::collections::VecDeque;

use super::documents::{BLOCK_SEGMENTS, SegmentDocument};

/// The longest that one number counts, milliseconds: twice what ingest takes.
const NUMBER_MAX_MS: u64 = 60_000;

/// What is stored of a track, by block: 16 octets for each that is kept.
#[derive(Debug, Default)]
pub(super) struct Amounts {
    /// How much there is up to the end of each block, milliseconds, oldest first.
    ends: VecDeque<(u64, u64)>,
    total_ms: u64,
}

// === impl Amounts ===

impl Amounts {
    /// These are stored, behind all before them.
    pub(super) fn add(&mut self, segments: &[SegmentDocument], timescale: u32) {
        for segment in segments {
            let ms = u128::from(segment.duration_ticks) * 1000 / u128::from(timescale.max(1));
            let most_ms = NUMBER_MAX_MS.saturating_mul(segment.numbers.max(1));
            self.total_ms = self.total_ms.saturating_add(u64::try_from(ms).unwrap_or(u64::MAX).min(most_ms));
            let block = segment.number / BLOCK_SEGMENTS;
            match self.ends.back_mut() {
                Some((last, end_ms)) if *last == block => *end_ms = self.total_ms,
                Some(_) | None => self.ends.push_back((block, self.total_ms)),
            }
        }
    }

    /// A block is not kept, nor is what was before it.
    pub(super) fn forget(&mut self, block: u64) {
        while self.ends.front().is_some_and(|(first, _)| *first <= block) {
            self.ends.pop_front();
        }
    }

    /// How much there has been.
    pub(super) fn total_ms(&self) -> u64 {
        self.total_ms
    }

    /// How much there was when `block` ended; `None` for one that was never added.
    pub(super) fn end_ms(&self, block: u64) -> Option<u64> {
        let at = self.ends.binary_search_by_key(&block, |(block, _)| *block).ok()?;
        self.ends.get(at).map(|(_, end_ms)| *end_ms)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::live::window::{Segment, State};

    fn stored(number: u64, time_ticks: u64, duration_ticks: u64) -> SegmentDocument {
        SegmentDocument::of(number, &Segment::new(time_ticks, duration_ticks, 0, State::Whole))
    }

    #[test]
    fn a_clock_that_was_years_ahead_makes_nothing_older() {
        let mut amounts = Amounts::default();
        let year_ticks = 366 * 86_400 * 1_000;
        for number in 0..64 {
            amounts.add(&[stored(number, number * 2_000, 2_000)], 1_000);
        }
        // The clock is set, also while a segment is made.
        amounts.add(&[stored(64, 64 * 2_000, year_ticks), stored(65, year_ticks, 2_000)], 1_000);
        assert_eq!((amounts.end_ms(0), amounts.total_ms()), (Some(128_000), 128_000 + 60_000 + 2_000));
    }

    proptest! {
        #[test]
        fn what_lies_behind_a_block_is_the_sum_of_what_came_later(
            lengths_ms in prop::collection::vec(0_u64..5_000, 1..400),
            pieces in 1_usize..9,
            first in 0_u64..1_000,
        ) {
            let all: Vec<_> = lengths_ms.iter().zip(first..).map(|(ms, number)| stored(number, 0, ms * 90)).collect();
            let mut amounts = Amounts::default();
            all.chunks(pieces).for_each(|piece| amounts.add(piece, 90_000));
            let last = all.last().unwrap().number / BLOCK_SEGMENTS;
            for block in first / BLOCK_SEGMENTS..=last {
                let later = all.iter().filter(|one| one.number / BLOCK_SEGMENTS > block);
                let later_ms: u64 = later.map(|one| one.duration_ticks / 90).sum();
                prop_assert_eq!(amounts.total_ms() - amounts.end_ms(block).unwrap(), later_ms);
            }
            if last > 0 {
                amounts.forget(last - 1);
            }
            prop_assert!(amounts.end_ms(last).is_some());
        }
    }
}
