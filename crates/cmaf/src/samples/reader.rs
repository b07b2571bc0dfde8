//! Boxes and their fields, borrowed from the bytes that hold them. Nothing is copied, no count is believed.

use super::SamplesError;
use crate::boxes::BoxType;

/// `size` and `type` of a box.
const HEADER_SIZE_BYTES: usize = 8;
/// The same with a 64-bit size.
const LARGE_HEADER_SIZE_BYTES: usize = 16;
/// `version` and `flags` of a full box.
const VERSION_FLAGS_MASK: u32 = 0x00ff_ffff;

/// A box that lies wholly within the bytes that it was found in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found<'a> {
    pub(crate) kind: [u8; 4],
    /// What follows its header.
    pub(crate) body: &'a [u8],
    /// Where its header begins, within the bytes that it was found in.
    pub(crate) start: usize,
    /// Where its body begins.
    pub(crate) body_start: usize,
}

/// The boxes that follow each other in `bytes`. Ends at the first that does not fit.
pub(crate) struct Boxes<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// The fields of a box, one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a> {
    kind: [u8; 4],
    rest: &'a [u8],
}

pub(crate) fn boxes(bytes: &[u8]) -> Boxes<'_> {
    Boxes { bytes, at: 0 }
}

/// The first box of type `kind` in `bytes`.
pub(crate) fn find<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Result<Option<Found<'a>>, SamplesError> {
    for found in boxes(bytes) {
        let found = found?;
        if found.kind == *kind {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The same where it must be there.
pub(crate) fn child<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Result<Found<'a>, SamplesError> {
    find(bytes, kind)?.ok_or(SamplesError::Missing { kind: BoxType(*kind) })
}

// === impl Found ===

impl<'a> Found<'a> {
    pub(crate) fn fields(&self) -> Fields<'a> {
        Fields { kind: self.kind, rest: self.body }
    }
}

// === impl Boxes ===

impl<'a> Iterator for Boxes<'a> {
    type Item = Result<Found<'a>, SamplesError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let found = self.read();
        self.at = match &found {
            Ok(found) => found.body_start + found.body.len(),
            Err(_) => self.bytes.len(),
        };
        Some(found)
    }
}

impl<'a> Boxes<'a> {
    fn read(&self) -> Result<Found<'a>, SamplesError> {
        let rest = &self.bytes[self.at..];
        let (Some((size, _)), Some(kind)) = (rest.split_first_chunk::<4>(), rest.get(4..8)) else {
            return Err(SamplesError::CutOff { kind: BoxType(*b"    "), offset_bytes: self.at });
        };
        let kind: [u8; 4] = kind.try_into().expect("four bytes");
        let cut_off = SamplesError::CutOff { kind: BoxType(kind), offset_bytes: self.at };
        let (size, header) = match u32::from_be_bytes(*size) {
            0 => (rest.len(), HEADER_SIZE_BYTES),
            1 => match rest.get(8..).and_then(<[u8]>::first_chunk::<8>) {
                Some(large) => {
                    (usize::try_from(u64::from_be_bytes(*large)).unwrap_or(usize::MAX), LARGE_HEADER_SIZE_BYTES)
                }
                None => return Err(cut_off),
            },
            size => (usize::try_from(size).unwrap_or(usize::MAX), HEADER_SIZE_BYTES),
        };
        // A size below the header's makes no range either.
        let body = rest.get(header..size).ok_or(cut_off)?;
        Ok(Found { kind, body, start: self.at, body_start: self.at + header })
    }
}

// === impl Fields ===

impl<'a> Fields<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], SamplesError> {
        let (taken, rest) =
            self.rest.split_at_checked(count).ok_or(SamplesError::Damaged { kind: BoxType(self.kind) })?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn skip(&mut self, count: usize) -> Result<(), SamplesError> {
        self.take(count).map(|_| ())
    }

    pub(crate) fn u8(&mut self) -> Result<u8, SamplesError> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, SamplesError> {
        Ok(u16::from_be_bytes(self.take(2)?.try_into().expect("two bytes")))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, SamplesError> {
        Ok(u32::from_be_bytes(self.take(4)?.try_into().expect("four bytes")))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, SamplesError> {
        Ok(u64::from_be_bytes(self.take(8)?.try_into().expect("eight bytes")))
    }

    /// 64 bits in version 1 of a box, 32 in version 0.
    pub(crate) fn wide(&mut self, version: u8) -> Result<u64, SamplesError> {
        if version == 0 { self.u32().map(u64::from) } else { self.u64() }
    }

    /// `version` and `flags` of a full box.
    pub(crate) fn version_flags(&mut self) -> Result<(u8, u32), SamplesError> {
        let both = self.u32()?;
        Ok((both.to_be_bytes()[0], both & VERSION_FLAGS_MASK))
    }

    /// The next `count` bytes as fields of their own.
    pub(crate) fn within(&mut self, count: usize) -> Result<Self, SamplesError> {
        Ok(Self { kind: self.kind, rest: self.take(count)? })
    }

    /// What has not been read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }
}
