//! Where the bytes of one body are: in memory, or in a file that the kernel sends by itself.
//!
//! Small bodies are worth a copy in memory, because head and body then leave in one `writev`. Larger ones stay in a file
//! (of the disk tier, or an anonymous one in memory) and go out by `sendfile`, however many viewers there are; a viewer
//! who is slow holds nothing but a place in the file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::MemfdFlags;

/// Bodies up to this size are copied into memory once they are complete. Measured: at 32 KB a `writev` costs less than
/// `sendfile`, at 128 KB more than twice as much (docs/decisions/0007).
pub(crate) const SMALL_MAX_BYTES: u64 = 32 << 10;

/// The bytes of a body.
#[derive(Debug, Clone)]
pub(crate) enum Medium {
    Memory(Bytes),
    /// From offset 0; the file may hold more behind the body.
    File(Arc<File>),
}

/// An anonymous file in memory.
pub(crate) fn anonymous() -> io::Result<File> {
    Ok(File::from(rustix::fs::memfd_create("flame-vcdn", MemfdFlags::CLOEXEC)?))
}

/// `length` bytes of `file` from `offset` on, all of them.
pub(crate) fn read(file: &File, offset: u64, length: usize) -> io::Result<Bytes> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes.into())
}

// === impl Medium ===

impl Medium {
    /// What is sent of a complete file of `length` bytes: a copy if it is small.
    pub(crate) fn settled(file: Arc<File>, length: u64) -> io::Result<Self> {
        match usize::try_from(length) {
            Ok(small) if length <= SMALL_MAX_BYTES => Ok(Self::Memory(read(&file, 0, small)?)),
            _ => Ok(Self::File(file)),
        }
    }
}
