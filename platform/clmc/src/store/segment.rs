//! One file of a database: frames of points, appended and never changed.
//!
//! ```text
//! file   "FLCLMC" u16 version, then frames
//! frame  u32 length of the payload, u32 CRC-32 of it, payload
//! payload i64 earliest, i64 latest time; definitions of the series and fields that this file has not defined before; rows
//! row    length, number of the series, time after the frame's earliest, fields: number, value
//! ```
//!
//! A file explains itself, so that deleting the oldest one deletes all that was only in it. What is acknowledged is synced;
//! a frame that a crash cut off is found by its CRC, and is cut away. A file that has been closed has an index beside it
//! (`.idx`), which spares reading it at the next start; without one, or with a damaged one, it is read. Where within the
//! file which times are is known for stretches of [`STRIDE_BYTES`].

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use flame_telemetry::point::Type;

use super::codec::{Reader, put_i64, put_text, put_u64};
use super::dictionary::{Dictionary, FieldKey};

/// How a file begins: a name and the version of the format.
const HEAD: [u8; 8] = *b"FLCLMC\x01\x00";
/// Before each payload.
const FRAME_HEAD_BYTES: usize = 8;
/// How finely times are known within a file.
const STRIDE_BYTES: u64 = 64 << 10;

/// A file, and what is known of it.
#[derive(Debug)]
pub struct Segment {
    pub file: Arc<File>,
    pub path: PathBuf,
    pub sequence: u64,
    /// Up to here there are whole frames.
    pub length: u64,
    pub earliest_ns: i64,
    pub latest_ns: i64,
    pub begun: Instant,
    strides: Vec<Stride>,
    /// Series and fields that it defines.
    pub series: HashSet<u32>,
    pub fields: HashSet<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stride {
    offset: u64,
    earliest_ns: i64,
    latest_ns: i64,
}

/// Points on their way into a file.
#[derive(Debug)]
pub struct Frame {
    pub earliest_ns: i64,
    pub latest_ns: i64,
    /// Numbers that this frame defines.
    pub series: Vec<u32>,
    pub fields: Vec<u32>,
    bytes: Vec<u8>,
}

// === writing ===

/// Makes a frame of encoded `rows`; `defined` says what the file has defined already.
pub fn frame(
    (earliest_ns, latest_ns): (i64, i64),
    (series, fields): (Vec<u32>, Vec<u32>),
    dictionary: &Dictionary,
    rows: &[u8],
) -> Frame {
    let mut bytes = vec![0; FRAME_HEAD_BYTES];
    bytes.extend_from_slice(&earliest_ns.to_le_bytes());
    bytes.extend_from_slice(&latest_ns.to_le_bytes());
    put_definitions(&mut bytes, dictionary, &series, &fields);
    bytes.extend_from_slice(rows);
    let (length, crc) = (bytes.len() - FRAME_HEAD_BYTES, crc32fast::hash(&bytes[FRAME_HEAD_BYTES..]));
    // A body of a request is far shorter than 4 GiB.
    bytes[..4].copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    Frame { earliest_ns, latest_ns, series, fields, bytes }
}

fn put_definitions(bytes: &mut Vec<u8>, dictionary: &Dictionary, series: &[u32], fields: &[u32]) {
    let keys: Vec<_> = series.iter().filter_map(|id| Some((*id, dictionary.key(*id)?))).collect();
    put_u64(bytes, keys.len() as u64);
    for (id, key) in keys {
        put_u64(bytes, u64::from(id));
        put_u64(bytes, key.len() as u64);
        bytes.extend_from_slice(key);
    }
    let keys: Vec<_> = fields.iter().filter_map(|id| Some((*id, dictionary.field_key(*id)?))).collect();
    put_u64(bytes, keys.len() as u64);
    for (id, key) in keys {
        put_u64(bytes, u64::from(id));
        put_text(bytes, &key.measurement);
        put_text(bytes, &key.name);
        bytes.push(key.kind as u8);
    }
}

// === reading ===

/// The payloads of whole frames from the beginning of `bytes` on, each with the offset where its frame ends.
pub fn frames(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let head = bytes.get(at..at + FRAME_HEAD_BYTES)?;
        let length = usize::try_from(u32::from_le_bytes(head[..4].try_into().ok()?)).ok()?;
        let crc = u32::from_le_bytes(head[4..].try_into().ok()?);
        let payload = bytes.get(at + FRAME_HEAD_BYTES..)?.get(..length)?;
        at += FRAME_HEAD_BYTES + length;
        (crc32fast::hash(payload) == crc).then_some((at, payload))
    })
}

/// The times of a payload, and what follows them.
pub fn times(payload: &[u8]) -> Option<((i64, i64), Reader<'_>)> {
    let mut reader = Reader(payload);
    let earliest_ns = i64::from_le_bytes(reader.bytes(8)?.try_into().ok()?);
    let latest_ns = i64::from_le_bytes(reader.bytes(8)?.try_into().ok()?);
    Some(((earliest_ns, latest_ns), reader))
}

/// Reads definitions; gives each to `series` and `fields`.
pub fn definitions<'a>(
    reader: &mut Reader<'a>,
    mut series: impl FnMut(u32, &'a [u8]),
    mut fields: impl FnMut(u32, FieldKey),
) -> Option<()> {
    for _ in 0..reader.u64()? {
        series(reader.u32()?, reader.sized()?);
    }
    for _ in 0..reader.u64()? {
        let (id, measurement, name) = (reader.u32()?, reader.text()?.to_owned(), reader.text()?.to_owned());
        let kind = *[Type::Float, Type::Integer, Type::Boolean, Type::Text].get(usize::from(reader.bytes(1)?[0]))?;
        fields(id, FieldKey { measurement, name, kind });
    }
    Some(())
}

// === impl Segment ===

impl Segment {
    /// Begins a new file in `folder`.
    pub fn create(folder: &Path, sequence: u64) -> io::Result<Self> {
        let path = folder.join(format!("{sequence:012}.seg"));
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        file.write_all_at(&HEAD, 0)?;
        file.sync_all()?;
        File::open(folder)?.sync_all()?;
        Ok(Self::empty(file, path, sequence))
    }

    fn empty(file: File, path: PathBuf, sequence: u64) -> Self {
        Self {
            file: Arc::new(file),
            path,
            sequence,
            length: HEAD.len() as u64,
            earliest_ns: i64::MAX,
            latest_ns: i64::MIN,
            begun: Instant::now(),
            strides: Vec::new(),
            series: HashSet::new(),
            fields: HashSet::new(),
        }
    }

    /// Opens a file that is there; its names go into `dictionary`. What a crash has cut off is cut away.
    pub fn open(path: PathBuf, sequence: u64, is_last: bool, dictionary: &mut Dictionary) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(&path)?;
        let length = file.metadata()?.len();
        let mut segment = Self::empty(file, path, sequence);
        if segment.read_index(length, dictionary).is_some() {
            return Ok(segment);
        }
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        segment.file.read_exact_at(&mut bytes, 0)?;
        if !bytes.starts_with(&HEAD) {
            if bytes.len() < HEAD.len() && HEAD.starts_with(&bytes) {
                // A crash in the middle of the first bytes.
                segment.file.write_all_at(&HEAD, 0)?;
                return Ok(segment);
            }
            let reason = format!("{} is no file of this version of CLMC", segment.path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        let (mut whole, body) = (HEAD.len(), &bytes[HEAD.len()..]);
        for (end, payload) in frames(body) {
            let Some((span, mut reader)) = times(payload) else { break };
            let (series, fields) = (&mut segment.series, &mut segment.fields);
            let mut found = (Vec::new(), Vec::new());
            let read = definitions(&mut reader, |id, key| found.0.push((id, key)), |id, key| found.1.push((id, key)));
            if read.is_none() {
                break;
            }
            for (id, key) in found.0 {
                dictionary.put_series(id, key);
                series.insert(id);
            }
            for (id, key) in found.1 {
                dictionary.put_field(id, key);
                fields.insert(id);
            }
            segment.note(whole as u64, span);
            whole = HEAD.len() + end;
        }
        if (whole as u64) < length && !is_last {
            // No crash did this: nothing is written to a file that another one follows. What stands there is kept to be looked at.
            let unread = length - whole as u64;
            tracing::error!(path = %segment.path.display(), bytes = unread, "a file is damaged: its end is not read");
        } else if (whole as u64) < length {
            tracing::warn!(path = %segment.path.display(), bytes = length - whole as u64, "cut away what a crash had cut off");
            segment.file.set_len(whole as u64)?;
            segment.file.sync_all()?;
        }
        segment.length = whole as u64;
        Ok(segment)
    }

    /// Appends a frame. What was there stays whole also if this fails.
    pub fn append(&mut self, frame: &Frame) -> io::Result<()> {
        if let Err(error) = self.file.write_all_at(&frame.bytes, self.length) {
            // The next frame is written over what came of this one.
            let _ = self.file.set_len(self.length);
            return Err(error);
        }
        self.note(self.length, (frame.earliest_ns, frame.latest_ns));
        self.length += frame.bytes.len() as u64;
        self.series.extend(&frame.series);
        self.fields.extend(&frame.fields);
        Ok(())
    }

    fn note(&mut self, offset: u64, (earliest_ns, latest_ns): (i64, i64)) {
        self.earliest_ns = self.earliest_ns.min(earliest_ns);
        self.latest_ns = self.latest_ns.max(latest_ns);
        match self.strides.last_mut() {
            Some(last) if offset < last.offset + STRIDE_BYTES => {
                last.earliest_ns = last.earliest_ns.min(earliest_ns);
                last.latest_ns = last.latest_ns.max(latest_ns);
            }
            Some(_) | None => self.strides.push(Stride { offset, earliest_ns, latest_ns }),
        }
    }

    /// The stretches of the file that have points from `from_ns` to `to_ns`, both included.
    pub fn stretches(&self, from_ns: i64, to_ns: i64) -> Vec<(u64, u64)> {
        let mut found: Vec<(u64, u64)> = Vec::new();
        for (at, stride) in self.strides.iter().enumerate() {
            if stride.latest_ns < from_ns || stride.earliest_ns > to_ns {
                continue;
            }
            let end = self.strides.get(at + 1).map_or(self.length, |next| next.offset);
            found.push((stride.offset, end));
        }
        found
    }

    /// Writes what spares reading the file at the next start. A file without one is read, so nothing depends on it.
    pub fn write_index(&self, dictionary: &Dictionary) -> io::Result<()> {
        let mut bytes = HEAD.to_vec();
        put_u64(&mut bytes, self.length);
        put_u64(&mut bytes, self.strides.len() as u64);
        for stride in &self.strides {
            put_u64(&mut bytes, stride.offset);
            put_i64(&mut bytes, stride.earliest_ns);
            put_i64(&mut bytes, stride.latest_ns);
        }
        let (series, fields): (Vec<u32>, Vec<u32>) =
            (self.series.iter().copied().collect(), self.fields.iter().copied().collect());
        put_definitions(&mut bytes, dictionary, &series, &fields);
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        let draft = self.path.with_extension("new");
        std::fs::write(&draft, bytes)?;
        std::fs::rename(draft, self.path.with_extension("idx"))
    }

    fn read_index(&mut self, length: u64, dictionary: &mut Dictionary) -> Option<()> {
        let bytes = std::fs::read(self.path.with_extension("idx")).ok()?;
        let (body, crc) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
        if crc32fast::hash(body) != u32::from_le_bytes(crc.try_into().ok()?) {
            return None;
        }
        let mut reader = Reader(body);
        // What was appended after the index is not in it.
        if reader.bytes(HEAD.len())? != HEAD || reader.u64()? != length {
            return None;
        }
        let mut strides = Vec::new();
        for _ in 0..reader.u64()? {
            strides.push(Stride { offset: reader.u64()?, earliest_ns: reader.i64()?, latest_ns: reader.i64()? });
        }
        let mut found = (Vec::new(), Vec::new());
        definitions(&mut reader, |id, key| found.0.push((id, key)), |id, key| found.1.push((id, key)))?;
        for (id, key) in found.0 {
            dictionary.put_series(id, key);
            self.series.insert(id);
        }
        for (id, key) in found.1 {
            dictionary.put_field(id, key);
            self.fields.insert(id);
        }
        self.earliest_ns = strides.iter().map(|stride| stride.earliest_ns).min().unwrap_or(i64::MAX);
        self.latest_ns = strides.iter().map(|stride| stride.latest_ns).max().unwrap_or(i64::MIN);
        (self.strides, self.length) = (strides, length);
        Some(())
    }

    /// Deletes the file; who reads it just now reads on.
    pub fn delete(&self) -> io::Result<()> {
        match std::fs::remove_file(self.path.with_extension("idx")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(_) | Ok(()) => {}
        }
        std::fs::remove_file(&self.path)
    }
}
