//! A first look at an MP4 file of somebody else: do its top-level boxes fit into it?
//!
//! Demuxers answer a truncated upload, or a box that claims 2 GiB in a file of a few KiB, with whatever error
//! they happen to run into. This walk says what is wrong, before any of them is started. It is a state
//! machine without I/O: it names the bytes that it wants, the caller fetches them from wherever the file
//! lies. It reads 16 bytes a box, allocates nothing, and ends after [`BOXES_MAX`] boxes whatever the file says.
//!
//! It never looks into a box ([`crate::movie::check_nesting`] does), so it does not replace a demuxer's own checks.

use std::fmt;

use thiserror::Error;

/// Bytes that are read of each box: size, type and 64-bit size.
pub const HEAD_SIZE_BYTES: u64 = 16;
/// The most boxes that are walked: 36 hours of fragments of 2 s. What follows is not looked at.
pub const BOXES_MAX: u32 = 1 << 17;

/// The part of a box's header that always exists: `size` and `type`.
const SHORT_HEADER_SIZE_BYTES: u64 = 8;
/// `size` that says "64 bits follow the type" (ISO/IEC 14496-12 section 4.2).
const SIZE_IS_LARGE: u32 = 1;
/// `size` that says "to the end of the file".
const SIZE_IS_REST: u32 = 0;

/// Types that a file of the ISO base media family (QuickTime included) begins with.
const FIRST_TYPES: [&[u8; 4]; 11] =
    [b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"pnot", b"sidx", b"uuid"];

/// The type of a box.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BoxType(pub [u8; 4]);

/// What the walk wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The bytes from `offset_bytes` on, as many as `length_bytes`; they lie within the file.
    Read {
        /// Where.
        offset_bytes: u64,
        /// How many, at most [`HEAD_SIZE_BYTES`].
        length_bytes: u64,
    },
    /// Nothing: the boxes fit into the file.
    Done(Layout),
}

/// The top level of a sound file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Boxes walked.
    pub boxes: u32,
    /// Offset of `moov`.
    pub moov_offset_bytes: u64,
    /// Length of `moov`, its header included: what one ranged read fetches for [`crate::movie`].
    pub moov_size_bytes: u64,
    /// Whether `moov` lies behind media data, so that the file cannot be read front to back.
    pub moov_last: bool,
    /// Whether there are movie fragments.
    pub fragmented: bool,
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BoxError {
    /// It does not begin like a file of this family.
    #[error("this is not an MP4 or QuickTime file: it begins with no known box")]
    NotIso,
    /// A box reaches beyond the end of the file.
    #[error(
        "box `{kind}` at offset {offset_bytes} declares {declared_bytes} bytes, but the file ends after \
         {file_size_bytes}: it is cut off or damaged"
    )]
    PastEnd {
        /// The box.
        kind: BoxType,
        /// Where it begins.
        offset_bytes: u64,
        /// Its length, by its own account.
        declared_bytes: u64,
        /// The length of the file.
        file_size_bytes: u64,
    },
    /// A box is smaller than its own header.
    #[error("box `{kind}` at offset {offset_bytes} declares {declared_bytes} bytes, less than its own header")]
    TooSmall {
        /// The box.
        kind: BoxType,
        /// Where it begins.
        offset_bytes: u64,
        /// Its length, by its own account.
        declared_bytes: u64,
    },
    /// A box reaches beyond the box that it lies in.
    #[error(
        "box `{kind}` at offset {offset_bytes} declares {declared_bytes} bytes, but {room_bytes} are left in its \
         `{parent}`: the file is damaged"
    )]
    PastParent {
        /// The box.
        kind: BoxType,
        /// Where it begins.
        offset_bytes: u64,
        /// Its length, by its own account.
        declared_bytes: u64,
        /// What it lies in.
        parent: BoxType,
        /// What is left of that.
        room_bytes: u64,
    },
    /// The file ends within the header of a box.
    #[error(
        "the file ends after {file_size_bytes} bytes, within the header of the box at offset {offset_bytes}: it is cut off"
    )]
    HeaderCut {
        /// Where the box begins.
        offset_bytes: u64,
        /// The length of the file.
        file_size_bytes: u64,
    },
    /// There is no `moov`, without which no sample can be found.
    #[error("the file has no `moov` box: its recording or upload was never completed")]
    NoMoov,
    /// The caller handed in fewer bytes than asked for.
    #[error("{given_bytes} bytes were read at offset {offset_bytes}, {wanted_bytes} are there")]
    ShortRead {
        /// Where.
        offset_bytes: u64,
        /// What was asked for.
        wanted_bytes: u64,
        /// What came.
        given_bytes: u64,
    },
}

/// The walk. See the module.
#[derive(Debug, Clone)]
pub struct BoxWalk {
    file_size_bytes: u64,
    offset_bytes: u64,
    boxes: u32,
    /// Offset and length.
    moov: Option<(u64, u64)>,
    moov_last: bool,
    mdat_seen: bool,
    fragmented: bool,
}

// === impl BoxWalk ===

impl BoxWalk {
    /// A walk over a file of this length.
    #[must_use]
    pub fn new(file_size_bytes: u64) -> Self {
        Self {
            file_size_bytes,
            offset_bytes: 0,
            boxes: 0,
            moov: None,
            moov_last: false,
            mdat_seen: false,
            fragmented: false,
        }
    }

    /// What is wanted now.
    ///
    /// # Errors
    /// [`BoxError`], if the file has ended too early.
    pub fn step(&self) -> Result<Step, BoxError> {
        let left_bytes = self.file_size_bytes - self.offset_bytes;
        if left_bytes == 0 || self.boxes == BOXES_MAX {
            return self.done();
        }
        if left_bytes < SHORT_HEADER_SIZE_BYTES {
            // Some writers pad with a few bytes; before anything playable it is a cut.
            return match (self.boxes, self.is_playable()) {
                (0, _) => Err(BoxError::NotIso),
                (_, true) => self.done(),
                (_, false) => {
                    let (offset_bytes, file_size_bytes) = (self.offset_bytes, self.file_size_bytes);
                    Err(BoxError::HeaderCut { offset_bytes, file_size_bytes })
                }
            };
        }
        Ok(Step::Read { offset_bytes: self.offset_bytes, length_bytes: left_bytes.min(HEAD_SIZE_BYTES) })
    }

    /// Takes the bytes that [`BoxWalk::step`] asked for (more do no harm) and says what is wanted next.
    ///
    /// # Errors
    /// [`BoxError`], if they show that the file cannot be whole.
    pub fn feed(&mut self, head: &[u8]) -> Result<Step, BoxError> {
        let Step::Read { offset_bytes, length_bytes } = self.step()? else {
            return self.step();
        };
        let given_bytes = head.len() as u64;
        let (Some(size), Some(kind)) = (field::<4>(head, 0), field::<4>(head, 4)) else {
            return Err(BoxError::ShortRead { offset_bytes, wanted_bytes: length_bytes, given_bytes });
        };
        if given_bytes < length_bytes {
            return Err(BoxError::ShortRead { offset_bytes, wanted_bytes: length_bytes, given_bytes });
        }
        if self.boxes == 0 && !FIRST_TYPES.contains(&&kind) {
            return Err(BoxError::NotIso);
        }
        if self.is_playable() && !kind.iter().all(|byte| matches!(byte, b' '..=b'~' | 0xa9)) {
            // Padding or a foreign trailer behind everything that matters.
            return self.done();
        }
        let kind = BoxType(kind);
        let left_bytes = self.file_size_bytes - offset_bytes;
        let (declared_bytes, header_bytes) = match u32::from_be_bytes(size) {
            SIZE_IS_REST => (left_bytes, SHORT_HEADER_SIZE_BYTES),
            SIZE_IS_LARGE => match field::<8>(head, 8) {
                Some(large) => (u64::from_be_bytes(large), HEAD_SIZE_BYTES),
                None => {
                    return Err(BoxError::HeaderCut { offset_bytes, file_size_bytes: self.file_size_bytes });
                }
            },
            short => (u64::from(short), SHORT_HEADER_SIZE_BYTES),
        };
        if declared_bytes < header_bytes {
            return Err(BoxError::TooSmall { kind, offset_bytes, declared_bytes });
        }
        if declared_bytes > left_bytes {
            return Err(BoxError::PastEnd {
                kind,
                offset_bytes,
                declared_bytes,
                file_size_bytes: self.file_size_bytes,
            });
        }
        match &kind.0 {
            b"moov" if self.moov.is_none() => {
                self.moov = Some((offset_bytes, declared_bytes));
                self.moov_last = self.mdat_seen;
            }
            b"mdat" => self.mdat_seen = true,
            b"moof" => self.fragmented = true,
            _ => {}
        }
        self.boxes += 1;
        self.offset_bytes += declared_bytes;
        self.step()
    }

    fn is_playable(&self) -> bool {
        self.moov.is_some() && self.mdat_seen
    }

    fn done(&self) -> Result<Step, BoxError> {
        match self.moov {
            Some((moov_offset_bytes, moov_size_bytes)) => Ok(Step::Done(Layout {
                boxes: self.boxes,
                moov_offset_bytes,
                moov_size_bytes,
                moov_last: self.moov_last,
                fragmented: self.fragmented,
            })),
            None if self.boxes == 0 => Err(BoxError::NotIso),
            None => Err(BoxError::NoMoov),
        }
    }
}

// === impl BoxType ===

impl fmt::Display for BoxType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for BoxType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BoxType({self})")
    }
}

fn field<const N: usize>(head: &[u8], at: usize) -> Option<[u8; N]> {
    head.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Walks a file in memory as a caller does.
    fn walk(file: &[u8]) -> Result<Layout, BoxError> {
        let mut walk = BoxWalk::new(file.len() as u64);
        let mut step = walk.step()?;
        let mut steps = 0;
        loop {
            match step {
                Step::Done(layout) => return Ok(layout),
                Step::Read { offset_bytes, length_bytes } => {
                    let start = usize::try_from(offset_bytes).unwrap();
                    step = walk.feed(&file[start..start + usize::try_from(length_bytes).unwrap()])?;
                }
            }
            steps += 1;
            assert!(steps <= file.len() / 8 + 1, "the walk does not advance");
        }
    }

    fn short(kind: &[u8; 4], size: u32, body: usize) -> Vec<u8> {
        [size.to_be_bytes().as_slice(), kind, &vec![0; body]].concat()
    }

    #[test]
    fn describes_a_sound_file() {
        let front = [short(b"ftyp", 16, 8), short(b"moov", 108, 100), short(b"mdat", 0, 50)].concat();
        let layout =
            Layout { boxes: 3, moov_offset_bytes: 16, moov_size_bytes: 108, moov_last: false, fragmented: false };
        assert_eq!(walk(&front), Ok(layout));

        let large = [&short(b"mdat", 1, 0)[..], &32_u64.to_be_bytes(), &[0; 16]].concat();
        let back = [short(b"ftyp", 8, 0), large, short(b"moov", 8, 0), vec![0; 5]].concat();
        let layout = Layout { boxes: 3, moov_offset_bytes: 40, moov_size_bytes: 8, moov_last: true, fragmented: false };
        assert_eq!(walk(&back), Ok(layout));
    }

    #[test]
    fn names_the_box_that_lies_about_its_size() {
        let file = [short(b"ftyp", 16, 8), short(b"moov", 16, 8), short(b"mdat", 1 << 31, 100)].concat();
        let error = walk(&file).unwrap_err();
        assert_eq!(
            error.to_string(),
            "box `mdat` at offset 32 declares 2147483648 bytes, but the file ends after 140: it is cut off or damaged"
        );
        let huge = [&short(b"ftyp", 8, 0)[..], &short(b"mdat", 1, 0), &u64::MAX.to_be_bytes()].concat();
        assert!(matches!(walk(&huge), Err(BoxError::PastEnd { declared_bytes: u64::MAX, .. })));
    }

    #[test]
    fn tells_a_cut_file_from_a_foreign_one() {
        assert_eq!(walk(b""), Err(BoxError::NotIso));
        assert_eq!(walk(b"tiny"), Err(BoxError::NotIso));
        assert_eq!(walk(b"\x1a\x45\xdf\xa3 matroska, say"), Err(BoxError::NotIso));
        assert_eq!(walk(&[short(b"ftyp", 8, 0), short(b"mdat", 0, 9)].concat()), Err(BoxError::NoMoov));
        let header = [short(b"ftyp", 8, 0), vec![0, 0, 0]].concat();
        assert_eq!(walk(&header), Err(BoxError::HeaderCut { offset_bytes: 8, file_size_bytes: 11 }));
        let large = [short(b"ftyp", 8, 0), short(b"mdat", 1, 4)].concat();
        assert_eq!(walk(&large), Err(BoxError::HeaderCut { offset_bytes: 8, file_size_bytes: 20 }));
        let small = [short(b"ftyp", 8, 0), short(b"mdat", 7, 20)].concat();
        assert!(matches!(walk(&small), Err(BoxError::TooSmall { declared_bytes: 7, .. })));
    }

    #[test]
    fn stops_at_padding_behind_a_whole_file() {
        let file = [short(b"ftyp", 8, 0), short(b"moov", 8, 0), short(b"mdat", 12, 4), vec![0xff; 64]].concat();
        assert_eq!(walk(&file).map(|layout| layout.boxes), Ok(3));
    }

    #[test]
    fn ends_after_its_bound_and_refuses_short_reads() {
        let mut walk = BoxWalk::new(u64::MAX);
        assert!(matches!(walk.feed(&[0; 3]), Err(BoxError::ShortRead { given_bytes: 3, .. })));
        let mut step = walk.feed(&[short(b"moov", 16, 8)].concat());
        let mut steps = 1;
        while let Ok(Step::Read { .. }) = step {
            step = walk.feed(&short(b"free", 16, 8));
            steps += 1;
        }
        assert!(matches!(step, Ok(Step::Done(Layout { boxes: BOXES_MAX, .. }))));
        assert_eq!(steps, BOXES_MAX);
    }

    proptest! {
        #[test]
        fn survives_any_bytes(file in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = walk(&file);
        }

        #[test]
        fn survives_any_boxes(
            boxes in prop::collection::vec((0_usize..FIRST_TYPES.len(), prop_oneof![0_u32..64, any::<u32>()], 0_usize..48), 1..12),
            cut in 0_usize..600,
        ) {
            let mut file: Vec<u8> = boxes.iter().flat_map(|&(kind, size, body)| short(FIRST_TYPES[kind], size, body)).collect();
            file.truncate(cut);
            let _ = walk(&file);
        }
    }
}
