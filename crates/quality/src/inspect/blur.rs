//! Blur of pictures without a reference: Crété-Roffet, Dolmiere, Ladret, Nicolas, "The blur effect: perception and estimation with a new
//! no-reference perceptual blur metric", SPIE 6492 (2007).
//!
//! A picture is blurred once more. What was sharp loses much of its differences by that, what was blurred little: the share of the
//! differences that is left is the figure, 0 (sharp) to 1. As scikit-image has it (`blur_effect`), differences are Sobel's and the second
//! blur is the mean of 11 samples; the figure is that of the more blurred direction. Pictures of one level have none.

use flame_api::quality::inspection::Range;

use super::information::Collected;
use crate::plane::Plane;

/// Samples of the second blur.
const BLUR_SAMPLES: i32 = 11;
/// How far it and the difference on it reach, samples.
const REACH: usize = 6;
/// The smallest side of a picture that can be blurred so.
const SIDE_MIN: usize = 16;

/// Blur of one picture after the other.
#[derive(Debug, Clone, Default)]
pub struct Blur {
    luma: Vec<i32>,
    smooth: Vec<i32>,
    collected: Collected,
}

/// Differences of neighbours, each eleven times.
#[derive(Debug, Clone, Copy, Default)]
struct Differences {
    all: u64,
    /// How much of them the second blur takes.
    lost: u64,
}

// === impl Blur ===

impl Blur {
    /// Looks at a picture.
    pub fn look(&mut self, luma: &Plane<'_>) {
        let (width, height) = (luma.width(), luma.height());
        if width < SIDE_MIN || height < SIDE_MIN {
            return;
        }
        self.luma.clear();
        luma.read(&mut self.luma);
        let across = across(&self.luma, width, &mut self.smooth);
        let down = down(&self.luma, width, &mut self.smooth);
        if let Some(blur) = [across.left(), down.left()].into_iter().flatten().reduce(f64::max) {
            self.collected.add(blur);
        }
    }

    /// Of all pictures; none where no picture is large enough and of more than one level.
    #[must_use]
    pub fn finish(&self) -> Option<Range> {
        self.collected.range()
    }
}

/// Differences from left to right.
fn across(luma: &[i32], width: usize, line: &mut Vec<i32>) -> Differences {
    let mut differences = Differences::default();
    let height = luma.len() / width;
    for y in 2..height - 1 {
        let row = |y: usize| &luma[y * width..][..width];
        let (above, here, below) = (row(y - 1), row(y), row(y + 1));
        line.clear();
        line.extend((0..width + 2 * REACH).map(|at| {
            let x = mirrored(at, width);
            above[x] + 2 * here[x] + below[x]
        }));
        // Of column x the window begins six before it.
        for near in line.windows(2 * REACH + 1).skip(2).take(width - 3) {
            differences.add(near[7] - near[5], near[12] + near[11] - near[1] - near[0]);
        }
    }
    differences
}

/// Differences from top to bottom.
fn down(luma: &[i32], width: usize, smooth: &mut Vec<i32>) -> Differences {
    let mut differences = Differences::default();
    let height = luma.len() / width;
    smooth.clear();
    for row in luma.chunks_exact(width) {
        smooth.extend(row.windows(3).map(|near| near[0] + 2 * near[1] + near[2]));
    }
    // Without the outermost columns; and the first of those that are left does not count.
    let inner = width - 2;
    for y in 2..height - 1 {
        let row = |at: usize| &smooth[mirrored(at, height) * inner..][1..inner];
        let (above, below) = (row(y + REACH - 1), row(y + REACH + 1));
        let (before, after) = ([row(y), row(y + 1)], [row(y + 11), row(y + 12)]);
        for x in 0..inner - 1 {
            let blurred = after[0][x] + after[1][x] - before[0][x] - before[1][x];
            differences.add(below[x] - above[x], blurred);
        }
    }
    differences
}

/// The sample that stands for the one [`REACH`] before `at`: beyond its edges a picture is continued as in a mirror.
fn mirrored(at: usize, samples: usize) -> usize {
    match at.checked_sub(REACH) {
        None => REACH - 1 - at,
        Some(within) if within < samples => within,
        Some(beyond) => 2 * samples - 1 - beyond,
    }
}

// === impl Differences ===

impl Differences {
    /// A difference, and eleven times what is left of it.
    fn add(&mut self, sharp: i32, blurred: i32) {
        let sharp = (BLUR_SAMPLES * sharp).unsigned_abs();
        self.all += u64::from(sharp);
        self.lost += u64::from(sharp.saturating_sub(blurred.unsigned_abs()));
    }

    fn left(self) -> Option<f64> {
        (self.all > 0).then(|| (self.all - self.lost) as f64 / self.all as f64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WIDTH: usize = 64;
    const HEIGHT: usize = 48;

    fn blur(bytes: &[u8]) -> Option<f64> {
        let mut blur = Blur::default();
        blur.look(&Plane::new(bytes, WIDTH, WIDTH, HEIGHT, 8).expect("the bytes hold it"));
        blur.finish().map(|range| range.max)
    }

    /// The mean of 3 x 3 samples.
    fn softer(bytes: &[u8]) -> Vec<u8> {
        let near = |at: usize, end: usize| at.saturating_sub(1)..(at + 2).min(end);
        let sample = |at: usize| {
            let (mut sum, mut count) = (0_u32, 0_u32);
            for y in near(at / WIDTH, HEIGHT) {
                for x in near(at % WIDTH, WIDTH) {
                    sum += u32::from(bytes[y * WIDTH + x]);
                    count += 1;
                }
            }
            u8::try_from(sum / count).expect("a mean of bytes is a byte")
        };
        (0..bytes.len()).map(sample).collect()
    }

    #[test]
    fn a_mirror_shows_the_nearest_first() {
        let seen: Vec<usize> = (0..20 + 2 * REACH).map(|at| mirrored(at, 20)).collect();
        assert_eq!(seen[..8], [5, 4, 3, 2, 1, 0, 0, 1]);
        assert_eq!(seen[24..], [18, 19, 19, 18, 17, 16, 15, 14]);
    }

    #[test]
    fn stripes_are_sharp_a_ramp_is_not_and_one_level_is_neither() {
        let stripes: Vec<u8> =
            (0..WIDTH * HEIGHT).map(|at| if (at % WIDTH / 2).is_multiple_of(2) { 0 } else { 255 }).collect();
        let ramp: Vec<u8> = (0..WIDTH * HEIGHT).map(|at| u8::try_from(at % WIDTH).expect("it is below 64")).collect();
        assert!(blur(&stripes).expect("it has edges") < 0.2, "{:?}", blur(&stripes));
        assert!(blur(&ramp).expect("it has edges") > 0.9, "{:?}", blur(&ramp));
        assert_eq!(blur(&[77; WIDTH * HEIGHT]), None);
    }

    proptest! {
        #[test]
        fn what_is_made_softer_is_more_blurred(bytes in prop::collection::vec(any::<u8>(), WIDTH * HEIGHT)) {
            let (mut bytes, mut before) = (bytes, 0.0);
            for _ in 0..5 {
                let blur = blur(&bytes).expect("it has edges");
                prop_assert!((0.0..=1.0).contains(&blur) && blur > before, "{blur} after {before}");
                before = blur;
                bytes = softer(&bytes);
            }
        }
    }
}
