//! Which frames of a source belong to a range of GOPs. Pure.
//!
//! A frame's GOP follows from its time and the grid that all tracks have agreed on, never from where decoding began: so
//! ranges that follow each other have every frame once, whoever decodes them.

use std::time::Duration;

use flame_media_child::protocol::{Agreed, GopRange, LadderPlan};

use super::grid::{CellStarts, Grid};
use crate::fault::MediaError;

/// A range of GOPs, and how far its frames have come.
#[derive(Debug, Clone)]
pub(super) struct Cut {
    gop: Duration,
    agreed: Agreed,
    /// The first cell and the one behind the last.
    from: i64,
    to: i64,
    /// The latest cell of any frame so far.
    newest: i64,
}

/// Where a frame lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It is decoded for others only.
    Before,
    /// It is to be encoded.
    Within,
    /// It, and all that come, belong to others.
    Behind,
}

// === impl Cut ===

impl Cut {
    /// The `range` of a ladder, if it is one.
    pub(super) fn of(plan: &LadderPlan, range: Option<GopRange>) -> Result<Option<Self>, MediaError> {
        let Some(range) = range else { return Ok(None) };
        let agreed =
            plan.agreed.ok_or_else(|| MediaError::environment("a chunk's plan does not say where it begins"))?;
        Ok(Some(Self::new(Duration::from_millis(plan.gop_ms.into()), agreed, range)))
    }

    /// The GOPs `range` of the grid that was `agreed` on.
    pub(super) fn new(gop: Duration, agreed: Agreed, range: GopRange) -> Self {
        let from = if range.from == 0 { i64::MIN } else { i64::from(range.from) };
        Self { gop, agreed, from, to: range.to.map_or(i64::MAX, i64::from), newest: i64::MIN }
    }

    /// Where the frame at `running_ns` lies. Frames come in order; one that comes late belongs to the GOP of those before.
    pub(super) fn place(&mut self, running_ns: u64) -> Place {
        self.newest = self.newest.max(Grid::new(self.gop).cell(self.agreed.grid_ns, running_ns));
        if self.newest < self.from {
            Place::Before
        } else if self.newest >= self.to {
            Place::Behind
        } else {
            Place::Within
        }
    }

    /// Time of the source by which a keyframe has to be decoded, nanoseconds; none for a range that begins with the source.
    pub(super) fn begins_ns(&self) -> Option<i128> {
        let cells = u64::try_from(self.from).ok()?;
        let since_ns = u128::from(cells) * self.gop.as_nanos();
        let running_ns = i128::from(self.agreed.grid_ns) + i128::try_from(since_ns).ok()?;
        Some(i128::from(self.agreed.origin_ns) + running_ns)
    }

    /// Finds the first frame of each GOP of the range.
    pub(super) fn starts(&self) -> CellStarts {
        CellStarts::after(self.gop, self.agreed.grid_ns, self.from.max(0) - 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AGREED: Agreed = Agreed { origin_ns: -7_000, zero_ns: 5_000_000_000, grid_ns: 6_000_000_000 };
    const GOP: Duration = Duration::from_secs(1);

    fn cut(from: u32, to: Option<u32>) -> Cut {
        Cut::new(GOP, AGREED, GopRange { from, to, buffer_percent: 50 })
    }

    #[test]
    fn a_range_begins_where_its_grid_says() {
        assert_eq!(cut(0, Some(4)).begins_ns(), None);
        assert_eq!(cut(4, None).begins_ns(), Some(10_000_000_000 - 7_000));
    }

    proptest! {
        #[test]
        fn ranges_that_follow_each_other_have_every_frame_once_and_the_keyframes_of_the_whole(
            distances_us in prop::collection::vec(1_u64..400_000, 1..200),
            bounds in prop::collection::btree_set(1_u32..40, 0..6),
            early in prop::collection::vec(0_usize..200, 8),
        ) {
            let mut clock_ns = AGREED.grid_ns;
            let frames: Vec<u64> = distances_us
                .iter()
                .map(|distance_us| {
                    let after_ns = clock_ns + distance_us * 1000;
                    std::mem::replace(&mut clock_ns, after_ns)
                })
                .collect();
            let mut whole = CellStarts::new(GOP);
            let keys: Vec<u64> = frames.iter().copied().filter(|&frame| whole.begins(frame)).collect();

            let mut edges = vec![0];
            edges.extend(bounds);
            let mut seen = Vec::new();
            let mut seen_keys = Vec::new();
            for (n, &from) in edges.iter().enumerate() {
                let mut cut = cut(from, edges.get(n + 1).copied());
                let mut starts = cut.starts();
                // Decoding begins anywhere before the range, and with the source at the latest.
                let first = frames.iter().position(|&frame| Grid::new(GOP).cell(AGREED.grid_ns, frame) >= i64::from(from));
                let first = first.unwrap_or(frames.len()).saturating_sub(early[n]);
                for &frame in &frames[first..] {
                    match cut.place(frame) {
                        Place::Before => {}
                        Place::Within => {
                            seen.push(frame);
                            if starts.begins(frame) {
                                seen_keys.push(frame);
                            }
                        }
                        Place::Behind => break,
                    }
                }
            }
            prop_assert_eq!(seen, frames);
            prop_assert_eq!(seen_keys, keys);
        }
    }
}
