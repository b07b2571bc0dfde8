//! Edges of an encoder's blocks in pictures, without a reference: after R. Muijs, I. Kirenko, "A no-reference blocking artifact measure
//! for adaptive video processing", EUSIPCO 2005.
//!
//! Each step from a sample to the next is divided by the mean of the six around it, so that what is busy masks edges. Steps between the
//! same two columns (or rows) are averaged over the picture: the edges of blocks stand out at every n-th. The figure is how much larger
//! the median step at a grid is than the mean one elsewhere, for the grid where that is most: 1 without a grid, two to three where it is
//! seen, much more where blocks are flat. It is the median because one long line (the bars of a letterbox) is no grid. As FFmpeg's
//! `blockdetect` does, it looks for grids of 3 to 24 samples, wherever they begin; the two agree on what has more blocks, not on the
//! number. What the film itself shows in such a grid (tiles, a test picture) counts, too.

use flame_api::quality::inspection::Range;

use super::information::Collected;
use crate::plane::Plane;

/// Sides of blocks that are looked for, samples.
const PERIODS: std::ops::RangeInclusive<usize> = 3..=24;
/// Steps on either side that mask one.
const AROUND: usize = 3;
/// Edges of a grid that are needed to tell it from a single line.
const EDGES_MIN: usize = 3;
/// What is added to the steps both at the grid and elsewhere: so much nobody sees, and a flat picture has no grid. Of the mean step.
const UNSEEN: f64 = 0.1;
/// The smallest side of a picture with a grid.
const SIDE_MIN: usize = 32;

/// Blockiness of one picture after the other.
#[derive(Debug, Clone, Default)]
pub struct Blockiness {
    luma: Vec<i32>,
    steps: Vec<i32>,
    collected: Collected,
}

// === impl Blockiness ===

impl Blockiness {
    /// Looks at a picture.
    pub fn look(&mut self, luma: &Plane<'_>) {
        let (width, height) = (luma.width(), luma.height());
        if width < SIDE_MIN || height < SIDE_MIN {
            return;
        }
        self.luma.clear();
        luma.read(&mut self.luma);
        // A step of one level of 8 bits is masked by nothing less than such steps.
        let least = (2 * AROUND) as f32 * f32::from(1_u16 << (luma.bits() - 8));
        let columns = self.columns(width, least);
        let rows = self.rows(width, least);
        self.collected.add(strength(&columns).max(strength(&rows)));
    }

    /// Of all pictures; none where none is large enough.
    #[must_use]
    pub fn finish(&self) -> Option<Range> {
        self.collected.range()
    }

    /// Mean masked steps from each column to the next.
    fn columns(&mut self, width: usize, least: f32) -> Vec<f64> {
        let mut sums = vec![0.0_f64; width - 1 - 2 * AROUND];
        for row in self.luma.chunks_exact(width) {
            self.steps.clear();
            self.steps.extend(row.windows(2).map(|pair| (pair[1] - pair[0]).abs()));
            let mut near: i32 = self.steps[..2 * AROUND].iter().sum();
            for (sum, window) in sums.iter_mut().zip(self.steps.windows(2 * AROUND + 1)) {
                near += window[2 * AROUND];
                *sum += f64::from(masked(window[AROUND], near - window[AROUND], least));
                near -= window[0];
            }
        }
        let lines = (self.luma.len() / width) as f64;
        sums.iter().map(|sum| sum / lines).collect()
    }

    /// Mean masked steps from each row to the next.
    fn rows(&mut self, width: usize, least: f32) -> Vec<f64> {
        self.steps.clear();
        let below = self.luma[width..].iter();
        self.steps.extend(below.zip(&self.luma).map(|(below, above)| (below - above).abs()));
        let rows: Vec<&[i32]> = self.steps.chunks_exact(width).collect();
        let mut near = vec![0_i32; width];
        for row in &rows[..2 * AROUND] {
            near.iter_mut().zip(*row).for_each(|(sum, step)| *sum += step);
        }
        let mut means = Vec::with_capacity(rows.len());
        for window in rows.windows(2 * AROUND + 1) {
            near.iter_mut().zip(window[2 * AROUND]).for_each(|(sum, step)| *sum += step);
            let steps = window[AROUND].iter().zip(&near);
            let sum: f64 = steps.map(|(step, near)| f64::from(masked(*step, near - step, least))).sum();
            near.iter_mut().zip(window[0]).for_each(|(sum, step)| *sum -= step);
            means.push(sum / width as f64);
        }
        means
    }
}

/// A step over the mean of the six around it, whose sum is `around`.
fn masked(step: i32, around: i32, least: f32) -> f32 {
    (2 * AROUND) as f32 * step as f32 / (around as f32).max(least)
}

/// How much larger steps are at the edges of the grid that stands out most than elsewhere; at least 1.
fn strength(steps: &[f64]) -> f64 {
    let total: f64 = steps.iter().sum();
    let (mut strength, mut edges) = (1.0_f64, Vec::new());
    for period in PERIODS {
        for phase in 0..period {
            edges.clear();
            edges.extend(steps.iter().copied().skip(phase).step_by(period));
            if edges.len() >= EDGES_MIN {
                let sum: f64 = edges.iter().sum();
                // Rounding may leave less than nothing.
                let elsewhere = (total - sum).max(0.0) / (steps.len() - edges.len()) as f64;
                edges.sort_unstable_by(f64::total_cmp);
                let at_edges = edges[(edges.len() - 1) / 2];
                strength = strength.max((at_edges + UNSEEN) / (elsewhere + UNSEEN));
            }
        }
    }
    strength
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WIDTH: usize = 64;
    const HEIGHT: usize = 48;

    fn blockiness(bytes: &[u8]) -> f64 {
        let mut blockiness = Blockiness::default();
        blockiness.look(&Plane::new(bytes, WIDTH, WIDTH, HEIGHT, 8).expect("the bytes hold it"));
        blockiness.finish().expect("it is large enough").max
    }

    /// Blocks of `side` samples, `eighths` of them, and what is left is detail.
    fn blocked(detail: &[u8], levels: &[u8], side: usize, eighths: u32) -> Vec<u8> {
        let sample = |(at, detail): (usize, &u8)| {
            let level = levels[at / WIDTH / side * (WIDTH / side) + at % WIDTH / side];
            let mixed = (u32::from(*detail) * (8 - eighths) + u32::from(level) * eighths) / 8;
            u8::try_from(mixed).expect("a mean of bytes is a byte")
        };
        detail.iter().enumerate().map(sample).collect()
    }

    #[test]
    fn one_level_has_no_grid_and_a_single_line_is_none() {
        assert!((blockiness(&[90; WIDTH * HEIGHT]) - 1.0).abs() < 1e-12);
        let line: Vec<u8> = (0..WIDTH * HEIGHT).map(|at| if at % WIDTH < 30 { 40 } else { 200 }).collect();
        let grid: Vec<u8> =
            (0..WIDTH * HEIGHT).map(|at| if (at % WIDTH / 8).is_multiple_of(2) { 40 } else { 200 }).collect();
        assert!((blockiness(&line) - 1.0).abs() < 1e-12, "{}", blockiness(&line));
        assert!(blockiness(&grid) > 100.0, "{}", blockiness(&grid));
    }

    #[test]
    fn a_grid_is_found_whatever_its_side() {
        let levels: Vec<u8> =
            (0..WIDTH * HEIGHT).map(|at| u8::try_from(at * 89 % 256).expect("it is below 256")).collect();
        let detail: Vec<u8> =
            (0..WIDTH * HEIGHT).map(|at| u8::try_from(at * at * 7 % 61).expect("it is below 61")).collect();
        for side in [4, 8, 16] {
            let found = blockiness(&blocked(&detail, &levels, side, 7));
            assert!(found > 2.0, "{side}: {found}");
        }
    }

    proptest! {
        #[test]
        fn coarser_blocks_stand_out_more(
            detail in prop::collection::vec(any::<u8>(), WIDTH * HEIGHT),
            levels in prop::collection::vec(any::<u8>(), (WIDTH / 8) * (HEIGHT / 8)),
        ) {
            let figures: Vec<f64> =
                [0, 6, 7, 8].map(|eighths| blockiness(&blocked(&detail, &levels, 8, eighths))).to_vec();
            prop_assert!(figures[0] < 2.0, "{figures:?}");
            prop_assert!(figures.windows(2).all(|pair| pair[0] < pair[1]), "{figures:?}");
        }
    }
}
