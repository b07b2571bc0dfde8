//! Data files: written once, hashed on the way, synced, and removed again unless something came to name them.

use std::fs::File;
use std::io::{self, IoSlice, Read, Seek, SeekFrom, Write};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use md5::{Digest, Md5};
use rustix::fs::{Advice, OFlags, fadvise, fcntl_getfl, fcntl_setfl};
use s3s::checksum::ChecksumHasher;
use s3s::crypto::Checksum as _;
use s3s::dto::Checksum;

use super::error::{AtPath, Result};
use super::folder::{Folder, sync_dir};
use super::intents::{Intent, Place};
use super::manifest::{Extent, FileId, Piece};
use crate::aligned::{BLOCK_BYTES, whole_blocks};

/// Bytes after which the system is told to begin writing.
const WRITEBACK_BYTES: u64 = 8 * 1024 * 1024;
/// From this size on bytes go to the disk directly, where their memory allows it: below it the wait for the disk costs more
/// than the page cache.
const DIRECT_BYTES: usize = 1024 * 1024;

/// Data files that nothing names yet. Dropped without [`Pending::keep`], they are removed.
#[derive(Debug)]
pub(crate) struct Pending {
    folder: Arc<Folder>,
    files: Vec<FileId>,
    intent: Option<Intent>,
}

/// A data file being written.
pub(crate) struct DataWriter {
    pending: Pending,
    id: FileId,
    path: PathBuf,
    file: File,
    size_bytes: u64,
    /// Up to here the system has been told to write to the disk.
    started_bytes: u64,
}

/// What the ETag of the written bytes is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EtagKind {
    /// MD5 in hex: what clients expect of an object written by one request.
    Md5,
    /// CRC-64/NVME and size, in hex. MD5 takes a third of the time of a large upload, and no client may expect it of a
    /// part: the hyphen says that this is none.
    Crc64,
}

/// The digests of a data file being written. Apart from the writer, so that both work at the same time.
pub(crate) struct Digests {
    kind: EtagKind,
    md5: Option<Md5>,
    checksums: ChecksumHasher,
}

/// A complete data file, on disk, still unnamed.
pub(crate) struct Written {
    pub pending: Pending,
    pub extent: Extent,
    /// Without quotes.
    pub etag: String,
    /// If it was asked for.
    pub md5: Option<[u8; 16]>,
    pub checksums: Checksum,
}

// === impl Pending ===

impl Pending {
    /// Notes the new files before the first of them exists.
    pub(crate) fn open(folder: &Arc<Folder>, place: Place, files: Vec<FileId>) -> Result<Self> {
        let intent = Some(Intent::open(folder, place, files.clone())?);
        Ok(Self { folder: Arc::clone(folder), files, intent })
    }

    /// Something names the files now: they stay, come what may.
    pub(crate) fn keep(&mut self) {
        self.files.clear();
    }

    /// What names the files is durable: the note can go.
    pub(crate) fn close(mut self) {
        if let Some(intent) = self.intent.take() {
            intent.close();
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // Kept but not closed: the rename happened and its fsync failed. Then only the disk knows what a restart
        // will find, so the note stays for the next start to judge.
        if !self.files.is_empty()
            && self.folder.remove_data(&self.files)
            && let Some(intent) = self.intent.take()
        {
            intent.close();
        }
    }
}

// === impl DataWriter ===

impl DataWriter {
    pub(crate) fn create(folder: &Arc<Folder>, place: Place) -> Result<Self> {
        let id = FileId::random();
        let path = folder.data(id);
        let dir = path.parent().expect("a data file lies in a folder");
        folder.make_durable_dir(dir).at("create", dir)?;
        let pending = Pending::open(folder, place, vec![id])?;
        let file = File::options().write(true).create_new(true).open(&path).at("create", &path)?;
        Ok(Self { pending, id, path, file, size_bytes: 0, started_bytes: 0 })
    }

    /// Appends the blocks with one gathering write; what of the first one is large and lies right in memory, directly.
    pub(crate) fn write(&mut self, blocks: &[Bytes]) -> Result<()> {
        let direct_bytes = blocks.first().map_or(Ok(0), |first| self.write_directly(first)).at("write", &self.path)?;
        let mut slices: Vec<IoSlice<'_>> = blocks.iter().map(|block| IoSlice::new(block)).collect();
        let mut slices = slices.as_mut_slice();
        IoSlice::advance_slices(&mut slices, direct_bytes);
        write_all_vectored(&mut self.file, slices).at("write", &self.path)?;
        self.size_bytes += blocks.iter().map(|block| block.len() as u64).sum::<u64>();
        self.start_writeback();
        Ok(())
    }

    /// Writes whole blocks past the page cache; gives how many bytes that were. They are on the disk no sooner than others:
    /// that is what [`finish`](Self::finish) waits for.
    fn write_directly(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let blocks = whole_blocks(bytes);
        let is_on_border = self.size_bytes.is_multiple_of(BLOCK_BYTES as u64);
        if blocks.len() < DIRECT_BYTES || !is_on_border || self.set_direct(true).is_err() {
            return Ok(0);
        }
        let mut written_bytes = 0;
        while written_bytes < blocks.len() {
            match self.file.write(&blocks[written_bytes..]) {
                Ok(0) => break,
                Ok(written) => written_bytes += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The file system has other borders: the page cache has none.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => break,
                Err(error) => return Err(error),
            }
        }
        self.set_direct(false)?;
        // There is nothing to write back.
        self.started_bytes = self.size_bytes + written_bytes as u64;
        Ok(written_bytes)
    }

    /// Fails where the file system knows no direct writes.
    fn set_direct(&self, direct: bool) -> io::Result<()> {
        let mut flags = fcntl_getfl(&self.file)?;
        flags.set(OFlags::DIRECT, direct);
        Ok(fcntl_setfl(&self.file, flags)?)
    }

    /// Keeps the disk busy while the body still arrives, so that the final sync finds little to do.
    fn start_writeback(&mut self) {
        let unstarted_bytes = self.size_bytes - self.started_bytes;
        if unstarted_bytes < WRITEBACK_BYTES {
            return;
        }
        // On Linux this starts writing dirty pages without waiting; pages on their way to the disk stay cached. A
        // mere hint: an error costs nothing.
        let _ = fadvise(&self.file, self.started_bytes, NonZeroU64::new(unstarted_bytes), Advice::DontNeed);
        self.started_bytes = self.size_bytes;
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Syncs the file and its entry in its folder.
    pub(crate) fn finish(self, digests: Digests) -> Result<Written> {
        self.file.sync_all().at("sync", &self.path)?;
        let dir = self.path.parent().expect("a data file lies in a folder");
        sync_dir(dir).at("sync", dir)?;
        let md5 = digests.md5.map(|md5| <[u8; 16]>::from(md5.finalize()));
        let checksums = digests.checksums.finalize();
        let etag = match digests.kind {
            EtagKind::Md5 => hex::encode(md5.expect("an MD5 for its ETag")),
            EtagKind::Crc64 => {
                let crc64 = checksums.checksum_crc64nvme.as_deref().and_then(|base64| STANDARD.decode(base64).ok());
                format!("{}-{:x}", hex::encode(crc64.expect("a CRC-64 for its ETag")), self.size_bytes)
            }
        };
        let extent = Extent { file: self.id, size_bytes: self.size_bytes, etag: None };
        Ok(Written { pending: self.pending, extent, etag, md5, checksums })
    }
}

// === impl Digests ===

impl Digests {
    /// What `kind` needs, MD5 also where it `verifies_md5`, and what `checksums` has been told.
    pub(crate) fn new(kind: EtagKind, verifies_md5: bool, mut checksums: ChecksumHasher) -> Self {
        if kind == EtagKind::Crc64 && checksums.crc64nvme.is_none() {
            checksums.crc64nvme = Some(s3s::crypto::Crc64Nvme::new());
        }
        let md5 = (verifies_md5 || kind == EtagKind::Md5).then(Md5::new);
        Self { kind, md5, checksums }
    }

    pub(crate) fn update(&mut self, blocks: &[Bytes]) {
        for block in blocks {
            if let Some(md5) = &mut self.md5 {
                md5.update(block);
            }
            self.checksums.update(block);
        }
    }
}

/// Reads up to `limit_bytes` of a piece, from its start; shorter only if the piece is.
pub(crate) fn read_block(folder: &Folder, piece: Piece, limit_bytes: u64, open: Option<File>) -> Result<(File, Bytes)> {
    let path = folder.data(piece.file);
    let file = match open {
        Some(file) => file,
        None => {
            let mut file = File::open(&path).at("open", &path)?;
            file.seek(SeekFrom::Start(piece.offset_bytes)).at("seek in", &path)?;
            file
        }
    };
    let size_bytes = piece.size_bytes.min(limit_bytes);
    let capacity = usize::try_from(size_bytes).expect("a block fits into memory");
    let mut block = Vec::with_capacity(capacity);
    let got = (&file).take(size_bytes).read_to_end(&mut block).at("read", &path)?;
    if got < capacity {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof)).at("read to the end of", &path);
    }
    Ok((file, block.into()))
}

fn write_all_vectored(file: &mut File, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match file.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
