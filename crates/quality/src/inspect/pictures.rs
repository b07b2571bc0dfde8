//! Black pictures and pictures that stand still, as FFmpeg's `blackdetect` and `freezedetect` have them.

use crate::plane::{Picture, Plane, wide};

/// A sample is black up to this share of the way from black to white (`pixel_black_th`).
const BLACK_SAMPLE: f64 = 0.10;
/// A picture is black if this share of its samples is (`picture_black_ratio_th`).
const BLACK_SHARE: f64 = 0.98;
/// Pictures are the same up to this mean difference of samples, of their whole range: -60 dB (`noise`).
const STILL_NOISE: f64 = 0.001;

/// Whether a picture's luma is black. `full_range` says that samples use all values, not only 16 to 235.
#[must_use]
pub fn is_black(luma: &Plane<'_>, full_range: bool) -> bool {
    let (black, white) = if full_range { (0.0, 255.0) } else { (16.0, 235.0) };
    let factor = f64::from(1_u32 << (luma.bits() - 8));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a sample's value")]
    let bound = ((black + BLACK_SAMPLE * (white - black)) * factor) as u16;
    let mut dark = 0_usize;
    for y in 0..luma.height() {
        let row = luma.row(y);
        dark += if luma.is_narrow() {
            row.iter().filter(|&&sample| u16::from(sample) <= bound).count()
        } else {
            wide(row).filter(|&sample| sample <= bound).count()
        };
    }
    dark as f64 >= BLACK_SHARE * (luma.width() * luma.height()) as f64
}

/// Tells whether pictures stand still: each is compared with the last one that was not the same.
#[derive(Debug, Clone, Default)]
pub struct Stillness {
    kept: Vec<u8>,
    shape: Vec<(usize, usize, u8)>,
}

// === impl Stillness ===

impl Stillness {
    /// Whether this picture is the same as the one that is kept; if not, it is kept.
    pub fn look(&mut self, picture: &Picture<'_>) -> bool {
        let shape: Vec<_> = picture.planes.iter().map(|plane| (plane.width(), plane.height(), plane.bits())).collect();
        if self.shape == shape && self.is_same(picture) {
            return true;
        }
        self.shape = shape;
        self.kept.clear();
        for plane in &picture.planes {
            for y in 0..plane.height() {
                self.kept.extend_from_slice(plane.row(y));
            }
        }
        false
    }

    fn is_same(&self, picture: &Picture<'_>) -> bool {
        let (mut difference, mut samples, mut at) = (0_u64, 0_usize, 0_usize);
        let mut max = 1_u32;
        for plane in &picture.planes {
            max = plane.max() + 1;
            samples += plane.width() * plane.height();
            for y in 0..plane.height() {
                let row = plane.row(y);
                let kept = &self.kept[at..at + row.len()];
                at += row.len();
                difference += if plane.is_narrow() {
                    u64::from(row.iter().zip(kept).map(|(&a, &b)| u32::from(a.abs_diff(b))).sum::<u32>())
                } else {
                    wide(row).zip(wide(kept)).map(|(a, b)| u64::from(a.abs_diff(b))).sum()
                };
            }
        }
        difference as f64 / samples.max(1) as f64 / f64::from(max) <= STILL_NOISE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plane(bytes: &[u8]) -> Plane<'_> {
        Plane::new(bytes, 10, 10, bytes.len() / 10, 8).expect("it holds them")
    }

    #[test]
    fn two_percent_may_be_bright() {
        let mut bytes = [37; 100];
        bytes[..2].fill(255);
        assert!(is_black(&plane(&bytes), false));
        assert!(!is_black(&plane(&bytes), true), "37 is more than a tenth of the full range");
        bytes[2] = 38;
        assert!(!is_black(&plane(&bytes), false));
    }

    #[test]
    fn ten_bits_are_the_same_in_another_unit() {
        let row: Vec<u8> = [151_u16, 151].iter().flat_map(|sample| sample.to_ne_bytes()).collect();
        let wide = Plane::new(&row, 4, 2, 1, 10).expect("it holds them");
        assert!(is_black(&wide, false));
    }

    #[test]
    fn a_slow_fade_does_not_stand_still() {
        let mut stillness = Stillness::default();
        let still = |stillness: &mut Stillness, value: u8, odd: u8| {
            let mut bytes = [value; 100];
            bytes[..usize::from(odd)].fill(value + 1);
            stillness.look(&Picture { planes: vec![plane(&bytes)] })
        };
        assert!(!still(&mut stillness, 10, 0));
        // 25 of 100 samples by one level: 0.98 thousandths. 26 are more than one thousandth.
        assert!(still(&mut stillness, 10, 25));
        assert!(!still(&mut stillness, 10, 26));
        assert!(still(&mut stillness, 10, 50), "of the picture that was kept last, 24 samples differ");
        assert!(!still(&mut stillness, 11, 0));
    }

    #[test]
    fn a_picture_of_another_size_is_another_one() {
        let mut stillness = Stillness::default();
        assert!(!stillness.look(&Picture { planes: vec![plane(&[9; 100])] }));
        assert!(!stillness.look(&Picture { planes: vec![plane(&[9; 90])] }));
        assert!(stillness.look(&Picture { planes: vec![plane(&[9; 90])] }));
    }
}
