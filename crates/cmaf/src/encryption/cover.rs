//! Which octets of a sample are encrypted with `cbcs` (ISO/IEC 23001-7 sections 9.5 to 9.7): pure, from the sample's NAL units.
//!
//! Of pictures, what follows the slice header of each coded slice. To find its end takes a parser of parameter sets and slice
//! headers for each codec; instead, a slice header is taken to end within [`LEAD_BYTES`] of its NAL unit, and what lies in them
//! stays in the clear. So a decoder that needs the header finds it, and of every tenth block of a slice no more than the first
//! few are lost.

use super::{BLOCK_BYTES, EncryptionError, unknown};
use crate::samples::CodecConfig;

/// Octets of a coded slice that stay in the clear at its beginning, its NAL header among them.
pub(super) const LEAD_BYTES: usize = 64;
/// The pattern of pictures: of ten blocks the first one.
pub(super) const CRYPT_BLOCKS: usize = 1;
pub(super) const SKIP_BLOCKS: usize = 9;
/// `BytesOfClearData` has 16 bits.
const CLEAR_MAX_BYTES: usize = 0xffff;
/// What `saiz` can say of a sample's subsamples: 8 bits, of which two octets count them and each takes six.
const SUBSAMPLES_MAX: usize = 42;
/// Slices of a picture beyond these stay in the clear, so that what is clear can be said, too.
const COVERED_MAX: usize = 21;

/// How samples of a codec are covered.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cover {
    /// Coded slices, in a pattern.
    Slices {
        /// Octets of the length in front of each NAL unit, 1 to 4.
        length_size_bytes: usize,
        /// Whether the unit that begins so is a coded slice.
        is_slice: fn(u8) -> bool,
    },
    /// All whole blocks of each sample.
    Whole,
}

/// A part of a sample: clear octets, then protected ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Subsample {
    pub(super) clear_bytes: usize,
    pub(super) protected_bytes: usize,
}

// === impl Cover ===

impl Cover {
    pub(super) fn of(codec: &CodecConfig) -> Result<Self, EncryptionError> {
        match codec {
            // `lengthSizeMinusOne` (ISO/IEC 14496-15 sections 5.3.3.1 and 8.3.3.1).
            CodecConfig::Avc(avcc) if avcc.len() > 4 => Ok(Self::Slices {
                length_size_bytes: usize::from(avcc[4] & 0b11) + 1,
                is_slice: |first| matches!(first & 0x1f, 1..=5),
            }),
            CodecConfig::Hevc(hvcc) if hvcc.len() > 21 => Ok(Self::Slices {
                length_size_bytes: usize::from(hvcc[21] & 0b11) + 1,
                is_slice: |first| first >> 1 & 0x3f < 32,
            }),
            CodecConfig::Aac(_) | CodecConfig::Ac3(_) | CodecConfig::Eac3(_) | CodecConfig::Opus(_) => Ok(Self::Whole),
            CodecConfig::Avc(_) | CodecConfig::Hevc(_) | CodecConfig::Other(_) => Err(unknown(codec)),
        }
    }

    /// The parts of a sample, which is `number` in its segment; none where all of it is one.
    pub(super) fn subsamples(&self, sample: &[u8], number: usize) -> Result<Vec<Subsample>, EncryptionError> {
        let Self::Slices { length_size_bytes, is_slice } = self else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        let mut clear_bytes = 0;
        let mut rest = sample;
        while !rest.is_empty() {
            let broken = EncryptionError::Sample { number };
            let (length, behind) = rest.split_at_checked(*length_size_bytes).ok_or(broken)?;
            let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            let (unit, behind) = behind.split_at_checked(length).ok_or(EncryptionError::Sample { number })?;
            clear_bytes += length_size_bytes;
            let is_covered = unit.first().is_some_and(|first| is_slice(*first))
                && unit.len() >= LEAD_BYTES + BLOCK_BYTES
                && found.len() < COVERED_MAX;
            if is_covered {
                clear_bytes += LEAD_BYTES;
                push_clear(&mut found, &mut clear_bytes);
                found.push(Subsample { clear_bytes, protected_bytes: unit.len() - LEAD_BYTES });
                clear_bytes = 0;
            } else {
                clear_bytes += unit.len();
            }
            rest = behind;
        }
        push_clear(&mut found, &mut clear_bytes);
        if clear_bytes > 0 {
            found.push(Subsample { clear_bytes, protected_bytes: 0 });
        }
        if found.len() > SUBSAMPLES_MAX {
            // More than a megabyte in the clear beside many slices: no encoder makes that.
            return Err(EncryptionError::TooLarge);
        }
        Ok(found)
    }
}

/// Turns clear octets into parts without protected ones until the rest can be said in one.
fn push_clear(found: &mut Vec<Subsample>, clear_bytes: &mut usize) {
    while *clear_bytes > CLEAR_MAX_BYTES {
        found.push(Subsample { clear_bytes: CLEAR_MAX_BYTES, protected_bytes: 0 });
        *clear_bytes -= CLEAR_MAX_BYTES;
    }
}
