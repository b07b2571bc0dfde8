//! A frame in 144 numbers: the mean brightness of 16 x 9 fields. Enough to know it again after any encoder.
//!
//! Values are in 64ths of a level of 8 bits, so that slow movements are seen; sums over fields make codec noise small.

use crate::plane::{Plane, wide};

const COLUMNS: usize = 16;
const ROWS: usize = 9;
/// Fields of a signature.
pub(crate) const FIELDS: usize = COLUMNS * ROWS;
/// Steps of a level.
const STEPS: u64 = 64;

/// Signature of a frame's luma.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature([u16; FIELDS]);

// === impl Signature ===

impl Signature {
    /// Looks at a luma plane.
    #[must_use]
    pub fn of(luma: &Plane<'_>) -> Self {
        let mut fields = [0; FIELDS];
        for (row, line) in fields.chunks_exact_mut(COLUMNS).enumerate() {
            let rows = span(row, ROWS, luma.height());
            let mut sums = [0_u64; COLUMNS];
            for y in rows.clone() {
                let samples = luma.row(y);
                for (column, sum) in sums.iter_mut().enumerate() {
                    let columns = span(column, COLUMNS, luma.width());
                    *sum += if luma.is_narrow() {
                        u64::from(samples[columns].iter().map(|&sample| u32::from(sample)).sum::<u32>())
                    } else {
                        wide(&samples[2 * columns.start..2 * columns.end]).map(u64::from).sum()
                    };
                }
            }
            for (column, (field, sum)) in line.iter_mut().zip(sums).enumerate() {
                let samples = rows.len() * span(column, COLUMNS, luma.width()).len();
                let mean = (sum * STEPS / (samples as u64)) >> (luma.bits() - 8);
                *field = u16::try_from(mean).unwrap_or(u16::MAX);
            }
        }
        Self(fields)
    }

    /// How unlike two frames are: the mean difference of fields in levels of 8 bits.
    #[must_use]
    pub fn distance(&self, other: &Self) -> f32 {
        let differences = self.0.iter().zip(&other.0).map(|(&a, &b)| u32::from(a.abs_diff(b)));
        differences.sum::<u32>() as f32 / (FIELDS as f32 * STEPS as f32)
    }

    /// Its fields in levels of 8 bits.
    pub(crate) fn levels(&self) -> impl Iterator<Item = f64> + '_ {
        self.0.iter().map(|&field| f64::from(field) / STEPS as f64)
    }

    /// A signature of these values in levels, for tests of what is made of them.
    #[cfg(test)]
    pub(crate) fn of_levels(levels: &[f32]) -> Self {
        let mut fields = [0; FIELDS];
        for (field, level) in fields.iter_mut().zip(levels) {
            *field = (level.clamp(0.0, 255.0) * STEPS as f32) as u16;
        }
        Self(fields)
    }
}

/// Where part `at` of `parts` lies in `length` samples; never empty.
fn span(at: usize, parts: usize, length: usize) -> std::ops::Range<usize> {
    let start = (at * length / parts).min(length - 1);
    start..((at + 1) * length / parts).max(start + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_a_level_in_every_depth() {
        let (dark, light) = (vec![16_u8; 320 * 180], vec![20_u8; 320 * 180]);
        let of = |bytes: &[u8]| Signature::of(&Plane::new(bytes, 320, 320, 180, 8).expect("it holds them"));
        assert!((of(&dark).distance(&of(&light)) - 4.0).abs() < 1e-6);
        let deep: Vec<u8> = std::iter::repeat_n(80_u16.to_ne_bytes(), 320 * 180).flatten().collect();
        let deep = Signature::of(&Plane::new(&deep, 640, 320, 180, 10).expect("it holds them"));
        assert_eq!(deep, of(&light));
        let tiny = Signature::of(&Plane::new(&[7; 6], 3, 3, 2, 8).expect("it holds them"));
        assert!(tiny.distance(&of(&dark)) > 8.9);
    }
}
