//! The disk tier: one file per object, which says of itself whether it is whole.
//!
//! ```text
//! BODY (offset 0) │ meta (JSON: key, head, times, length and digest of the body) │ length of meta, 8 │ SHA-256 of meta, 32 │ magic, 8
//! ```
//!
//! The body comes first so that it can be written while it flows, and sent by `sendfile` as it lies. A file gets its name by
//! `rename` once all of it is written; it is not synced, because what a power cut tears does not match its digests and is
//! dropped: a cache may forget, and must not lie. The end is checked when the folder is read at start, the body before it
//! is served for the first time after that. A revalidated object gets a new end in place. Where something was received later
//! than it is now, the wall clock went back while nobody looked: how old anything is is not known then, and all of it is
//! asked for again before it is used.
//!
//! What does not fit any more is deleted by S3-FIFO's rules (`quick_cache`). The folder belongs to one process (a lock).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::medium::BodyFile;
use crate::object::{Head, Object, Times, UnixMs};
use crate::room::Held;

const MAGIC: &[u8; 8] = b"FLVCDN01";
/// Behind the meta: its length, its digest, the magic.
const FOOTER_BYTES: u64 = 8 + 32 + 8;
/// Longer ones are not ours.
const META_MAX_BYTES: u64 = 1 << 20;
/// Folder of files that are being written; emptied at start.
const SCRATCH: &str = "filling";
/// The least that a file takes of a disk.
const BLOCK_BYTES: u64 = 4096;
/// What a shard of the index should hold at least, so that large objects find room in one.
const SHARD_BYTES: u64 = 2 << 30;
/// A clock that went back by no more than this was not set, but kept in step.
const CLOCK_PLAY_MS: u64 = 1000;

/// One tenant's files.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: PathBuf,
    index: Cache<Arc<str>, Arc<Record>, FileWeight, DefaultHashBuilder, Deleter>,
    next_scratch: AtomicU64,
    _lock: File,
}

/// What is known of a file without reading its body.
#[derive(Debug)]
pub(crate) struct Record {
    pub meta: Meta,
    path: PathBuf,
    /// Another record is of the file at this path now: the end of this one is not the file's.
    superseded: AtomicBool,
    /// The body was compared with its digest, or written by this process.
    is_verified: AtomicBool,
}

/// The end of a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub key: String,
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub times: Times,
    pub length: u64,
    /// SHA-256 of the body, hexadecimal.
    pub digest: String,
    pub tags: Vec<Box<str>>,
    /// The path, to count it by.
    pub path: String,
    /// The fields of requests that it depends on.
    pub vary: Vec<String>,
}

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct Scratch {
    file: Arc<BodyFile>,
    path: PathBuf,
}

#[derive(Debug, Clone, Copy)]
struct FileWeight;

/// Deletes files whose place is needed.
#[derive(Debug, Clone, Copy, Default)]
struct Deleter;

// === impl Disk ===

impl Disk {
    /// Takes `folder` for at most `max_bytes`, and reads what lies there. Blocks.
    pub(crate) fn open(folder: &Path, max_bytes: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(folder.join("lock"))?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| io::Error::other(format!("{} belongs to another process: {error}", folder.display())))?;
        let scratch = folder.join(SCRATCH);
        if scratch.is_dir() {
            fs::remove_dir_all(&scratch)?;
        }
        fs::create_dir_all(&scratch)?;
        let shards = usize::try_from(max_bytes / SHARD_BYTES).unwrap_or(1).clamp(1, 8);
        let options = OptionsBuilder::new()
            .estimated_items_capacity(usize::try_from(max_bytes / (256 << 10)).unwrap_or(1024).clamp(1024, 1 << 20))
            .weight_capacity(max_bytes)
            .shards(shards)
            .build()
            .map_err(|error| io::Error::other(error.to_string()))?;
        let index = Cache::with_options(options, FileWeight, DefaultHashBuilder::default(), Deleter);
        let disk = Self { folder: folder.to_owned(), index, next_scratch: AtomicU64::new(0), _lock: lock };
        disk.read_folder()?;
        Ok(disk)
    }

    fn read_folder(&self) -> io::Result<()> {
        let (mut kept, mut dropped, mut latest) = (0_u64, 0_u64, UnixMs(0));
        for shelf in fs::read_dir(&self.folder)? {
            let shelf = shelf?.path();
            let is_shelf = shelf.is_dir() && shelf.file_name().is_some_and(|name| name.len() == 2);
            if !is_shelf {
                continue;
            }
            for file in fs::read_dir(&shelf)? {
                let path = file?.path();
                match read_meta(&path) {
                    Ok(meta) if path == self.path(&meta.key) => {
                        kept += 1;
                        latest = latest.max(meta.times.received);
                        self.index.insert(meta.key.as_str().into(), Arc::new(Record::new(meta, path, false)));
                    }
                    Ok(_) | Err(_) => {
                        dropped += 1;
                        fs::remove_file(&path)?;
                    }
                }
            }
        }
        tracing::info!(folder = %self.folder.display(), kept, dropped, "read the disk tier");
        let ahead_ms = latest.since_ms(UnixMs::now());
        if ahead_ms > CLOCK_PLAY_MS {
            tracing::warn!(ahead_ms, "the clock was set back since something was kept: all of it is asked for again");
            let all: Vec<_> = self.records().collect();
            let unknown = |record: &Record| Meta { times: Times::UNKNOWN, ..record.meta.clone() };
            all.iter().try_for_each(|record| self.rewrite(record, unknown(record)))?;
        }
        Ok(())
    }

    fn path(&self, key: &str) -> PathBuf {
        let name = hex::encode(Sha256::digest(key.as_bytes()));
        self.folder.join(&name[..2]).join(&name)
    }

    /// A file to write into, that takes what is `held` until it is kept. Where there is none, that is given back.
    pub(crate) fn scratch(&self, held: Held) -> Result<Scratch, (io::Error, Held)> {
        let number = self.next_scratch.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(SCRATCH).join(number.to_string());
        match OpenOptions::new().create_new(true).read(true).write(true).open(&path) {
            Ok(file) => Ok(Scratch { file: Arc::new(BodyFile::holding(file, held)), path }),
            Err(error) => Err((error, held)),
        }
    }

    /// Gives a written file its end and its name. Blocks.
    pub(crate) fn admit(&self, scratch: Scratch, meta: Meta) -> io::Result<()> {
        write_end(&scratch.file, &meta)?;
        let path = self.path(&meta.key);
        if let Some(shelf) = path.parent() {
            fs::create_dir_all(shelf)?;
        }
        fs::rename(&scratch.path, &path)?;
        self.supersede(&meta.key);
        self.index.insert(meta.key.as_str().into(), Arc::new(Record::new(meta, path, true)));
        Ok(())
    }

    /// Gives a kept file another end. Blocks.
    pub(crate) fn refresh(&self, object: &Object) -> io::Result<()> {
        let Some(record) = self.index.get(&*object.key) else { return Ok(()) };
        let headers = pairs(&object.head.headers);
        self.rewrite(&record, Meta { headers, times: object.times, tags: object.tags.to_vec(), ..record.meta.clone() })
    }

    fn rewrite(&self, record: &Record, meta: Meta) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(&record.path)?;
        // The old end goes first: half of a new one must not look like a whole old one.
        file.set_len(meta.length)?;
        write_end(&file, &meta)?;
        let (path, is_verified) = (record.path.clone(), record.is_verified.load(Ordering::Relaxed));
        self.supersede(&meta.key);
        let key = meta.key.as_str().into();
        let _ = self.index.replace(key, Arc::new(Record::new(meta, path, is_verified)), true);
        Ok(())
    }

    /// The index gives up a record that it replaces like one that it evicts: then the file stays.
    fn supersede(&self, key: &str) {
        if let Some(old) = self.index.peek(key) {
            old.superseded.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<Arc<Record>> {
        self.index.get(key)
    }

    /// Forgets an object.
    pub(crate) fn remove(&self, key: &str) -> bool {
        let removed = self.index.remove(key);
        if let Some((_, record)) = &removed {
            delete(&record.path);
        }
        removed.is_some()
    }

    /// Every record.
    pub(crate) fn records(&self) -> impl Iterator<Item = Arc<Record>> {
        self.index.iter().map(|(_, record)| record)
    }

    /// Bytes that are taken.
    pub(crate) fn weight(&self) -> u64 {
        self.index.weight()
    }

    /// Objects.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }
}

// === impl Record ===

impl Record {
    fn new(meta: Meta, path: PathBuf, is_verified: bool) -> Self {
        Self { meta, path, superseded: AtomicBool::new(false), is_verified: AtomicBool::new(is_verified) }
    }

    /// Opens the body; the first time, compares it with its digest. Blocks.
    pub(crate) fn open(&self) -> io::Result<Arc<BodyFile>> {
        let file = File::open(&self.path)?;
        if self.is_verified.load(Ordering::Relaxed) {
            return Ok(Arc::new(BodyFile::counted(file)));
        }
        let mut digest = Sha256::new();
        let mut buffer = vec![0; 128 << 10];
        let mut offset = 0;
        while offset < self.meta.length {
            let wanted = usize::try_from(self.meta.length - offset).unwrap_or(buffer.len()).min(buffer.len());
            file.read_exact_at(&mut buffer[..wanted], offset)?;
            digest.update(&buffer[..wanted]);
            offset += wanted as u64;
        }
        if hex::encode(digest.finalize()) != self.meta.digest {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the body does not match its digest"));
        }
        self.is_verified.store(true, Ordering::Relaxed);
        Ok(Arc::new(BodyFile::counted(file)))
    }

    /// The head that was stored.
    pub(crate) fn head(&self) -> io::Result<Head> {
        let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let status = StatusCode::from_u16(self.meta.status).map_err(|_| invalid("not a status"))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &self.meta.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid("not a field name"))?;
            let value = hex::decode(value).ok().and_then(|value| HeaderValue::from_bytes(&value).ok());
            headers.append(name, value.ok_or_else(|| invalid("not a field value"))?);
        }
        Ok(Head::new(status, headers))
    }
}

/// Fields as text; values in hexadecimal, because they need not be text.
pub(crate) fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), hex::encode(value.as_bytes()))).collect()
}

fn write_end(file: &File, meta: &Meta) -> io::Result<()> {
    let text = serde_json::to_vec(meta)?;
    let mut end = Vec::with_capacity(text.len() + 64);
    end.extend_from_slice(&text);
    end.extend_from_slice(&(text.len() as u64).to_le_bytes());
    end.extend_from_slice(&Sha256::digest(&text));
    end.extend_from_slice(MAGIC);
    file.write_all_at(&end, meta.length)
}

/// The end of the file at `path`, if the file is as long as that says.
fn read_meta(path: &Path) -> io::Result<Meta> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, "not a whole object");
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let footer_at = length.checked_sub(FOOTER_BYTES).ok_or_else(invalid)?;
    file.seek(SeekFrom::Start(footer_at))?;
    let (mut meta_bytes, mut digest, mut magic) = ([0; 8], [0; 32], [0; 8]);
    file.read_exact(&mut meta_bytes)?;
    file.read_exact(&mut digest)?;
    file.read_exact(&mut magic)?;
    let meta_bytes = u64::from_le_bytes(meta_bytes);
    if &magic != MAGIC || meta_bytes > META_MAX_BYTES {
        return Err(invalid());
    }
    let meta_at = footer_at.checked_sub(meta_bytes).ok_or_else(invalid)?;
    file.seek(SeekFrom::Start(meta_at))?;
    let mut text = Vec::new();
    file.take(meta_bytes).read_to_end(&mut text)?;
    let meta: Meta = serde_json::from_slice(&text)?;
    let is_whole = Sha256::digest(&text).as_slice() == digest && meta.length == meta_at;
    if is_whole { Ok(meta) } else { Err(invalid()) }
}

fn delete(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::debug!(path = %path.display(), %error, "a file of the cache was gone already");
    }
}

// === impl Scratch ===

impl Scratch {
    pub(crate) fn file(&self) -> &Arc<BodyFile> {
        &self.file
    }
}

impl Drop for Scratch {
    /// What was not admitted is nobody's. After a rename there is nothing left under this name.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

// === impl FileWeight ===

impl Weighter<Arc<str>, Arc<Record>> for FileWeight {
    fn weight(&self, _key: &Arc<str>, record: &Arc<Record>) -> u64 {
        (record.meta.length + FOOTER_BYTES).next_multiple_of(BLOCK_BYTES) + BLOCK_BYTES
    }
}

// === impl Deleter ===

impl Lifecycle<Arc<str>, Arc<Record>> for Deleter {
    type RequestState = ();

    fn begin_request(&self) {}

    fn on_evict(&self, (): &mut (), _key: Arc<str>, record: Arc<Record>) {
        if !record.superseded.load(Ordering::Relaxed) {
            delete(&record.path);
        }
    }
}
