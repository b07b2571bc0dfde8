//! Where the bytes of one body are: in memory, or in a file that the kernel sends by itself.
//!
//! Small bodies are worth a copy in memory, because head and body then leave in one `writev`. Larger ones stay in a file
//! (of the disk tier, or an anonymous one in memory) and go out by `sendfile`, however many viewers there are; a viewer
//! who is slow holds nothing but a place in the file.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::MemfdFlags;

use crate::room::Held;

/// Bodies up to this size are copied into memory once they are complete. Measured: at 32 KB a `writev` costs less than
/// `sendfile`, at 128 KB more than twice as much (docs/decisions/0007).
pub(crate) const SMALL_MAX_BYTES: u64 = 32 << 10;

/// The bytes of a body.
#[derive(Debug, Clone)]
pub(crate) enum Medium {
    Memory(Bytes),
    /// From offset 0; the file may hold more behind the body.
    File(Arc<BodyFile>),
}

/// A file with the bytes of a body, and the room that it takes until its last reader lets go, unless what is kept counts it.
#[derive(Debug)]
pub(crate) struct BodyFile {
    file: File,
    held: Option<Held>,
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

// === impl BodyFile ===

impl BodyFile {
    /// One that takes what is `held`.
    pub(crate) fn holding(file: File, held: Held) -> Self {
        Self { file, held: Some(held) }
    }

    /// One that a quota of what is kept counts.
    pub(crate) fn counted(file: File) -> Self {
        Self { file, held: None }
    }

    pub(crate) fn held(&self) -> Option<&Held> {
        self.held.as_ref()
    }

    /// It takes no more than `bytes` from now on; with 0 a quota of what is kept counts it.
    pub(crate) fn holds_only(&self, bytes: u64) {
        if let Some(held) = &self.held {
            held.shrink_to(bytes);
        }
    }
}

impl Deref for BodyFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

// === impl Medium ===

impl Medium {
    /// What is sent of a complete file of `length` bytes: a copy if it is small.
    pub(crate) fn settled(file: Arc<BodyFile>, length: u64) -> io::Result<Self> {
        match usize::try_from(length) {
            Ok(small) if length <= SMALL_MAX_BYTES => Ok(Self::Memory(read(&file, 0, small)?)),
            _ => Ok(Self::File(file)),
        }
    }
}
