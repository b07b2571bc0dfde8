//! One plane of a picture, as decoders leave it: rows of samples with padding between them.

/// A plane. Samples of more than 8 bits lie in two bytes each, in the machine's order.
#[derive(Debug, Clone, Copy)]
pub struct Plane<'a> {
    bytes: &'a [u8],
    stride_bytes: usize,
    width: usize,
    height: usize,
    bits: u8,
}

/// The planes of a picture, luma first.
#[derive(Debug, Clone)]
pub struct Picture<'a> {
    /// At least one.
    pub planes: Vec<Plane<'a>>,
}

// === impl Plane ===

impl<'a> Plane<'a> {
    /// A plane of `width` x `height` samples of `bits` each; `None` if `bytes` does not hold them, or there are none.
    #[must_use]
    pub fn new(bytes: &'a [u8], stride_bytes: usize, width: usize, height: usize, bits: u8) -> Option<Self> {
        let plane = Self { bytes, stride_bytes, width, height, bits };
        let needed = stride_bytes.checked_mul(height.checked_sub(1)?)?.checked_add(plane.row_bytes())?;
        let holds = width > 0 && plane.row_bytes() <= stride_bytes && needed <= bytes.len();
        (holds && (8..=16).contains(&bits)).then_some(plane)
    }

    /// Samples in a row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    #[must_use]
    pub fn height(&self) -> usize {
        self.height
    }

    /// Bits of a sample.
    #[must_use]
    pub fn bits(&self) -> u8 {
        self.bits
    }

    /// The largest value of a sample.
    #[must_use]
    pub fn max(&self) -> u32 {
        (1 << self.bits) - 1
    }

    /// Whether a sample takes one byte.
    #[must_use]
    pub fn is_narrow(&self) -> bool {
        self.bits == 8
    }

    /// The bytes of a row's samples.
    #[must_use]
    pub fn row(&self, y: usize) -> &'a [u8] {
        &self.bytes[y * self.stride_bytes..][..self.row_bytes()]
    }

    /// Appends all samples, row by row.
    pub(crate) fn read(&self, samples: &mut Vec<i32>) {
        for y in 0..self.height {
            let row = self.row(y);
            if self.is_narrow() {
                samples.extend(row.iter().map(|&sample| i32::from(sample)));
            } else {
                samples.extend(wide(row).map(i32::from));
            }
        }
    }

    fn row_bytes(&self) -> usize {
        self.width * if self.is_narrow() { 1 } else { 2 }
    }
}

/// The samples of a row that takes two bytes a sample.
pub(crate) fn wide(row: &[u8]) -> impl Iterator<Item = u16> + '_ {
    row.chunks_exact(2).map(|pair| u16::from_ne_bytes([pair[0], pair[1]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_holds_its_rows_or_is_none() {
        assert!(Plane::new(&[0; 20], 8, 4, 3, 8).is_some());
        assert!(Plane::new(&[0; 19], 8, 4, 3, 8).is_none());
        assert!(Plane::new(&[0; 24], 8, 5, 3, 10).is_none());
        assert!(Plane::new(&[0; 24], 8, 4, 0, 8).is_none());
        assert_eq!(wide(&[1, 2, 3, 4]).count(), 2);
    }
}
