//! Memory that a disk takes as it is.
//!
//! A direct write (`O_DIRECT`, open(2)) spares the copy into the page cache and the work of writing it back from there, if
//! memory, offset and length lie on borders of blocks. Whoever gathers a part in such memory has it stored that way by the
//! embedded server. Nothing depends on it: other memory is stored by way of the page cache, and other stores do not care.

use bytes::BytesMut;

/// Where memory, offsets and lengths of direct writes may begin and end. Disks ask for 512 or 4,096 bytes; where a file
/// system wants more, it refuses the write and the page cache takes the bytes.
pub(crate) const BLOCK_BYTES: usize = 4096;

/// An empty buffer for `capacity_bytes`, whose memory begins on a border of blocks as long as it does not have to grow.
#[must_use]
pub fn aligned_buffer(capacity_bytes: usize) -> BytesMut {
    let mut buffer = BytesMut::with_capacity(capacity_bytes + BLOCK_BYTES);
    let before_border = buffer.as_ptr().align_offset(BLOCK_BYTES).min(BLOCK_BYTES);
    buffer.resize(before_border, 0);
    bytes::Buf::advance(&mut buffer, before_border);
    buffer
}

/// How much of `bytes`, from its beginning, consists of whole blocks in memory; nothing of it if it begins inside one.
pub(crate) fn whole_blocks(bytes: &[u8]) -> &[u8] {
    let is_on_border = bytes.as_ptr().addr().is_multiple_of(BLOCK_BYTES);
    if is_on_border { &bytes[..bytes.len() / BLOCK_BYTES * BLOCK_BYTES] } else { &[] }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_filled_buffer_consists_of_whole_blocks(size_bytes in 0_usize..200_000, cut_bytes in 1_usize..BLOCK_BYTES) {
            let mut buffer = aligned_buffer(size_bytes);
            prop_assert!(buffer.is_empty());
            prop_assert!(buffer.capacity() >= size_bytes);
            buffer.resize(size_bytes, 7);
            let full = buffer.freeze();
            let blocks = whole_blocks(&full);
            prop_assert!(full.len() - blocks.len() < BLOCK_BYTES);
            prop_assert_eq!(blocks.len() % BLOCK_BYTES, 0);
            prop_assert!(size_bytes <= cut_bytes || whole_blocks(&full[cut_bytes..]).is_empty());
            // The memory is as good the second time.
            let mut again = full.try_into_mut().unwrap();
            again.clear();
            again.resize(size_bytes, 8);
            prop_assert_eq!(whole_blocks(&again).len(), size_bytes / BLOCK_BYTES * BLOCK_BYTES);
        }
    }
}
