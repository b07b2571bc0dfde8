//! Spatial and temporal information of pictures (ITU-T P.910, clauses 7.7 and 7.8): how hard they are to encode.
//!
//! SI is the standard deviation of a picture's edges (Sobel's filter), TI that of its difference from the one before, both over
//! luma on the full scale of 8 bits, as FFmpeg's filter `siti` has it.

use flame_api::quality::inspection::Range;

use crate::plane::{Plane, wide};

/// The smallest side of a picture that has edges.
const SIDE_MIN: usize = 3;

/// SI and TI of one picture after the other.
#[derive(Debug, Clone, Default)]
pub struct Information {
    luma: Vec<f32>,
    before: Vec<f32>,
    shape: (usize, usize),
    si: Collected,
    ti: Collected,
}

/// Many values in three numbers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Collected {
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
}

// === impl Information ===

impl Information {
    /// Looks at a picture. `full_range` says that samples use all values, not only 16 to 235.
    pub fn look(&mut self, luma: &Plane<'_>, full_range: bool) {
        std::mem::swap(&mut self.luma, &mut self.before);
        let shape = (luma.width(), luma.height());
        let has_one_before = self.shape == shape && !self.before.is_empty();
        self.shape = shape;
        read(luma, full_range, &mut self.luma);
        if shape.0 >= SIDE_MIN && shape.1 >= SIDE_MIN {
            self.si.add(edges(&self.luma, shape));
        }
        // The first picture changes nothing: as FFmpeg counts.
        let ti = if has_one_before { deviation(self.luma.iter().zip(&self.before).map(|(a, b)| a - b)) } else { 0.0 };
        self.ti.add(ti);
    }

    /// SI and TI of all pictures; none where there was no picture that is large enough.
    #[must_use]
    pub fn finish(&self) -> (Option<Range>, Option<Range>) {
        (self.si.range(), self.ti.range())
    }
}

/// Luma on the full scale of 8 bits.
fn read(luma: &Plane<'_>, full_range: bool, values: &mut Vec<f32>) {
    values.clear();
    let factor = 1_i32 << (luma.bits() - 8);
    let level = |sample: i32| {
        let full = if full_range {
            sample
        } else {
            let (head, span) = (16 * factor, 219 * factor);
            (256 * factor - 1) * (sample - head).clamp(0, span) / span
        };
        full as f32 / factor as f32
    };
    for y in 0..luma.height() {
        let row = luma.row(y);
        if luma.is_narrow() {
            values.extend(row.iter().map(|&sample| level(i32::from(sample))));
        } else {
            values.extend(wide(row).map(|sample| level(i32::from(sample))));
        }
    }
}

/// The deviation of Sobel's gradient, without the outermost samples.
fn edges(luma: &[f32], (width, height): (usize, usize)) -> f64 {
    let gradients = (1..height - 1).flat_map(|y| {
        let above = &luma[(y - 1) * width..][..width];
        let here = &luma[y * width..][..width];
        let below = &luma[(y + 1) * width..][..width];
        (1..width - 1).map(move |x| {
            let across =
                above[x + 1] + 2.0 * here[x + 1] + below[x + 1] - above[x - 1] - 2.0 * here[x - 1] - below[x - 1];
            let down = below[x - 1] + 2.0 * below[x] + below[x + 1] - above[x - 1] - 2.0 * above[x] - above[x + 1];
            across.mul_add(across, down * down).sqrt()
        })
    });
    deviation(gradients)
}

/// The standard deviation, of the whole and not of a sample of it.
fn deviation(values: impl Iterator<Item = f32>) -> f64 {
    let (mut count, mut sum, mut squares) = (0_u64, 0.0_f64, 0.0_f64);
    for value in values.map(f64::from) {
        count += 1;
        sum += value;
        squares += value * value;
    }
    let count = count.max(1) as f64;
    (squares / count - (sum / count).powi(2)).max(0.0).sqrt()
}

// === impl Collected ===

impl Collected {
    pub(super) fn add(&mut self, value: f64) {
        self.min = if self.count == 0 { value } else { self.min.min(value) };
        self.max = if self.count == 0 { value } else { self.max.max(value) };
        self.count += 1;
        self.sum += value;
    }

    pub(super) fn range(&self) -> Option<Range> {
        (self.count > 0).then(|| Range { min: self.min, mean: self.sum / self.count as f64, max: self.max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_picture_has_no_edges_and_a_step_of_it_no_change_of_shape() {
        let mut information = Information::default();
        for value in [16, 60, 235] {
            let bytes = [value; 64];
            information.look(&Plane::new(&bytes, 8, 8, 8, 8).expect("it holds them"), false);
        }
        let (si, ti) = information.finish();
        // TI is a deviation: all samples that change alike give none.
        assert_eq!(si, Some(Range { min: 0.0, mean: 0.0, max: 0.0 }));
        assert_eq!(ti, si);
    }

    #[test]
    fn an_edge_is_as_steep_as_it_is() {
        // Columns 0 to 3 black, 4 to 7 white: gradients of 4 x 255 in the two columns at the edge, in 6 of 6 rows.
        let row = [0, 0, 0, 0, 255, 255, 255, 255_u8];
        let bytes = row.repeat(8);
        let mut information = Information::default();
        information.look(&Plane::new(&bytes, 8, 8, 8, 8).expect("it holds them"), true);
        let (mean, square) = (1020.0 / 3.0, 1020.0_f64.powi(2) / 3.0);
        let si = information.finish().0.expect("there is a picture").max;
        assert!((si - (square - mean * mean).sqrt()).abs() < 1e-6, "{si}");
    }

    #[test]
    fn a_picture_without_an_inside_has_no_si() {
        let mut information = Information::default();
        information.look(&Plane::new(&[1, 2, 3, 4], 2, 2, 2, 8).expect("it holds them"), true);
        assert_eq!(information.finish().0, None);
    }
}
