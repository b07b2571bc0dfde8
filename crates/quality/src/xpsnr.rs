//! Extended perceptually weighted peak signal-to-noise ratio (XPSNR), with FFmpeg's filter `xpsnr` as the measure of it.
//!
//! An error counts the less, the more goes on where it lies: each block's squared error is weighed by the inverse of the reference's
//! activity there, in space (a highpass of 3 x 3 samples) and in time (the difference from the pictures before). Source: C. R. Helmrich,
//! S. Bosse, H. Schwarz, D. Marpe, T. Wiegand, "A study of the extended perceptually weighted peak signal-to-noise ratio (XPSNR) for video
//! compression with different resolutions and bit depths", ITU Journal: ICT Discoveries 3(1), 2020. What the paper leaves open (edges,
//! the first picture, rounding) was found by asking the filter; no code of it is here.
//!
//! It knows nothing of alignment: who calls shows it every picture of the reference once, in the order of the film.

use crate::{
    plane::{Picture, Plane, wide},
    psnr,
};

/// Luma samples of the picture that the paper's constants are made for: 3840 x 2160.
const UHD_SAMPLES: f64 = 3840.0 * 2160.0;
/// From so many luma samples on activity is that of means of 2 x 2 samples: what is finer is not seen.
const COARSE_ABOVE_SAMPLES: usize = 2048 * 1152;
/// Up to so many luma samples blocks are so small that a weight is bounded by those around it.
const SMOOTH_UP_TO_SAMPLES: usize = 640 * 480;
/// From this rate on a change is the second difference in time, pictures a second. The paper has 30; the filter, 32.
const SECOND_ORDER_FROM_HZ: f64 = 32.0;
/// How much more a change in time counts than an edge.
const TEMPORAL_WEIGHT: f64 = 2.0;
/// Large pictures only: blocks whose inside is no wider are taken for flat, samples. So does the filter; the paper does not say it.
const FLAT_UP_TO_WIDTH: usize = 12;

/// The activity of a reference's pictures, one after the other.
#[derive(Debug, Clone)]
pub struct Xpsnr {
    is_second_order: bool,
    shape: Shape,
    /// Luma of this picture and of the two before it; black where there was none.
    luma: [Vec<i32>; 3],
}

/// Where the blocks of a picture are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Shape {
    width: usize,
    height: usize,
    bits: u8,
}

/// A block of luma: where it begins and where it ends, in samples.
#[derive(Debug, Clone, Copy)]
struct Block {
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
}

// === impl Xpsnr ===

impl Xpsnr {
    /// Of a film of so many pictures a second; without a rate it is taken for a slow one.
    #[must_use]
    pub fn new(frame_rate: Option<f64>) -> Self {
        Self {
            is_second_order: frame_rate.is_some_and(|rate| rate >= SECOND_ORDER_FROM_HZ),
            shape: Shape::default(),
            luma: [Vec::new(), Vec::new(), Vec::new()],
        }
    }

    /// Takes the next picture of the reference: [`errors`](Self::errors) are weighed by it until the one after it.
    pub fn look(&mut self, luma: &Plane<'_>) {
        self.shape = Shape { width: luma.width(), height: luma.height(), bits: luma.bits() };
        let samples = self.shape.samples();
        self.luma.rotate_right(1);
        let [here, before, earlier] = &mut self.luma;
        here.clear();
        luma.read(here);
        // Before the film it is black, as the filter has it; and a picture of another size is none to compare with.
        for picture in [before, earlier] {
            if picture.len() != samples {
                picture.clear();
                picture.resize(samples, 0);
            }
        }
    }

    /// Weighed mean squared errors of the planes against the picture of the reference that was looked at last.
    ///
    /// # Panics
    /// When the planes are not of the same size and depth, or luma is not that of the picture that was looked at.
    #[must_use]
    pub fn errors(&self, reference: &Picture<'_>, distorted: &Picture<'_>) -> Vec<f64> {
        let block = self.shape.block_side();
        let weights = self.weights(block);
        let scale = self.shape.picture_activity().sqrt();
        let planes = reference.planes.iter().zip(&distorted.planes);
        planes
            .map(|(reference, distorted)| {
                assert!(
                    (reference.width(), reference.height(), reference.bits())
                        == (distorted.width(), distorted.height(), distorted.bits()),
                    "planes that are compared have the same shape"
                );
                let samples = (reference.width() * reference.height()) as f64;
                if weights.is_empty() {
                    return squares(reference, distorted, Block::whole(reference)) as f64 / samples;
                }
                let sides =
                    (block * reference.width() / self.shape.width, block * reference.height() / self.shape.height);
                let columns = self.shape.width.div_ceil(block);
                let weighed = weights.iter().enumerate().map(|(at, weight)| {
                    let (left, top) = (at % columns * sides.0, at / columns * sides.1);
                    let block = Block {
                        left,
                        top,
                        right: (left + sides.0).min(reference.width()),
                        bottom: (top + sides.1).min(reference.height()),
                    };
                    squares(reference, distorted, block) as f64 * weight
                });
                // The filter goes on with a whole number.
                (weighed.sum::<f64>() * scale + 0.5).floor() / samples
            })
            .collect()
    }

    /// A weight for each block, row by row; none where the picture is too small for blocks.
    fn weights(&self, side: usize) -> Vec<f64> {
        if side == 0 {
            return Vec::new();
        }
        let Shape { width, height, .. } = self.shape;
        let tops = (0..height).step_by(side);
        let blocks = tops.flat_map(|top| (0..width).step_by(side).map(move |left| (left, top)));
        let mut weights: Vec<f64> = blocks
            .map(|(left, top)| {
                let (right, bottom) = ((left + side).min(width), (top + side).min(height));
                1.0 / self.activity(Block { left, top, right, bottom })
            })
            .collect();
        if self.shape.samples() <= SMOOTH_UP_TO_SAMPLES {
            smooth(&mut weights, width.div_ceil(side));
        }
        weights
    }

    /// How much goes on in a block, in levels of a sample; never less than what a flat one has.
    fn activity(&self, block: Block) -> f64 {
        let is_coarse = self.shape.samples() > COARSE_ABOVE_SAMPLES;
        // The highpass reaches beyond a block, but not beyond the picture.
        let margin = if is_coarse { 2 } else { 1 };
        let inside = Block {
            left: block.left.max(margin),
            top: block.top.max(margin),
            right: block.right.min(self.shape.width.saturating_sub(margin)),
            bottom: block.bottom.min(self.shape.height.saturating_sub(margin)),
        };
        let edges = if is_coarse { self.coarse_edges(inside) } else { self.fine_edges(inside) };
        let changes = if is_coarse { self.coarse_changes(block) } else { self.fine_changes(block) };
        let inside = inside.samples();
        let spatial = if inside > 0 { edges as f64 / inside as f64 } else { 0.0 };
        let temporal = changes as f64 / block.samples() as f64;
        (spatial + TEMPORAL_WEIGHT * temporal).max(f64::from(1_u32 << (self.shape.bits - 6)))
    }

    fn row(&self, picture: usize, y: usize) -> &[i32] {
        &self.luma[picture][y * self.shape.width..][..self.shape.width]
    }

    /// The sum of the highpass (12 in the middle, -2 beside, -1 at the corners), without signs.
    fn fine_edges(&self, inside: Block) -> u64 {
        if inside.samples() == 0 {
            return 0;
        }
        let mut sum = 0;
        for y in inside.top..inside.bottom {
            let cut = |y: usize| &self.row(0, y)[inside.left - 1..=inside.right];
            let rows = cut(y - 1).windows(3).zip(cut(y).windows(3)).zip(cut(y + 1).windows(3));
            let highpass = rows.map(|((above, here), below)| {
                let beside = here[0] + here[2] + above[1] + below[1];
                let corners = above[0] + above[2] + below[0] + below[2];
                u64::from((12 * here[1] - 2 * beside - corners).unsigned_abs())
            });
            sum += highpass.sum::<u64>();
        }
        sum
    }

    /// The same of every second sample both ways, over sums of 2 x 2: six samples wide and high, without the outermost corners.
    fn coarse_edges(&self, inside: Block) -> u64 {
        if inside.samples() == 0 || inside.right - inside.left <= FLAT_UP_TO_WIDTH {
            return 0;
        }
        let mut sum = 0;
        for y in (inside.top..inside.bottom).step_by(2).filter(|y| y + 3 < self.shape.height) {
            let rows: [&[i32]; 6] = std::array::from_fn(|at| self.row(0, y + at - 2));
            for x in (inside.left..inside.right).step_by(2).filter(|x| x + 3 < self.shape.width) {
                // The rows beyond and their columns beyond count once, the ring within more, the middle most.
                let of = |row: usize, from: usize, to: usize| rows[row][x + from - 2..=x + to - 2].iter().sum::<i32>();
                let middle = of(2, 2, 3) + of(3, 2, 3);
                let ring = of(1, 2, 3) + of(4, 2, 3) + of(2, 1, 1) + of(3, 1, 1) + of(2, 4, 4) + of(3, 4, 4);
                let corners = of(1, 1, 1) + of(1, 4, 4) + of(4, 1, 1) + of(4, 4, 4);
                let beyond = of(0, 1, 4) + of(5, 1, 4) + (1..5).map(|row| of(row, 0, 0) + of(row, 5, 5)).sum::<i32>();
                sum += u64::from((12 * middle - 3 * ring - 2 * corners - beyond).unsigned_abs());
            }
        }
        sum
    }

    /// The sum of what changed since the picture before, or of how much faster it changes, without signs.
    fn fine_changes(&self, block: Block) -> u64 {
        let mut sum = 0;
        for y in block.top..block.bottom {
            let cut = |picture: usize| &self.row(picture, y)[block.left..block.right];
            let pairs = cut(0).iter().zip(cut(1));
            sum += if self.is_second_order {
                let changes = pairs.zip(cut(2)).map(|((here, before), earlier)| here - 2 * before + earlier);
                changes.map(|change| u64::from(change.unsigned_abs())).sum::<u64>()
            } else {
                pairs.map(|(here, before)| u64::from(here.abs_diff(*before))).sum::<u64>()
            };
        }
        sum
    }

    /// The same over sums of 2 x 2 samples.
    fn coarse_changes(&self, block: Block) -> u64 {
        let mut sum = 0;
        for y in (block.top..block.bottom).step_by(2).filter(|y| y + 1 < self.shape.height) {
            for x in (block.left..block.right).step_by(2).filter(|x| x + 1 < self.shape.width) {
                let of = |picture: usize| {
                    let (upper, lower) = (self.row(picture, y), self.row(picture, y + 1));
                    upper[x] + upper[x + 1] + lower[x] + lower[x + 1]
                };
                let change = if self.is_second_order { of(0) - 2 * of(1) + of(2) } else { of(0) - of(1) };
                sum += u64::from(change.unsigned_abs());
            }
        }
        sum
    }
}

/// Bounds each weight by the largest of its neighbours to the left, to the right and above: a single flat block in the midst of much
/// detail hides its errors too. The ones before are bounded already.
fn smooth(weights: &mut [f64], columns: usize) {
    for at in 0..weights.len() {
        let column = at % columns;
        let neighbours = [
            (column > 0).then(|| weights[at - 1]),
            (column + 1 < columns).then(|| weights[at + 1]),
            at.checked_sub(columns).map(|above| weights[above]),
        ];
        if let Some(bound) = neighbours.into_iter().flatten().reduce(f64::max) {
            weights[at] = weights[at].min(bound);
        }
    }
}

/// The sum of the squared differences in a block.
fn squares(reference: &Plane<'_>, distorted: &Plane<'_>, block: Block) -> u64 {
    if block.samples() == 0 {
        return 0;
    }
    let rows = block.top..block.bottom;
    if reference.is_narrow() {
        let cut = block.left..block.right;
        rows.map(|y| {
            let pairs = reference.row(y)[cut.clone()].iter().zip(&distorted.row(y)[cut.clone()]);
            pairs.map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2)).sum::<u64>()
        })
        .sum()
    } else {
        let cut = 2 * block.left..2 * block.right;
        rows.map(|y| {
            let pairs = wide(&reference.row(y)[cut.clone()]).zip(wide(&distorted.row(y)[cut.clone()]));
            pairs.map(|(a, b)| u64::from(a.abs_diff(b)).pow(2)).sum::<u64>()
        })
        .sum()
    }
}

/// The figure of a film that belongs to the errors of its pictures, in dB: that of the squared mean of their roots, so that a bad moment
/// counts less than in a mean of errors and more than in a mean of decibels (the paper's section 4).
#[must_use]
pub fn of_film_db(roots_sum: f64, pictures: f64, max: f64) -> f64 {
    psnr::ratio_db((roots_sum / pictures).powi(2), max)
}

// === impl Shape ===

impl Shape {
    fn samples(self) -> usize {
        self.width * self.height
    }

    /// This picture's share of 3840 x 2160.
    fn share(self) -> f64 {
        self.samples() as f64 / UHD_SAMPLES
    }

    /// The side of a block: 128 samples of 3840 x 2160, in steps of 4; 0 where there is not room for one step.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a picture has a few thousand samples a side"
    )]
    fn block_side(self) -> usize {
        4 * (32.0 * self.share().sqrt() + 0.5) as usize
    }

    /// The activity that a picture of this size and depth has on the whole, squared levels.
    fn picture_activity(self) -> f64 {
        16.0 * 2.0_f64.powi(2 * i32::from(self.bits) - 9) / self.share().max(1e-5).sqrt()
    }
}

// === impl Block ===

impl Block {
    fn whole(plane: &Plane<'_>) -> Self {
        Self { left: 0, top: 0, right: plane.width(), bottom: plane.height() }
    }

    fn samples(self) -> usize {
        self.right.saturating_sub(self.left) * self.bottom.saturating_sub(self.top)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 96 x 64 samples: blocks of 4.
    const WIDTH: usize = 96;
    const HEIGHT: usize = 64;

    fn picture(bytes: &[u8]) -> Picture<'_> {
        Picture { planes: vec![Plane::new(bytes, WIDTH, WIDTH, HEIGHT, 8).expect("the bytes hold it")] }
    }

    fn small(bytes: &[u8]) -> Picture<'_> {
        Picture { planes: vec![Plane::new(bytes, 40, 40, 40, 8).expect("1600 bytes hold it")] }
    }

    fn error(xpsnr: &Xpsnr, reference: &[u8], distorted: &[u8]) -> f64 {
        xpsnr.errors(&picture(reference), &picture(distorted))[0]
    }

    fn looked(pictures: &[&[u8]], frame_rate: f64) -> Xpsnr {
        let mut xpsnr = Xpsnr::new(Some(frame_rate));
        for bytes in pictures {
            xpsnr.look(&picture(bytes).planes[0]);
        }
        xpsnr
    }

    /// Noise on the left, grey on the right.
    fn half_busy() -> Vec<u8> {
        let mut state = 1_u32;
        let samples = (0..WIDTH * HEIGHT).map(|at| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if at % WIDTH < WIDTH / 2 { 64 + state.to_be_bytes()[0] / 2 } else { 128 }
        });
        samples.collect()
    }

    fn with_error(bytes: &[u8], left: usize) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for y in 16..32 {
            bytes[y * WIDTH + left..][..16].iter_mut().for_each(|sample| *sample = sample.wrapping_add(4));
        }
        bytes
    }

    #[test]
    fn an_error_among_details_counts_less_than_one_on_grey() {
        let reference = half_busy();
        let xpsnr = looked(&[&reference, &reference], 25.0);
        let (busy, grey) = (with_error(&reference, 16), with_error(&reference, 64));
        assert!(error(&xpsnr, &reference, &busy) * 4.0 < error(&xpsnr, &reference, &grey));
    }

    #[test]
    fn an_error_in_what_moves_counts_less_and_steady_change_is_no_second_difference() {
        let (dark, grey, bright) =
            (vec![100_u8; WIDTH * HEIGHT], vec![120_u8; WIDTH * HEIGHT], vec![140_u8; WIDTH * HEIGHT]);
        let harmed = with_error(&bright, 16);
        let still = error(&looked(&[&bright, &bright], 25.0), &bright, &harmed);
        let moving = error(&looked(&[&dark, &grey, &bright], 25.0), &bright, &harmed);
        assert!(moving * 4.0 < still, "{moving} {still}");
        let steady = error(&looked(&[&dark, &grey, &bright], 50.0), &bright, &harmed);
        assert!((steady - still).abs() < 1e-9, "{steady} {still}");
    }

    #[test]
    fn a_picture_without_room_for_blocks_is_weighed_evenly() {
        let (a, b) = ([10_u8; 1600], [14_u8; 1600]);
        let mut xpsnr = Xpsnr::new(None);
        xpsnr.look(&small(&a).planes[0]);
        assert_eq!(xpsnr.errors(&small(&a), &small(&b)), [16.0]);
    }

    #[test]
    fn a_weight_is_no_larger_than_those_around_it() {
        let mut weights = [1.0, 9.0, 2.0, 1.0, 1.0, 9.0];
        smooth(&mut weights, 3);
        assert_eq!(weights, [1.0, 2.0, 2.0, 1.0, 1.0, 2.0]);
    }

    #[test]
    fn a_film_is_pooled_between_errors_and_decibels() {
        // Errors of 1 and 9: roots 1 and 3, their mean 2, its square 4.
        let known = psnr::ratio_db(4.0, 255.0);
        assert!((of_film_db(4.0, 2.0, 255.0) - known).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn nothing_is_wrong_with_the_same_and_more_is_worse(
            bytes in prop::collection::vec(8..240_u8, WIDTH * HEIGHT),
            left in 0..80_usize,
        ) {
            let xpsnr = looked(&[&bytes], 25.0);
            prop_assert!(error(&xpsnr, &bytes, &bytes).abs() < 1e-12);
            let once = with_error(&bytes, left);
            let twice = with_error(&once, left);
            prop_assert!(error(&xpsnr, &bytes, &once) <= error(&xpsnr, &bytes, &twice));
        }
    }
}
