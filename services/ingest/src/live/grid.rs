//! Times as an encoder meant them, from what its protocol made of them.
//!
//! RTMP counts whole milliseconds in 32 bits: a frame of 1/30 s comes 33 or 34 ms after the one before, and after 49 days the
//! count begins anew. [`Timestamps`] undoes the second, [`Grid`] the first: where frames are known to come at a constant
//! rate, each is put on the grid of that rate that its time is nearest to. A frame that is missing leaves its place empty;
//! one that comes where the grid has no place left begins the grid anew at its own time, so that sound and pictures never
//! drift apart by more than half a frame.

/// Follows a count of milliseconds of 32 bits over its end.
#[derive(Debug, Default)]
pub struct Timestamps {
    last_ms: Option<i64>,
}

/// Puts times on a grid of ticks. See the module.
#[derive(Debug)]
pub struct Grid {
    timescale: u32,
    frame_ticks: Option<u32>,
    /// An instant that is known in both counts.
    base_ms: i64,
    base_ticks: i64,
    /// A place of the grid.
    phase_ticks: Option<i64>,
    last_ticks: Option<i64>,
}

const SECOND_MS: i128 = 1000;

// === impl Timestamps ===

impl Timestamps {
    /// The time as a count that does not wrap: the one nearest to the time before.
    pub fn unwrap(&mut self, time_ms: u32) -> i64 {
        let unwrapped_ms = match self.last_ms {
            None => i64::from(time_ms),
            Some(last_ms) => {
                let low = u32::try_from(last_ms.rem_euclid(1 << 32)).expect("a remainder of 2^32");
                last_ms + i64::from(time_ms.wrapping_sub(low).cast_signed())
            }
        };
        self.last_ms = Some(unwrapped_ms);
        unwrapped_ms
    }
}

// === impl Grid ===

impl Grid {
    /// Times in `1 / timescale` s. `base_ms` of the encoder's count is `base_us`, microseconds since 1970; frames come
    /// `frame_ticks` (above 0) apart, if that is known.
    #[must_use]
    pub fn new(timescale: u32, frame_ticks: Option<u32>, base_ms: i64, base_us: i64) -> Self {
        let base_ticks = divide(i128::from(base_us) * i128::from(timescale), SECOND_MS * 1000);
        Self { timescale, frame_ticks, base_ms, base_ticks, phase_ticks: None, last_ticks: None }
    }

    /// The decode time of the next frame, later than all before it.
    pub fn place(&mut self, time_ms: i64) -> i64 {
        let exact_ticks = self.base_ticks + self.ticks(time_ms - self.base_ms);
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
    pub fn distance(&self, distance_ms: i32) -> i64 {
        let exact_ticks = self.ticks(distance_ms.into());
        self.frame_ticks.map_or(exact_ticks, |frame| round(exact_ticks, frame))
    }

    fn ticks(&self, distance_ms: i64) -> i64 {
        divide(i128::from(distance_ms) * i128::from(self.timescale), SECOND_MS)
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
            let mut grid = Grid::new(num, Some(den), start_ms.into(), NOW_US);
            let times: Vec<i64> = jitter
                .iter()
                .enumerate()
                .map(|(n, jitter)| {
                    let exact_ms = n as f64 * f64::from(den) * 1000.0 / f64::from(num);
                    let jitter = if n == 0 { 0 } else { *jitter };
                    grid.place(i64::from(start_ms) + exact_ms.round() as i64 + jitter)
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
                let placed = grid.place(time_ms);
                prop_assert!(placed > last);
                last = placed;
                let exact = grid.base_ticks + highest_ms * 90;
                prop_assert!(placed - exact <= i64::from(frame_ticks.unwrap_or(0)) / 2 + 200, "{} {}", placed, exact);
            }
        }

        #[test]
        fn a_count_of_32_bits_goes_on(start in any::<u32>(), steps in prop::collection::vec(-1_000_000_i64..2_000_000, 0..50)) {
            let mut timestamps = Timestamps::default();
            let first = timestamps.unwrap(start);
            let mut expected = i64::from(start);
            prop_assert_eq!(first, expected);
            for step in steps {
                expected += step;
                let low = u32::try_from(expected.rem_euclid(1 << 32)).unwrap();
                prop_assert_eq!(timestamps.unwrap(low), expected);
            }
        }
    }

    #[test]
    fn a_missing_frame_leaves_its_place_empty() {
        let mut grid = Grid::new(25_000, Some(1000), 0, 0);
        assert_eq!([0, 40, 120, 160].map(|ms| grid.place(ms)), [0, 1000, 3000, 4000]);
    }

    #[test]
    fn frames_that_come_faster_than_said_do_not_run_ahead() {
        // 60 frames a second where 30 were said: a minute later the last is where it belongs.
        let mut grid = Grid::new(30_000, Some(1000), 0, 0);
        let last = (0..3600).map(|n| grid.place(n * 1000 / 60)).last().unwrap();
        assert!((last - 59_983 * 30).abs() <= 1000, "{last}");
    }

    #[test]
    fn offsets_are_whole_frames() {
        let grid = Grid::new(30_000, Some(1001), 0, 0);
        assert_eq!([0, 33, 67, 100, -33].map(|ms| grid.distance(ms)), [0, 1001, 2002, 3003, -1001]);
        assert_eq!(Grid::new(90_000, None, 0, 0).distance(33), 2970);
    }
}
