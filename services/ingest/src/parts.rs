//! How an upload is cut into parts: pure arithmetic within the limits of S3 multipart uploads.

/// The most parts of a multipart upload (Amazon S3 user guide, "multipart upload limits").
pub const PARTS_MAX: u32 = 10_000;
/// The smallest part, the last one excepted (ibid.).
pub const PART_MIN_BYTES: u64 = 5 << 20;

/// Parts that an upload holds in memory: one that fills, and those on their way to the store. With one on its way, the
/// wait for its fsync would be idle time of the client's connection.
pub const PARTS_HELD: usize = 3;

/// Sizes are rounded up to this, so that part sizes stay readable and few.
const GRAIN_BYTES: u64 = 1 << 20;

/// The size of every part but the last, for an upload of at most `length_bytes`.
///
/// It is `base_bytes` until an upload needs more than [`PARTS_MAX`] of them. All parts of an upload have one size,
/// because some stores insist on it.
#[must_use]
pub fn part_bytes(base_bytes: u64, length_bytes: u64) -> u64 {
    let needed = length_bytes.div_ceil(u64::from(PARTS_MAX));
    if needed <= base_bytes { base_bytes } else { needed.next_multiple_of(GRAIN_BYTES) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_length_fits_into_the_parts_there_are(base in PART_MIN_BYTES..1 << 27, length in 0_u64..1 << 50) {
            let part = part_bytes(base, length);
            prop_assert!(part >= base);
            prop_assert!(length.div_ceil(part) <= u64::from(PARTS_MAX));
            // No larger than needed.
            prop_assert!(part == base || (part - GRAIN_BYTES) * u64::from(PARTS_MAX) < length);
        }
    }
}
