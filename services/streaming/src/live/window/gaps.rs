//! What never came of a live track. Each number that is left out is a gap of its own as long as viewers can see it; a run of gaps that is
//! longer than that is one document, so that a track that was away for days costs no more than one that was away for a moment.
//!
//! Nothing is renumbered, and no gap is forgotten before it is stored: the numbers of a recording have no hole.

use super::{GAPS_MAX, NotTaken, RUN_MAX, Segment, State, Window};

impl Window {
    /// Whether it could go on with `number`.
    pub(crate) fn can_skip_to(&self, number: u64) -> Result<(), NotTaken> {
        let missing = number.saturating_sub(self.next_number());
        if missing > RUN_MAX && !self.is_empty() {
            return Err(NotTaken::Jump { number, missing, most: RUN_MAX });
        }
        Ok(())
    }

    /// Leaves out all up to `number`, as far as it has not come; what of it viewers could still see is in gaps of their own.
    pub(crate) fn skip_to(&mut self, number: u64) -> Result<(), NotTaken> {
        self.can_skip_to(number)?;
        if self.is_empty() {
            // There is nothing that it could be missing from.
            self.first_number = self.first_number.max(number);
            return Ok(());
        }
        let missing = number.saturating_sub(self.next_number());
        if missing > GAPS_MAX {
            self.leave_behind(missing - GAPS_MAX);
        }
        self.skip(number, self.gap_ticks)
    }

    /// The same where it is known when the segment `number` begins, and only where something came before.
    pub(crate) fn skip_until(&mut self, number: u64, time_ticks: u64) -> Result<(), NotTaken> {
        let missing = number.saturating_sub(self.next_number());
        if missing == 0 || self.is_empty() {
            return Ok(());
        }
        if missing > GAPS_MAX {
            return self.skip_to(number);
        }
        // Before its end is known.
        self.close();
        let each_ticks = time_ticks.saturating_sub(self.end_ticks()) / missing;
        self.skip(number, if each_ticks > 0 { each_ticks } else { self.gap_ticks })
    }

    pub(super) fn skip(&mut self, number: u64, gap_ticks: u64) -> Result<(), NotTaken> {
        let missing = number.saturating_sub(self.next_number());
        if missing > GAPS_MAX {
            return Err(NotTaken::Jump { number, missing, most: GAPS_MAX });
        }
        if missing > 0 {
            self.close();
        }
        for _ in 0..missing {
            let time_ticks = self.end_ticks();
            self.push(Segment::new(time_ticks, gap_ticks, self.init, State::Gap));
        }
        Ok(())
    }

    /// How long a gap is was a guess; what comes behind it says when it ended.
    pub(super) fn fit_gap(&mut self, time_ticks: u64) {
        if let Some(last) = self.segments.back_mut()
            && last.state == State::Gap
            && time_ticks > last.time_ticks
            && !self.is_broken
        {
            last.duration_ticks = last.duration_ticks.min(time_ticks - last.time_ticks);
        }
    }

    /// So many numbers are a run: what came before is out of sight, though it may still have to be stored.
    fn leave_behind(&mut self, missing: u64) {
        self.close();
        let number = self.next_number();
        let mut run = Segment::new(self.end_ticks(), self.gap_ticks.saturating_mul(missing), self.init, State::Gap);
        (run.numbers, run.wall_offset_ms) = (missing, self.offset_of(State::Gap));
        while let Some(first) = self.segments.pop_front() {
            self.discontinuity_sequence += u64::from(first.is_discontinuity);
            self.keyframes_before += first.keyframes.len() as u64;
            if !first.is_stored {
                self.leaving.push_back((self.first_number, first));
            }
            self.first_number += 1;
        }
        self.leaving.push_back((number, run));
        self.first_number = number + missing;
    }

    /// When the segment `number` begins.
    pub(crate) fn begins_at(&self, number: u64) -> Option<u64> {
        self.segment(number).map(|segment| segment.time_ticks)
    }

    /// When the last media that came ends, milliseconds since 1970.
    pub(crate) fn came_until_ms(&self) -> Option<u64> {
        let last = self.segments.iter().rev().find(|segment| segment.state != State::Gap)?;
        let end_ticks = last.time_ticks.saturating_add(last.duration_ticks);
        u64::try_from(u128::from(end_ticks) * 1000 / u128::from(self.timescale.max(1))).ok()
    }

    /// Nothing has come, and nothing was left out.
    fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.leaving.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use flame_cmaf::arriving::Chunk;
    use proptest::prelude::*;

    use super::*;

    const LENGTH_TICKS: u64 = 2_000;

    fn chunk(time_ticks: u64) -> Chunk {
        Chunk {
            bytes: vec![0; 8].into(),
            time_ticks,
            duration_ticks: LENGTH_TICKS,
            samples: 1,
            is_independent: true,
            sync_samples: Vec::new(),
        }
    }

    /// Stores all that is to be stored: the numbers, with how many each stands for.
    fn stored(window: &mut Window) -> Vec<(u64, u64)> {
        let all: Vec<_> = window.unstored().map(|(number, segment)| (number, segment.numbers)).collect();
        all.iter().for_each(|(number, _)| window.stored(*number));
        all
    }

    #[test]
    fn a_gap_leaves_only_once_it_is_stored() {
        let mut window = Window::new(1_000, 500, LENGTH_TICKS, 0);
        window.begin(0, 500);
        window.chunk(0, 0, chunk(0)).unwrap();
        window.chunk(100, 0, chunk(100 * LENGTH_TICKS)).unwrap();
        window.stored(0);
        assert_eq!(window.trim(10 * LENGTH_TICKS), 1, "the gaps behind it wait");
        let numbers: Vec<_> = stored(&mut window).into_iter().map(|(number, _)| number).collect();
        assert_eq!(numbers, (1..100).collect::<Vec<_>>());
        assert_eq!(window.trim(10 * LENGTH_TICKS), 90);
    }

    #[test]
    fn a_gap_ends_where_the_next_segment_begins() {
        let mut window = Window::new(1_000, 500, LENGTH_TICKS, 0);
        window.chunk(0, 0, chunk(0)).unwrap();
        window.skip_until(2, 2 * LENGTH_TICKS).unwrap();
        window.chunk(2, 0, chunk(2 * LENGTH_TICKS - 20)).unwrap();
        let gap = window.segment(1).unwrap();
        assert_eq!((gap.time_ticks, gap.duration_ticks), (LENGTH_TICKS, LENGTH_TICKS - 20));
    }

    proptest! {
        #[test]
        fn every_number_is_stored_once_and_in_order_however_far_it_is_behind(
            steps in prop::collection::vec((0_u64..5_000, any::<bool>()), 1..20),
        ) {
            let mut window = Window::new(1_000, 500, LENGTH_TICKS, 7);
            let mut all = Vec::new();
            for (ahead, stores) in steps {
                let number = window.next_number() + ahead;
                window.skip_to(number).unwrap();
                window.begin(0, 500);
                window.chunk(number, 0, chunk(number * LENGTH_TICKS)).unwrap();
                window.end(number);
                prop_assert_eq!(window.next_number(), number + 1);
                prop_assert_eq!(window.segment(number).map(|segment| segment.state), Some(State::Whole));
                if stores {
                    all.extend(stored(&mut window));
                    window.trim(10 * LENGTH_TICKS);
                    prop_assert!(window.segments.len() <= 12 && window.leaving.is_empty());
                }
            }
            all.extend(stored(&mut window));
            let first = all[0].0;
            let end = all.iter().try_fold(first, |next, (number, numbers)| (*number == next).then_some(next + numbers));
            prop_assert_eq!(end, Some(window.next_number()), "{:?}", all);
        }
    }
}
