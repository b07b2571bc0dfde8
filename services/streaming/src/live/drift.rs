//! How the clock of an encoder runs beside this machine's. Media time is tied to the wall's when a publication begins, and is the encoder's from
//! then on; with 200 ppm it is 0.7 s off after an hour. So it is measured how much later than its media time what comes arrives, and what that
//! has grown by is added where the time of the wall is said: `EXT-X-PROGRAM-DATE-TIME`, and the clock that players of DASH are given.
//!
//! Pure: the caller says what time it is, by a clock that nobody sets. Media times themselves, names and durations never change because of it.
//! Of each window of time only what came with the least delay counts: what was held up on its way says nothing of a clock. What changes
//! at once is no clock either, but a way that became longer, or an encoder that paused: it is taken as it is from then on. But where it ends
//! what grew slowly, because the delay is what it was at first, or the way would be shorter than it has ever been, then that was no clock:
//! something held media up, more and more of it, and does not any more. What was added for it is taken back.

use std::collections::VecDeque;

/// A clock that is further off than this is none: more is a step. Also the most by which a segment's time is corrected, of its length.
const STEP_PPM: i64 = 50_000;
/// Windows from which it is said how fast the clock is.
const REMEMBERED: usize = 20;
/// Segments whose correction is remembered: tracks begin them one after the other.
const CORRECTED: usize = 16;
/// Delays that are so close to each other are the same.
const NEAR_US: i64 = 20_000;
const MILLION: i128 = 1_000_000;

/// What is known of the clock of who sends now.
#[derive(Debug)]
pub(super) struct Drift {
    window_us: i64,
    /// The window under way: when it began, and what came with the least delay.
    window: Option<(i64, Point)>,
    /// Of the windows before, oldest first.
    points: VecDeque<Point>,
    /// The delay with which it began.
    origin_us: Option<i64>,
    /// The delay that the way has now, as far as is known, and the least that it has ever had.
    base_us: i64,
    least_base_us: i64,
    /// What its times would have to be corrected by now.
    wanted_us: i64,
    /// What they are corrected by, with the number from which on.
    corrected: VecDeque<(u64, i64)>,
}

/// Something that came: when, and how much later than its media time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Point {
    at_us: i64,
    late_us: i64,
}

// === impl Drift ===

impl Drift {
    /// Nothing has come. One delay counts of each `window_us`, above 0.
    pub(super) fn new(window_us: i64) -> Self {
        Self {
            window_us: window_us.max(1),
            window: None,
            points: VecDeque::new(),
            origin_us: None,
            base_us: 0,
            least_base_us: 0,
            wanted_us: 0,
            corrected: VecDeque::new(),
        }
    }

    /// Somebody begins to send, whose times are the wall's now.
    pub(super) fn begin(&mut self) {
        *self = Self::new(self.window_us);
    }

    /// What ends at `media_us` of media time came at `at_us`.
    pub(super) fn came(&mut self, at_us: i64, media_us: i64) {
        let point = Point { at_us, late_us: at_us.saturating_sub(media_us) };
        let Some((began_us, least)) = &mut self.window else {
            self.window = Some((at_us, point));
            return;
        };
        if at_us.saturating_sub(*began_us) < self.window_us {
            if point.late_us < least.late_us {
                *least = point;
            }
            return;
        }
        let over = *least;
        self.window = Some((at_us, point));
        self.close(over);
    }

    /// A window is over.
    fn close(&mut self, least: Point) {
        let Some(origin_us) = self.origin_us else {
            (self.origin_us, self.base_us, self.least_base_us) = (Some(least.late_us), least.late_us, least.late_us);
            self.points.push_back(least);
            return;
        };
        if let Some(last) = self.points.back() {
            let moved_us = least.late_us.saturating_sub(last.late_us);
            let within_us = least.at_us.saturating_sub(last.at_us).max(self.window_us);
            if per_million(moved_us, within_us).is_none_or(|ppm| ppm.saturating_abs() > STEP_PPM) {
                self.step(origin_us, least.late_us, moved_us);
            }
        }
        self.wanted_us = least.late_us.saturating_sub(self.base_us);
        self.points.push_back(least);
        if self.points.len() > REMEMBERED {
            self.points.pop_front();
        }
    }

    /// The delay has changed by `moved_us` at once, to `late_us`.
    fn step(&mut self, origin_us: i64, late_us: i64, moved_us: i64) {
        let from_origin_us = late_us.saturating_sub(origin_us);
        let kept_us = if from_origin_us.saturating_abs() <= NEAR_US {
            from_origin_us
        } else if self.wanted_us > 0 {
            // More would be a way that is shorter than ever.
            late_us.saturating_sub(self.least_base_us).clamp(0, self.wanted_us)
        } else {
            self.wanted_us
        };
        if kept_us == self.wanted_us {
            self.points.iter_mut().for_each(|point| point.late_us = point.late_us.saturating_add(moved_us));
        } else {
            // How fast it is is not known either.
            self.points.clear();
        }
        self.base_us = late_us.saturating_sub(kept_us);
        self.least_base_us = self.least_base_us.min(self.base_us);
    }

    /// How much faster than the wall's the clock is, millionths; below 0 where it is slower. `None` until that is known.
    pub(super) fn ppm(&self) -> Option<i64> {
        let (first, last) = (self.points.front()?, self.points.back()?);
        per_million(first.late_us.saturating_sub(last.late_us), last.at_us.saturating_sub(first.at_us))
    }

    /// What is to be added to the media time of the segment `number`, which is to be `segment_us` long, to have the wall's, microseconds.
    /// It is the same for all tracks, and for good once it is noted. From one segment to the next it grows by little.
    pub(super) fn next_correction_us(&self, number: u64, segment_us: i64) -> i64 {
        if let (Some((newest, _)), Some((_, oldest))) = (self.corrected.back(), self.corrected.front())
            && number <= *newest
        {
            let known = self.corrected.iter().rev().find(|(from, _)| *from <= number);
            return known.map_or(*oldest, |(_, known)| *known);
        }
        let before = self.newest_correction_us();
        let most_us = i64::try_from(i128::from(segment_us) * i128::from(STEP_PPM) / MILLION).unwrap_or(0).max(0);
        before + self.wanted_us.saturating_sub(before).clamp(-most_us, most_us)
    }

    /// The segment `number` was taken with that.
    pub(super) fn corrected(&mut self, number: u64, correction_us: i64) {
        if self.corrected.back().is_some_and(|(newest, _)| number <= *newest) {
            return;
        }
        self.corrected.push_back((number, correction_us));
        if self.corrected.len() > CORRECTED {
            self.corrected.pop_front();
        }
    }

    /// What is added to the newest media times, microseconds.
    pub(super) fn newest_correction_us(&self) -> i64 {
        self.corrected.back().map_or(0, |(_, newest)| *newest)
    }
}

/// `None` where no time passed.
fn per_million(of_us: i64, in_us: i64) -> Option<i64> {
    let ppm = (i128::from(of_us) * MILLION).checked_div(i128::from(in_us)).filter(|_| in_us > 0)?;
    i64::try_from(ppm).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW_US: i64 = 30_000_000;
    const SEGMENT_US: i64 = 2_000_000;
    /// Ten parts a segment.
    const PART_US: i64 = 200_000;
    const NOON_US: i64 = 1_795_694_400_000_000;

    impl Drift {
        /// Takes the segment `number`.
        fn correction_us(&mut self, number: u64, segment_us: i64) -> i64 {
            let correction_us = self.next_correction_us(number, segment_us);
            self.corrected(number, correction_us);
            correction_us
        }
    }

    /// The media time of the segment `number` of a clock that is `ppm` fast, and when it comes.
    struct Clock {
        ppm: i64,
        jitter_us: i64,
        seed: u64,
    }

    impl Clock {
        /// Sends a segment, and says what its time is corrected by.
        fn segment(&mut self, drift: &mut Drift, number: u64) -> i64 {
            let mut correction = 0;
            for part in 1..=10 {
                let media_us = i64::try_from(number).unwrap() * SEGMENT_US + part * PART_US;
                self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let jitter_us = (self.seed >> 33) as i64 % (self.jitter_us + 1);
                let real_us = media_us * 1_000_000 / (1_000_000 + self.ppm);
                drift.came(NOON_US + real_us + 50_000 + jitter_us, NOON_US + media_us);
                correction = drift.correction_us(number, SEGMENT_US);
            }
            correction
        }

        /// How far media time is off when the segment begins.
        fn off_us(&self, number: u64) -> i64 {
            let media_us = i64::try_from(number).unwrap() * SEGMENT_US;
            media_us * 1_000_000 / (1_000_000 + self.ppm) - media_us
        }
    }

    proptest! {
        #[test]
        fn a_clock_that_drifts_is_followed_and_times_never_jump(
            ppm in -25_000_i64..=25_000,
            jitter_us in 0_i64..120_000,
            seed in any::<u64>(),
        ) {
            let (mut drift, mut clock) = (Drift::new(WINDOW_US), Clock { ppm, jitter_us, seed });
            let mut before = 0;
            for number in 0..450 {
                let correction = clock.segment(&mut drift, number);
                prop_assert!((correction - before).abs() <= SEGMENT_US / 20, "{number}: {before} {correction}");
                before = correction;
                // It knows of the window before, and follows what that says.
                let behind_us = 3 * WINDOW_US * ppm.abs() / 1_000_000 + 2 * jitter_us + 1_000;
                let off = clock.off_us(number);
                prop_assert!((correction - off).abs() <= behind_us, "{number}: {correction} {off}");
            }
            let said = drift.ppm().unwrap();
            prop_assert!((said - ppm).abs() <= 250 + ppm.abs() / 20, "{said}");
        }

        #[test]
        fn whatever_comes_is_survived(
            came in prop::collection::vec((any::<i64>(), any::<i64>(), any::<u64>()), 0..60),
            window_us in any::<i64>(),
        ) {
            let mut drift = Drift::new(window_us);
            let mut newest = None;
            for (at_us, media_us, number) in came {
                drift.came(at_us, media_us);
                let corrected = drift.correction_us(number, SEGMENT_US);
                prop_assert_eq!(drift.correction_us(number, SEGMENT_US), corrected);
                if newest.is_none_or(|newest| number > newest) {
                    newest = Some(number);
                    prop_assert_eq!(drift.newest_correction_us(), corrected);
                }
                let _ = drift.ppm();
            }
        }
    }

    /// Delays of one segment after the other: it changes at once, and then by a little with each.
    fn delays(from_us: i64, legs: &[(i64, i64, usize)]) -> Vec<i64> {
        let mut delay_us = from_us;
        let mut delays = vec![delay_us; 20];
        for (jump_us, each_us, segments) in legs {
            delay_us = (delay_us + jump_us).max(0);
            for _ in 0..*segments {
                delay_us = (delay_us + each_us).max(0);
                delays.push(delay_us);
            }
        }
        delays
    }

    /// What is added at last to the times of a clock that is `ppm` fast, and what should be.
    fn corrected(ppm: i64, delays: &[i64]) -> (i64, i64) {
        let (mut drift, mut correction, mut off_us) = (Drift::new(WINDOW_US), 0, 0);
        for (number, delay_us) in (0_u64..).zip(delays) {
            for part in 1..=10 {
                let media_us = i64::try_from(number).unwrap() * SEGMENT_US + part * PART_US;
                let real_us = media_us * 1_000_000 / (1_000_000 + ppm);
                off_us = real_us - media_us;
                drift.came(NOON_US + real_us + delay_us, NOON_US + media_us);
                correction = drift.correction_us(number, SEGMENT_US);
            }
        }
        (correction, off_us)
    }

    proptest! {
        #[test]
        fn a_clock_that_is_right_is_right_again_once_the_delay_is_what_it_was(
            from_us in 0_i64..5_000_000,
            legs in prop::collection::vec((-10_000_000_i64..10_000_000, -40_000_i64..40_000, 15_usize..90), 0..5),
        ) {
            let mut delays = delays(from_us, &legs);
            // It comes back at once.
            delays.extend([from_us + 20_000_000; 45]);
            delays.extend([from_us; 400]);
            let (correction, _) = corrected(0, &delays);
            prop_assert!(correction.abs() <= 2 * NEAR_US, "{correction}");
        }

        #[test]
        fn what_grows_slowly_and_ends_at_once_is_no_clock(
            legs in prop::collection::vec((0_i64..10_000_000, 0_i64..40_000, 15_usize..90), 0..5),
            shorter_us in 0_i64..2_000_000,
        ) {
            let mut delays = delays(2_000_000, &legs);
            let last = *delays.last().unwrap();
            delays.extend([last + 10_000_000; 45]);
            delays.extend([2_000_000 - shorter_us; 400]);
            let (correction, _) = corrected(0, &delays);
            prop_assert!(correction.abs() <= 2 * NEAR_US, "{correction}");
        }

        #[test]
        fn a_clock_that_is_off_stays_known_through_a_way_that_is_longer_for_a_while(
            ppm in -10_000_i64..10_000,
            longer_us in 4_000_000_i64..20_000_000,
            segments in 45_usize..90,
        ) {
            // A way that became longer by just what the clock had gained can not be told from one that is again as it was at first.
            let gained_us = 300 * SEGMENT_US / 1_000_000 * ppm;
            prop_assume!((longer_us - gained_us).abs() > NEAR_US + 2 * WINDOW_US * ppm.abs() / 1_000_000);
            let mut delays = vec![50_000; 300];
            delays.extend(vec![50_000 + longer_us; segments]);
            delays.extend([50_000; 120]);
            let (correction, off_us) = corrected(ppm, &delays);
            // A window or two behind, and what it moved by within those that were at either end of it.
            let behind_us = 8 * WINDOW_US * ppm.abs() / 1_000_000 + 2 * NEAR_US;
            prop_assert!((correction - off_us).abs() <= behind_us, "{correction} {off_us}");
        }
    }

    #[test]
    fn what_is_held_up_more_and_more_and_then_not_any_more_is_no_clock() {
        let (correction, _) = corrected(0, &delays(50_000, &[(0, 20_000, 150)]));
        assert!(correction > 2_000_000, "as if it were a clock: {correction}");
        let (correction, _) = corrected(0, &delays(50_000, &[(0, 20_000, 150), (-3_000_000, 0, 60)]));
        assert_eq!(correction, 0);
    }

    #[test]
    fn what_changes_at_once_is_no_clock() {
        let mut drift = Drift::new(WINDOW_US);
        let mut clock = Clock { ppm: 0, jitter_us: 0, seed: 1 };
        (0..60).for_each(|number| {
            clock.segment(&mut drift, number);
        });
        // An encoder that paused for a minute, and one whose way became three seconds longer.
        for (number, late_us) in (60..180).map(|number| (number, if number < 120 { 60_000_000 } else { 63_000_000 })) {
            let media_us = NOON_US + i64::try_from(number).unwrap() * SEGMENT_US;
            drift.came(media_us + late_us, media_us);
            assert_eq!(drift.correction_us(number, SEGMENT_US), 0, "{number}");
        }
        assert_eq!(drift.ppm(), Some(0));
    }

    #[test]
    fn a_segment_has_one_time_in_all_tracks_and_another_publication_begins_anew() {
        let mut drift = Drift::new(WINDOW_US);
        let mut clock = Clock { ppm: -10_000, jitter_us: 0, seed: 1 };
        let corrections: Vec<i64> = (0..90).map(|number| clock.segment(&mut drift, number)).collect();
        assert!(corrections[89] > 1_000_000, "{corrections:?}");
        for number in 80..90 {
            assert_eq!(drift.correction_us(number, SEGMENT_US), corrections[usize::try_from(number).unwrap()]);
        }
        drift.begin();
        assert_eq!((drift.correction_us(90, SEGMENT_US), drift.ppm()), (0, None));
    }
}
