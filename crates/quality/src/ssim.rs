//! Structural similarity, defined as FFmpeg's `ssim` filter does: windows of 8 x 8 samples at every fourth, no Gaussian.
//!
//! It is not the number that libvmaf calls `float_ssim`, which weighs its window and shrinks large pictures first.
//! Sums are of 4 x 4 blocks, four of which make a window, so each sample is read once.

use crate::plane::{Picture, Plane, wide};

/// Side of a block in samples; a window is two blocks wide and high.
const BLOCK: usize = 4;
/// Samples of a window.
const WINDOW: f64 = 64.0;

/// Sums of a block of both pictures.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    reference: u64,
    distorted: u64,
    /// Of the squares of both.
    squares: u64,
    products: u64,
}

/// The similarity of each plane and of all, weighed by samples; 1 for identical ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Similarity {
    /// Of each plane.
    pub planes: Vec<f64>,
    /// Of all.
    pub all: f64,
}

/// Compares two pictures of the same shape. A plane too small for a window (under 8 x 8) is left out of it; a picture
/// without any other has none.
#[must_use]
pub fn similarity(reference: &Picture<'_>, distorted: &Picture<'_>) -> Option<Similarity> {
    let mut planes = Vec::with_capacity(reference.planes.len());
    let (mut weighed, mut samples) = (0.0, 0.0);
    for (reference, distorted) in reference.planes.iter().zip(&distorted.planes) {
        let similarity = plane_similarity(reference, distorted)?;
        let count = (reference.width() * reference.height()) as f64;
        weighed += similarity * count;
        samples += count;
        planes.push(similarity);
    }
    (samples > 0.0).then(|| Similarity { planes, all: weighed / samples })
}

fn plane_similarity(reference: &Plane<'_>, distorted: &Plane<'_>) -> Option<f64> {
    let (columns, rows) = (reference.width() / BLOCK, reference.height() / BLOCK);
    if columns < 2 || rows < 2 {
        return None;
    }
    let max = f64::from(reference.max());
    // FFmpeg rounds both constants to whole numbers.
    let c1 = (0.01 * 0.01 * max * max * WINDOW + 0.5).floor();
    let c2 = (0.03 * 0.03 * max * max * WINDOW * (WINDOW - 1.0) + 0.5).floor();
    let (mut above, mut here) = (vec![Sums::default(); columns], vec![Sums::default(); columns]);
    sum_blocks(reference, distorted, 0, &mut above);
    let mut total = 0.0;
    for row in 1..rows {
        sum_blocks(reference, distorted, row, &mut here);
        let windows = above.windows(2).zip(here.windows(2));
        total += windows
            .map(|(above, here)| window(above[0].plus(above[1]).plus(here[0]).plus(here[1]), c1, c2))
            .sum::<f64>();
        std::mem::swap(&mut above, &mut here);
    }
    Some(total / ((columns - 1) * (rows - 1)) as f64)
}

fn window(sums: Sums, c1: f64, c2: f64) -> f64 {
    let (a, b) = (sums.reference as f64, sums.distorted as f64);
    let variances = sums.squares as f64 * WINDOW - a * a - b * b;
    let covariance = sums.products as f64 * WINDOW - a * b;
    (2.0 * a * b + c1) * (2.0 * covariance + c2) / ((a * a + b * b + c1) * (variances + c2))
}

fn sum_blocks(reference: &Plane<'_>, distorted: &Plane<'_>, row: usize, sums: &mut [Sums]) {
    sums.fill(Sums::default());
    for y in row * BLOCK..(row + 1) * BLOCK {
        let (reference_row, distorted_row) = (reference.row(y), distorted.row(y));
        if reference.is_narrow() {
            let blocks = reference_row.chunks_exact(BLOCK).zip(distorted_row.chunks_exact(BLOCK));
            for (sums, (a, b)) in sums.iter_mut().zip(blocks) {
                sums.add_narrow(a, b);
            }
        } else {
            let blocks = reference_row.chunks_exact(2 * BLOCK).zip(distorted_row.chunks_exact(2 * BLOCK));
            for (sums, (a, b)) in sums.iter_mut().zip(blocks) {
                sums.add(wide(a).map(u64::from).zip(wide(b).map(u64::from)));
            }
        }
    }
}

// === impl Sums ===

impl Sums {
    /// One row of a block of single bytes, in 32 bits, which compilers turn into vectors.
    fn add_narrow(&mut self, reference: &[u8], distorted: &[u8]) {
        let (mut a_sum, mut b_sum, mut squares, mut products) = (0_u32, 0_u32, 0_u32, 0_u32);
        for (&a, &b) in reference.iter().zip(distorted) {
            let (a, b) = (u32::from(a), u32::from(b));
            a_sum += a;
            b_sum += b;
            squares += a * a + b * b;
            products += a * b;
        }
        self.reference += u64::from(a_sum);
        self.distorted += u64::from(b_sum);
        self.squares += u64::from(squares);
        self.products += u64::from(products);
    }

    fn add(&mut self, samples: impl Iterator<Item = (u64, u64)>) {
        for (a, b) in samples {
            self.reference += a;
            self.distorted += b;
            self.squares += a * a + b * b;
            self.products += a * b;
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            reference: self.reference + other.reference,
            distorted: self.distorted + other.distorted,
            squares: self.squares + other.squares,
            products: self.products + other.products,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn picture(bytes: &[u8]) -> Picture<'_> {
        Picture { planes: vec![Plane::new(bytes, 16, 16, 12, 8).expect("192 bytes hold it")] }
    }

    proptest! {
        #[test]
        fn within_bounds_same_both_ways_and_one_for_the_same(
            a in prop::collection::vec(any::<u8>(), 192),
            b in prop::collection::vec(any::<u8>(), 192),
        ) {
            let there = similarity(&picture(&a), &picture(&b)).expect("it is large enough");
            prop_assert!((-1.0..=1.0).contains(&there.all), "{there:?}");
            prop_assert_eq!(&there, &similarity(&picture(&b), &picture(&a)).expect("it is large enough"));
            prop_assert!((similarity(&picture(&a), &picture(&a)).expect("it is large enough").all - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn what_no_window_fits_in_has_none() {
        let plane = Plane::new(&[0; 64], 8, 7, 8, 8).expect("64 bytes hold it");
        let small = Picture { planes: vec![plane] };
        assert_eq!(similarity(&small, &small), None);
    }
}
