//! Where GOPs and segments begin: a grid of equal cells on the running time of the frames.
//!
//! All tracks of a ladder use one grid, so that keyframes fall on the same frames in every rung and sound is
//! cut where pictures are. Pure.

use std::time::Duration;

/// How far before a boundary a frame may lie and still count as on it. Demuxers round timestamps to
/// nanoseconds, milliseconds or 1/90000 s, and no frame is this short.
const TOLERANCE_NS: i64 = 500_000;

/// Cells of equal length; cell 0 begins at the origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    step_ns: i64,
}

/// Finds the first frame of each cell.
#[derive(Debug, Clone)]
pub(crate) struct CellStarts {
    grid: Grid,
    /// Running time of the first frame, and the cell of the newest.
    seen: Option<(u64, i64)>,
}

// === impl Grid ===

impl Grid {
    /// A grid of cells that last `step`; below a millisecond it is one.
    pub(crate) fn new(step: Duration) -> Self {
        let step_ns = i64::try_from(step.as_nanos()).unwrap_or(i64::MAX);
        Self { step_ns: step_ns.max(1_000_000) }
    }

    /// The cell that `time_ns` lies in; negative before the origin.
    pub(crate) fn cell(self, origin_ns: u64, time_ns: u64) -> i64 {
        let since_ns = i128::from(time_ns) - i128::from(origin_ns) + i128::from(TOLERANCE_NS);
        i64::try_from(since_ns.div_euclid(i128::from(self.step_ns))).unwrap_or(i64::MAX)
    }
}

// === impl CellStarts ===

impl CellStarts {
    /// Cells of `step`, the first of which begins with the first frame.
    pub(crate) fn new(step: Duration) -> Self {
        Self { grid: Grid::new(step), seen: None }
    }

    /// Cells of `step` whose origin is known, when those up to `newest` have begun.
    pub(crate) fn after(step: Duration, origin_ns: u64, newest: i64) -> Self {
        Self { grid: Grid::new(step), seen: Some((origin_ns, newest)) }
    }

    /// Whether the frame at `time_ns` is the first of a cell. Frames come in order.
    pub(crate) fn begins(&mut self, time_ns: u64) -> bool {
        let Some((origin_ns, newest)) = &mut self.seen else {
            self.seen = Some((time_ns, 0));
            return true;
        };
        let cell = self.grid.cell(*origin_ns, time_ns);
        let begins = cell > *newest;
        *newest = cell.max(*newest);
        begins
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TWO_SECONDS: Duration = Duration::from_secs(2);

    #[test]
    fn ntsc_frames_begin_at_or_after_each_boundary() {
        let mut starts = CellStarts::new(TWO_SECONDS);
        let keys: Vec<u64> = (0..200).filter(|n| starts.begins(n * 1_001_000_000 / 30)).collect();
        assert_eq!(keys, [0, 60, 120, 180]);
    }

    #[test]
    fn rounding_down_does_not_move_a_boundary() {
        // 25 fps on a 90 kHz clock that starts anywhere: the difference of rounded times is 1 ns short.
        let origin = 7_000_011_u64;
        let time = |n: u64| (origin + n * 3600) * 1_000_000_000 / 90_000;
        let mut starts = CellStarts::new(TWO_SECONDS);
        let keys: Vec<u64> = (0..101).filter(|&n| starts.begins(time(n))).collect();
        assert_eq!(keys, [0, 50, 100]);
    }

    #[test]
    fn cells_before_the_origin_are_negative() {
        let grid = Grid::new(TWO_SECONDS);
        assert_eq!(grid.cell(5_000_000_000, 4_000_000_000), -1);
        assert_eq!(grid.cell(5_000_000_000, 1_000_000_000), -2);
    }

    proptest! {
        #[test]
        fn a_gap_longer_than_a_cell_begins_one_cell_only(gaps in prop::collection::vec(1_u64..5_000, 1..100)) {
            let mut starts = CellStarts::new(TWO_SECONDS);
            let mut time_ms = 0;
            prop_assert!(starts.begins(0));
            for gap in gaps {
                let before = time_ms / 2000;
                time_ms += gap;
                // Never on the tolerance: times here are whole milliseconds.
                prop_assert_eq!(starts.begins(time_ms * 1_000_000), time_ms / 2000 > before);
            }
        }
    }
}
