//! Peak signal-to-noise ratio, defined as FFmpeg's `psnr` filter does.
//!
//! A frame's average weighs the planes by their samples. A film's figure is that of the mean error of all frames, not
//! the mean of the frames' figures; both are reported. Identical pictures have no error and no finite figure: they
//! count as [`LOSSLESS_DB`], so that means stay finite.

use crate::plane::{Picture, Plane, wide};

/// What identical pictures count as, in dB. FFmpeg prints `inf`; libvmaf stops at 60 dB for 8 bits.
pub const LOSSLESS_DB: f64 = 100.0;
/// Samples whose squared differences are summed in 32 bits: 8192 x 255² fits.
const RUN_SAMPLES: usize = 8192;

/// Mean squared errors of a pair of pictures.
#[derive(Debug, Clone, PartialEq)]
pub struct Errors {
    /// Of each plane.
    pub planes: Vec<f64>,
    /// Of all, weighed by samples.
    pub average: f64,
    max: f64,
}

/// Compares two pictures of the same shape.
///
/// # Panics
/// When the planes are not of the same size and depth.
#[must_use]
pub fn errors(reference: &Picture<'_>, distorted: &Picture<'_>) -> Errors {
    let mut planes = Vec::with_capacity(reference.planes.len());
    let (mut weighed, mut samples) = (0.0, 0.0);
    for (reference, distorted) in reference.planes.iter().zip(&distorted.planes) {
        let count = (reference.width() * reference.height()) as f64;
        let error = squares(reference, distorted) as f64 / count;
        weighed += error * count;
        samples += count;
        planes.push(error);
    }
    let max = reference.planes.first().map_or(255.0, |plane| f64::from(plane.max()));
    Errors { planes, average: if samples > 0.0 { weighed / samples } else { 0.0 }, max }
}

/// The ratio in dB that belongs to a mean squared error, for samples up to `max`.
#[must_use]
pub fn ratio_db(mean_squared_error: f64, max: f64) -> f64 {
    if mean_squared_error <= 0.0 {
        return LOSSLESS_DB;
    }
    (10.0 * (max * max / mean_squared_error).log10()).min(LOSSLESS_DB)
}

fn squares(reference: &Plane<'_>, distorted: &Plane<'_>) -> u64 {
    assert!(
        (reference.width(), reference.height(), reference.bits())
            == (distorted.width(), distorted.height(), distorted.bits()),
        "planes that are compared have the same shape"
    );
    let rows = 0..reference.height();
    if reference.is_narrow() {
        rows.map(|y| narrow_squares(reference.row(y), distorted.row(y))).sum()
    } else {
        rows.map(|y| wide_squares(reference.row(y), distorted.row(y))).sum()
    }
}

fn narrow_squares(reference: &[u8], distorted: &[u8]) -> u64 {
    let runs = reference.chunks(RUN_SAMPLES).zip(distorted.chunks(RUN_SAMPLES));
    runs.map(|(reference, distorted)| {
        let squares = reference.iter().zip(distorted).map(|(&a, &b)| {
            let difference = i32::from(a) - i32::from(b);
            (difference * difference).cast_unsigned()
        });
        u64::from(squares.sum::<u32>())
    })
    .sum()
}

fn wide_squares(reference: &[u8], distorted: &[u8]) -> u64 {
    let squares = wide(reference).zip(wide(distorted)).map(|(a, b)| {
        let difference = u64::from(a.abs_diff(b));
        difference * difference
    });
    squares.sum()
}

// === impl Errors ===

impl Errors {
    /// The ratios of the planes in dB.
    pub fn planes_db(&self) -> impl Iterator<Item = f64> + '_ {
        self.planes.iter().map(|&error| ratio_db(error, self.max))
    }

    /// The ratio of the whole picture in dB.
    #[must_use]
    pub fn average_db(&self) -> f64 {
        ratio_db(self.average, self.max)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn picture(bytes: &[u8], bits: u8) -> Picture<'_> {
        let width = if bits == 8 { 5 } else { 2 };
        Picture { planes: vec![Plane::new(bytes, 5, width, 4, bits).expect("20 bytes hold it")] }
    }

    #[test]
    fn known_figures() {
        let (black, grey) = ([0; 20], [16; 20]);
        let errors = errors(&picture(&black, 8), &picture(&grey, 8));
        assert!((errors.average - 256.0).abs() < 1e-12);
        assert!((errors.average_db() - 24.048_4).abs() < 1e-4);
    }

    proptest! {
        #[test]
        fn same_both_ways_and_as_by_hand(a in prop::collection::vec(any::<u8>(), 20), b in prop::collection::vec(any::<u8>(), 20)) {
            let there = errors(&picture(&a, 8), &picture(&b, 8));
            prop_assert_eq!(&there, &errors(&picture(&b, 8), &picture(&a, 8)));
            let by_hand: f64 = a.iter().zip(&b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>() / 20.0;
            prop_assert!((there.average - by_hand).abs() < 1e-9);
            prop_assert!((errors(&picture(&a, 8), &picture(&a, 8)).average_db() - LOSSLESS_DB).abs() < 1e-12);
        }
    }
}
