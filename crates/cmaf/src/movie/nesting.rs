//! Do the boxes of a movie fit into each other?
//!
//! Demuxers pass over a track one of whose boxes lies about its size, and what is left looks like a whole file without
//! pictures or without sound. So the boxes that hold the tables of a track are looked at first; what may hold anything
//! (user data, metadata, sample entries) is not.

use super::atoms::{array_at, u32_at, u64_at};
use crate::boxes::{BoxError, BoxType};

/// Boxes that hold nothing but boxes, and that no writer pads.
const CONTAINERS: [&[u8; 4]; 6] = [b"trak", b"edts", b"mdia", b"minf", b"dinf", b"stbl"];
/// `size` and `type`, and a 64-bit size.
const HEADER_BYTES: usize = 8;
const LARGE_HEADER_BYTES: usize = 16;

/// Looks at a whole `moov` with its header, which lies at `moov_offset_bytes` of the file.
///
/// # Errors
/// [`BoxError::PastParent`] or [`BoxError::TooSmall`]: the first box that does not fit.
pub fn check_nesting(moov: &[u8], moov_offset_bytes: u64) -> Result<(), BoxError> {
    let header = if u32_at(moov, 0) == Some(1) { LARGE_HEADER_BYTES } else { HEADER_BYTES };
    // What is still to be looked at: the parent, and where its boxes lie. Parents hold each other five deep at most in a
    // sound file, and whatever a file says each of its bytes is in here once.
    let mut parents = vec![(*b"moov", header, moov.len())];
    while let Some((parent, mut at, end)) = parents.pop() {
        // Less than a header is padding.
        while end.saturating_sub(at) >= HEADER_BYTES {
            let (Some(size), Some(kind)) = (u32_at(moov, at), array_at::<4>(moov, at + 4)) else { break };
            let room_bytes = (end - at) as u64;
            let (declared_bytes, header) = match size {
                // To the end of its parent; also the zeros that QuickTime closes lists with.
                0 => (room_bytes, HEADER_BYTES),
                1 => (u64_at(moov, at + HEADER_BYTES).unwrap_or(u64::MAX), LARGE_HEADER_BYTES),
                size => (size.into(), HEADER_BYTES),
            };
            let (offset_bytes, kind_of) = (moov_offset_bytes + at as u64, BoxType(kind));
            if declared_bytes < header as u64 {
                return Err(BoxError::TooSmall { kind: kind_of, offset_bytes, declared_bytes });
            }
            if declared_bytes > room_bytes {
                let parent = BoxType(parent);
                return Err(BoxError::PastParent { kind: kind_of, offset_bytes, declared_bytes, parent, room_bytes });
            }
            let next = at + usize::try_from(declared_bytes).expect("it fits into what is in memory");
            if CONTAINERS.contains(&&kind) && kind != parent {
                parents.push((kind, at + header, next));
            }
            at = next;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let size = u32::try_from(body.len() + 8).unwrap();
        [size.to_be_bytes().as_slice(), kind, body].concat()
    }

    fn movie() -> Vec<u8> {
        let stbl = [boxed(b"stsd", &[0; 8]), boxed(b"stsz", &[0; 12]), boxed(b"stco", &[0; 8])].concat();
        let minf = [boxed(b"vmhd", &[0; 12]), boxed(b"stbl", &stbl)].concat();
        let mdia = [boxed(b"mdhd", &[0; 24]), boxed(b"minf", &minf)].concat();
        let trak = boxed(b"trak", &[boxed(b"tkhd", &[0; 84]), boxed(b"mdia", &mdia)].concat());
        // User data that ends with four zeros, as QuickTime writes it.
        boxed(b"moov", &[boxed(b"mvhd", &[0; 100]), trak.clone(), trak, boxed(b"udta", &[0; 4])].concat())
    }

    #[test]
    fn each_box_that_lies_is_named() {
        let sound = movie();
        assert_eq!(check_nesting(&sound, 40), Ok(()));
        for kind in [b"trak", b"tkhd", b"mdia", b"mdhd", b"minf", b"vmhd", b"stbl", b"stsd", b"stsz", b"stco", b"mvhd"]
        {
            let at = sound.windows(4).position(|window| window == kind).unwrap() - 4;
            let lie = |size: u32| {
                let mut lie = sound.clone();
                lie[at..at + 4].copy_from_slice(&size.to_be_bytes());
                check_nesting(&lie, 40).unwrap_err()
            };
            let error = lie(1 << 31);
            let BoxError::PastParent { kind: named, offset_bytes, declared_bytes, .. } = error else {
                panic!("{error}")
            };
            assert_eq!((named, offset_bytes, declared_bytes), (BoxType(*kind), 40 + at as u64, 1 << 31));
            assert!(matches!(lie(7), BoxError::TooSmall { .. }), "{}", lie(7));
        }
    }

    #[test]
    fn padding_is_no_lie() {
        let trak = boxed(b"trak", &[boxed(b"tkhd", &[0; 84]), vec![0; 7]].concat());
        assert_eq!(check_nesting(&boxed(b"moov", &[trak, vec![0; 12]].concat()), 0), Ok(()));
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..300), offset in any::<u32>()) {
            let _ = check_nesting(&bytes, offset.into());
        }
    }
}
