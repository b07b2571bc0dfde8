//! Boxes inside a `moov`: finding them and reading numbers, without copying and without trust.

use bytes::Bytes;

/// `size` and `type`.
const HEADER_SIZE_BYTES: usize = 8;
/// `size`, `type` and a 64-bit size.
const LARGE_HEADER_SIZE_BYTES: usize = 16;

/// The most boxes that are looked at in one box, so that a `moov` full of empty ones takes no time.
pub(crate) const ATOMS_MAX: usize = 4096;

/// A box.
#[derive(Debug, Clone)]
pub(crate) struct Atom {
    pub(crate) kind: [u8; 4],
    /// What follows the header.
    pub(crate) body: Bytes,
}

/// The boxes that lie one after the other in `rest`, [`ATOMS_MAX`] at most. It ends at the first that does not fit; so it
/// ends also at the four zero bytes that QuickTime closes some lists with.
#[derive(Debug, Clone)]
pub(crate) struct Atoms {
    rest: Bytes,
    left: usize,
}

// === impl Atoms ===

impl Atoms {
    pub(crate) fn of(body: &Bytes) -> Self {
        Self { rest: body.clone(), left: ATOMS_MAX }
    }

    /// What was not read as a box.
    pub(crate) fn rest(&self) -> &Bytes {
        &self.rest
    }
}

impl Iterator for Atoms {
    type Item = Atom;

    fn next(&mut self) -> Option<Atom> {
        self.left = self.left.checked_sub(1)?;
        let size = match u32_at(&self.rest, 0)? {
            0 => self.rest.len(),
            1 => usize::try_from(u64_at(&self.rest, HEADER_SIZE_BYTES)?).ok()?,
            size => usize::try_from(size).ok()?,
        };
        let header_size = if u32_at(&self.rest, 0)? == 1 { LARGE_HEADER_SIZE_BYTES } else { HEADER_SIZE_BYTES };
        let kind = array_at(&self.rest, 4)?;
        if size < header_size || size > self.rest.len() || kind == [0; 4] {
            return None;
        }
        let whole = self.rest.split_to(size);
        Some(Atom { kind, body: whole.slice(header_size..) })
    }
}

/// The body of the first box of this type.
pub(crate) fn find(body: &Bytes, kind: &[u8; 4]) -> Option<Bytes> {
    Atoms::of(body).find(|atom| &atom.kind == kind).map(|atom| atom.body)
}

/// The same, as what is told to people where it is missing.
pub(crate) fn need(body: &Bytes, kind: &[u8; 4]) -> Result<Bytes, String> {
    find(body, kind).ok_or_else(|| format!("it has no whole `{}` box", kind.escape_ascii()))
}

#[inline]
pub(crate) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[inline]
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_be_bytes)
}

#[inline]
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_be_bytes)
}

#[inline]
pub(crate) fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    array_at(bytes, at).map(i32::from_be_bytes)
}

#[inline]
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array_at(bytes, at).map(u64::from_be_bytes)
}
