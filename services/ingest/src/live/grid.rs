//! Times as an encoder meant them, from what its protocol made of them.
//!
//! RTMP counts whole milliseconds in 32 bits: a frame of 1/30 s comes 33 or 34 ms after the one before, and after 49 days the
//! count begins anew; transport streams count 1/90000 s in 33 bits, for 26.5 hours. Behind this file all counts are [`CLOCK_HZ`], in
//! which both are whole. [`Timestamps`] undoes the end of a count, [`Grid`] what was rounded: where frames are known to come at a constant
//! rate, each is put on the grid of that rate that its time is nearest to. A frame that is missing leaves its place empty;
//! one that comes where the grid has no place left begins the grid anew at its own time, so that sound and pictures never
//! drift apart by more than half a frame.

/// Ticks per second of all times of encoders.
pub const CLOCK_HZ: u32 = 90_000;
/// The same in a millisecond.
pub const MS_TICKS: i64 = CLOCK_HZ as i64 / 1000;

/// How a protocol counts time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Ticks of [`CLOCK_HZ`] that one of its units has.
    unit_ticks: i64,
    /// After so many bits it begins anew.
    bits: u32,
}

/// Follows a count over its end.
#[derive(Debug)]
pub struct Timestamps {
    count: Count,
    last: Option<i64>,
}

/// Puts times on a grid of ticks. See the module.
#[derive(Debug)]
pub struct Grid {
    timescale: u32,
    frame_ticks: Option<u32>,
    /// An instant that is known in both counts.
    base_clock: i64,
    base_ticks: i64,
    /// A place of the grid.
    phase_ticks: Option<i64>,
    last_ticks: Option<i64>,
}

const SECOND_US: i128 = 1_000_000;

// === impl Count ===

impl Count {
    /// RTMP's.
    pub const MILLISECONDS: Self = Self { unit_ticks: MS_TICKS, bits: 32 };
    /// That of MPEG transport streams.
    pub const TRANSPORT_STREAM: Self = Self { unit_ticks: 1, bits: 33 };
}

// === impl Timestamps ===

impl Timestamps {
    /// Nothing has come. Times are counted like this.
    #[must_use]
    pub fn new(count: Count) -> Self {
        Self { count, last: None }
    }

    /// The time as a count of [`CLOCK_HZ`] that does not wrap: the one nearest to the time before. Bits above those that are counted
    /// say nothing.
    pub fn unwrap(&mut self, time: u64) -> i64 {
        let wrap = 1_i64 << self.count.bits;
        let low = i64::try_from(time & (wrap - 1).cast_unsigned()).expect("at most 33 bits");
        let unwrapped = match self.last {
            None => low,
            Some(last) => {
                let ahead = (low - last).rem_euclid(wrap);
                last + if ahead >= wrap / 2 { ahead - wrap } else { ahead }
            }
        };
        self.last = Some(unwrapped);
        unwrapped * self.count.unit_ticks
    }

    /// A distance in this count.
    #[must_use]
    pub fn distance(&self, distance: i32) -> i64 {
        i64::from(distance) * self.count.unit_ticks
    }
}

// === impl Grid ===

impl Grid {
    /// Times in `1 / timescale` s. `base_clock` of the encoder's clock is `base_us`, microseconds since 1970; frames come
    /// `frame_ticks` (above 0) apart, if that is known.
    #[must_use]
    pub fn new(timescale: u32, frame_ticks: Option<u32>, base_clock: i64, base_us: i64) -> Self {
        let base_ticks = divide(i128::from(base_us) * i128::from(timescale), SECOND_US);
        Self { timescale, frame_ticks, base_clock, base_ticks, phase_ticks: None, last_ticks: None }
    }

    /// The decode time of the next frame, later than all before it.
    pub fn place(&mut self, clock: i64) -> i64 {
        let exact_ticks = self.base_ticks + self.ticks(clock - self.base_clock);
        let after_last = self.last_ticks.map_or(i64::MIN, |last| last + 1);
        let phase_ticks = *self.phase_ticks.get_or_insert(exact_ticks);
        let on_grid = match self.frame_ticks {
            None => exact_ticks,
            Some(frame) => phase_ticks + round(exact_ticks - phase_ticks, frame),
        };
        let placed = if on_grid >= after_last {
            on_grid
        } else {
            let anew = exact_ticks.max(after_last);
            self.phase_ticks = Some(anew);
            anew
        };
        self.last_ticks = Some(placed);
        placed
    }

    /// A distance of presentation and decode time.
    #[must_use]
    pub fn distance(&self, clock: i64) -> i64 {
        let exact_ticks = self.ticks(clock);
        self.frame_ticks.map_or(exact_ticks, |frame| round(exact_ticks, frame))
    }

    fn ticks(&self, clock: i64) -> i64 {
        divide(i128::from(clock) * i128::from(self.timescale), CLOCK_HZ.into())
    }
}

/// The nearest multiple.
fn round(ticks: i64, unit_ticks: u32) -> i64 {
    divide(ticks.into(), unit_ticks.into()) * i64::from(unit_ticks)
}

/// The nearest whole number; halves go up.
fn divide(numerator: i128, denominator: i128) -> i64 {
    let nearest = (numerator * 2 + denominator).div_euclid(denominator * 2);
    i64::try_from(nearest).unwrap_or(if nearest < 0 { i64::MIN / 4 } else { i64::MAX / 4 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW_US: i64 = 1_795_700_000_123_456;

    proptest! {
        #[test]
        fn jitter_below_half_a_frame_leaves_no_trace(
            (num, den) in prop::sample::select(vec![(30_000_u32, 1001_u32), (25_000, 1000), (60_000, 1001), (48_000, 1024)]),
            start_ms in any::<u32>(),
            jitter in prop::collection::vec(-7_i64..=7, 2..400),
        ) {
            let mut grid = Grid::new(num, Some(den), i64::from(start_ms) * MS_TICKS, NOW_US);
            let times: Vec<i64> = jitter
                .iter()
                .enumerate()
                .map(|(n, jitter)| {
                    let exact_ms = n as f64 * f64::from(den) * 1000.0 / f64::from(num);
                    let jitter = if n == 0 { 0 } else { *jitter };
                    grid.place((i64::from(start_ms) + exact_ms.round() as i64 + jitter) * MS_TICKS)
                })
                .collect();
            prop_assert!(times.windows(2).all(|pair| pair[1] - pair[0] == i64::from(den)));
            prop_assert_eq!(times[0], divide(i128::from(NOW_US) * i128::from(num), 1_000_000));
        }

        #[test]
        fn times_increase_and_stay_near_whatever_comes(
            steps in prop::collection::vec(-50_i64..200, 1..200),
            frame_ticks in prop::option::of(1_u32..10_000),
        ) {
            let mut grid = Grid::new(90_000, frame_ticks, 0, NOW_US);
            let (mut time_ms, mut last, mut highest_ms) = (0, i64::MIN, 0);
            for step in steps {
                time_ms += step;
                highest_ms = highest_ms.max(time_ms);
                let placed = grid.place(time_ms * MS_TICKS);
                prop_assert!(placed > last);
                last = placed;
                let exact = grid.base_ticks + highest_ms * 90;
                prop_assert!(placed - exact <= i64::from(frame_ticks.unwrap_or(0)) / 2 + 200, "{} {}", placed, exact);
            }
        }

        #[test]
        fn a_count_goes_on_over_its_end(
            start in any::<u32>(),
            steps in prop::collection::vec(-1_000_000_i64..2_000_000, 0..50),
            count in prop::sample::select(vec![Count::MILLISECONDS, Count::TRANSPORT_STREAM]),
        ) {
            let mut timestamps = Timestamps::new(count);
            // Near the end, mostly.
            let mut expected = (1_i64 << count.bits) - i64::from(start >> 8);
            let first = timestamps.unwrap(u64::try_from(expected).unwrap());
            let base = if expected == 1 << count.bits { 0 } else { expected };
            prop_assert_eq!(first, base * count.unit_ticks);
            for step in steps {
                expected += step;
                let low = u64::try_from(expected.rem_euclid(1 << count.bits)).unwrap();
                prop_assert_eq!(timestamps.unwrap(low), (expected - (1 << count.bits) * i64::from(base == 0)) * count.unit_ticks);
            }
        }

        #[test]
        fn times_that_are_not_rounded_stay_as_they_are(steps in prop::collection::vec(1_i64..20_000, 1..100), start in any::<u32>()) {
            let mut grid = Grid::new(360_000, None, start.into(), NOW_US);
            let (mut clock, first) = (i64::from(start), grid.place(start.into()));
            for step in steps {
                clock += step;
                prop_assert_eq!(grid.place(clock) - first, (clock - i64::from(start)) * 4);
            }
        }
    }

    #[test]
    fn a_missing_frame_leaves_its_place_empty() {
        let mut grid = Grid::new(25_000, Some(1000), 0, 0);
        assert_eq!([0, 40, 120, 160].map(|ms| grid.place(ms * MS_TICKS)), [0, 1000, 3000, 4000]);
    }

    #[test]
    fn frames_that_come_faster_than_said_do_not_run_ahead() {
        // 60 frames a second where 30 were said: a minute later the last is where it belongs.
        let mut grid = Grid::new(30_000, Some(1000), 0, 0);
        let last = (0..3600).map(|n| grid.place(n * 1000 / 60 * MS_TICKS)).last().unwrap();
        assert!((last - 59_983 * 30).abs() <= 1000, "{last}");
    }

    #[test]
    fn offsets_are_whole_frames() {
        let grid = Grid::new(30_000, Some(1001), 0, 0);
        assert_eq!([0, 33, 67, 100, -33].map(|ms| grid.distance(ms * MS_TICKS)), [0, 1001, 2002, 3003, -1001]);
        assert_eq!(Grid::new(90_000, None, 0, 0).distance(2971), 2971);
    }
}
