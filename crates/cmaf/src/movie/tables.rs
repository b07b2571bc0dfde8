//! The sample tables of a track (ISO/IEC 14496-12 sections 8.6 and 8.7), read where they lie.
//!
//! Tables are never expanded: they stay slices of the `moov`, and a [`Position`], 56 bytes, is all that is needed to go on
//! from any sample. The first walk over all samples finds whatever the tables contradict each other in.

use bytes::Bytes;
use thiserror::Error;

use super::atoms::{find, i32_at, need, u16_at, u32_at, u64_at};

/// Version, flags.
const FULL_HEADER_BYTES: usize = 4;

/// Tables that contradict each other, themselves or the file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum TableError {
    #[error("`{table}` ends before sample {sample}, of {samples}")]
    Short { table: &'static str, sample: u32, samples: u32 },
    #[error("`{table}` goes on after the last of {samples} samples")]
    Long { table: &'static str, samples: u32 },
    #[error("`stsc` does not say in order how many samples each chunk has, at chunk {chunk}")]
    Chunks { chunk: u32 },
    #[error("`stss` is not in order at sample {sample}")]
    Sync { sample: u32 },
    #[error(
        "sample {sample} lies at {offset_bytes} and has {size_bytes} bytes, but the file ends after {file_size_bytes}"
    )]
    PastEnd { sample: u32, offset_bytes: u64, size_bytes: u32, file_size_bytes: u64 },
    #[error("chunk {chunk} uses a second sample description")]
    Description { chunk: u32 },
}

/// A sample, as the tables have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) offset_bytes: u64,
    pub(crate) size_bytes: u32,
    pub(crate) dts_ticks: u64,
    pub(crate) delta_ticks: u32,
    pub(crate) composition_offset_ticks: i32,
    pub(crate) is_sync: bool,
}

/// The tables of one track.
#[derive(Clone)]
pub(crate) struct Tables {
    pub(crate) samples: u32,
    file_size_bytes: u64,
    durations: Bytes,
    offsets: Option<Bytes>,
    sizes: Sizes,
    runs: Bytes,
    chunks: Bytes,
    chunks_are_wide: bool,
    sync: Option<Bytes>,
}

#[derive(Clone)]
enum Sizes {
    Same(u32),
    Bits4(Bytes),
    Bits8(Bytes),
    Bits16(Bytes),
    Bits32(Bytes),
}

/// Where a walk stands: before the sample `sample`, counted from 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Position {
    dts_ticks: u64,
    /// Of the sample, if its chunk is open.
    offset_bytes: u64,
    pub(crate) sample: u32,
    /// The entry in force, plus 1; 0 before the first. The same below.
    duration: u32,
    duration_left: u32,
    offset: u32,
    offset_left: u32,
    run: u32,
    /// Chunks opened.
    chunk: u32,
    chunk_left: u32,
    /// Sync samples passed.
    sync: u32,
}

// === impl Tables ===

impl Tables {
    /// The tables in the body of `stbl`.
    pub(crate) fn parse(stbl: &Bytes, file_size_bytes: u64) -> Result<Self, String> {
        let (samples, sizes) = sizes(stbl)?;
        let (chunks, chunks_are_wide) = match find(stbl, b"stco") {
            Some(body) => (entries(&body, "stco", 4)?, false),
            None => (entries(&need(stbl, b"co64")?, "co64", 8)?, true),
        };
        let optional = |kind: &[u8; 4], name, size| find(stbl, kind).map(|body| entries(&body, name, size)).transpose();
        Ok(Self {
            samples,
            file_size_bytes,
            durations: entries(&need(stbl, b"stts")?, "stts", 8)?,
            offsets: optional(b"ctts", "ctts", 8)?,
            sizes,
            runs: entries(&need(stbl, b"stsc")?, "stsc", 12)?,
            chunks,
            chunks_are_wide,
            sync: optional(b"stss", "stss", 4)?,
        })
    }

    /// Smallest and largest composition offset, ticks; 0 is among them where there is no table. Writers of version 0 mean
    /// signed numbers too (QuickTime File Format, "Composition Offset Atom").
    pub(crate) fn composition_offsets(&self) -> (i32, i32) {
        let Some(offsets) = &self.offsets else { return (0, 0) };
        let used = offsets.chunks_exact(8).filter(|entry| u32_at(entry, 0) != Some(0));
        used.filter_map(|entry| i32_at(entry, 4))
            .fold(None, |range: Option<(i32, i32)>, offset| {
                let (low, high) = range.unwrap_or((offset, offset));
                Some((low.min(offset), high.max(offset)))
            })
            .unwrap_or((0, 0))
    }

    /// The distance of two samples, where it never changes; the last sample may last as it likes.
    pub(crate) fn constant_delta_ticks(&self) -> Option<u32> {
        let mut used = self.durations.chunks_exact(8).filter_map(|entry| Some((u32_at(entry, 0)?, u32_at(entry, 4)?)));
        let (mut left, delta) = used.by_ref().find(|(count, _)| *count > 0)?;
        left = self.samples.checked_sub(left)?;
        for (count, other) in used {
            // The last sample alone may differ.
            if count > 0 && other != delta && !(left == 1 && count == 1) {
                return None;
            }
            left = left.checked_sub(count)?;
        }
        (delta > 0).then_some(delta)
    }

    /// The sample at `position`, which moves to the next one. `None` behind the last.
    #[inline]
    pub(crate) fn next(&self, position: &mut Position) -> Result<Option<Found>, TableError> {
        let (sample, samples) = (position.sample, self.samples);
        if sample >= samples {
            return Ok(None);
        }
        let short = |table| TableError::Short { table, sample, samples };
        if position.chunk_left == 0 {
            self.open_chunk(position)?;
        }
        while position.duration_left == 0 {
            position.duration_left =
                u32_at(&self.durations, 8 * position.duration as usize).ok_or_else(|| short("stts"))?;
            position.duration += 1;
        }
        let delta_ticks = u32_at(&self.durations, 8 * position.duration as usize - 4).ok_or_else(|| short("stts"))?;
        let composition_offset_ticks = match &self.offsets {
            None => 0,
            Some(offsets) => {
                while position.offset_left == 0 {
                    position.offset_left =
                        u32_at(offsets, 8 * position.offset as usize).ok_or_else(|| short("ctts"))?;
                    position.offset += 1;
                }
                position.offset_left -= 1;
                i32_at(offsets, 8 * position.offset as usize - 4).ok_or_else(|| short("ctts"))?
            }
        };
        let size_bytes = self.sizes.of(sample).ok_or_else(|| short("stsz"))?;
        let is_sync = match &self.sync {
            None => true,
            Some(sync) => match u32_at(sync, 4 * position.sync as usize) {
                // They count from 1.
                Some(next) if next == sample + 1 => {
                    position.sync += 1;
                    true
                }
                Some(next) if next <= sample => return Err(TableError::Sync { sample: next }),
                _ => false,
            },
        };
        let offset_bytes = position.offset_bytes;
        let end_bytes = offset_bytes.checked_add(u64::from(size_bytes)).filter(|end| *end <= self.file_size_bytes);
        let Some(end_bytes) = end_bytes else {
            let file_size_bytes = self.file_size_bytes;
            return Err(TableError::PastEnd { sample, offset_bytes, size_bytes, file_size_bytes });
        };
        let found = Found {
            offset_bytes,
            size_bytes,
            dts_ticks: position.dts_ticks,
            delta_ticks,
            composition_offset_ticks,
            is_sync,
        };
        position.offset_bytes = end_bytes;
        // At most 2^32 samples of less than 2^32 ticks.
        position.dts_ticks += u64::from(delta_ticks);
        position.duration_left -= 1;
        position.chunk_left -= 1;
        position.sample += 1;
        Ok(Some(found))
    }

    fn open_chunk(&self, position: &mut Position) -> Result<(), TableError> {
        let (sample, samples) = (position.sample, self.samples);
        let chunk = position.chunk;
        let offset_bytes = if self.chunks_are_wide {
            u64_at(&self.chunks, 8 * chunk as usize)
        } else {
            u32_at(&self.chunks, 4 * chunk as usize).map(u64::from)
        };
        position.offset_bytes = offset_bytes.ok_or(TableError::Short { table: "stco", sample, samples })?;
        let entry = |run: u32, field: usize| u32_at(&self.runs, 12 * run as usize + 4 * field);
        // Chunks count from 1. The next run begins with this one, or later; each begins after the one before.
        match entry(position.run, 0) {
            Some(first) if first == chunk + 1 => position.run += 1,
            Some(first) if first <= chunk => return Err(TableError::Chunks { chunk: first }),
            _ => {}
        }
        let run = position.run.checked_sub(1).ok_or(TableError::Chunks { chunk: 1 })?;
        let in_chunk = entry(run, 1).filter(|count| *count > 0).ok_or(TableError::Chunks { chunk: chunk + 1 })?;
        if entry(run, 2) != Some(1) {
            return Err(TableError::Description { chunk: chunk + 1 });
        }
        position.chunk_left = in_chunk;
        position.chunk = chunk + 1;
        Ok(())
    }

    /// Whether all tables end where the samples do; `end` is the position behind the last.
    pub(crate) fn check_end(&self, end: &Position) -> Result<(), TableError> {
        let samples = self.samples;
        let long = |table| Err(TableError::Long { table, samples });
        let goes_on = |runs: &Bytes, used: u32| {
            runs.get(8 * used as usize..)
                .is_some_and(|rest| rest.chunks_exact(8).any(|entry| u32_at(entry, 0) != Some(0)))
        };
        if end.duration_left > 0 || goes_on(&self.durations, end.duration) {
            return long("stts");
        }
        if self.offsets.as_ref().is_some_and(|offsets| end.offset_left > 0 || goes_on(offsets, end.offset)) {
            return long("ctts");
        }
        let chunk_size = if self.chunks_are_wide { 8 } else { 4 };
        if end.chunk_left > 0 || chunk_size * (end.chunk as usize) < self.chunks.len() {
            return long("stco");
        }
        if 12 * (end.run as usize) < self.runs.len() {
            return long("stsc");
        }
        if self.sync.as_ref().is_some_and(|sync| 4 * (end.sync as usize) < sync.len()) {
            return long("stss");
        }
        Ok(())
    }
}

// === impl Sizes ===

impl Sizes {
    #[inline]
    fn of(&self, sample: u32) -> Option<u32> {
        let at = sample as usize;
        match self {
            Self::Same(size) => Some(*size),
            Self::Bits32(sizes) => u32_at(sizes, 4 * at),
            Self::Bits16(sizes) => u16_at(sizes, 2 * at).map(u32::from),
            Self::Bits8(sizes) => sizes.get(at).map(|size| u32::from(*size)),
            Self::Bits4(sizes) => {
                sizes.get(at / 2).map(|pair| u32::from(if at.is_multiple_of(2) { pair >> 4 } else { pair & 0x0f }))
            }
        }
    }
}

/// The number of samples and their sizes, from `stsz` or `stz2` (section 8.7.3).
fn sizes(stbl: &Bytes) -> Result<(u32, Sizes), String> {
    let (body, is_compact) = match find(stbl, b"stsz") {
        Some(body) => (body, false),
        None => (need(stbl, b"stz2").map_err(|_| "it has no whole `stsz` or `stz2` box".to_owned())?, true),
    };
    let cut = || "its `stsz` box is cut off".to_owned();
    let size = u32_at(&body, FULL_HEADER_BYTES).ok_or_else(cut)?;
    let samples = u32_at(&body, FULL_HEADER_BYTES + 4).ok_or_else(cut)?;
    let bits = match (is_compact, size) {
        (false, 0) => 32,
        (false, size) => return Ok((samples, Sizes::Same(size))),
        (true, field) => field & 0xff,
    };
    let table_bytes = usize::try_from((u64::from(samples) * u64::from(bits)).div_ceil(8)).map_err(|_| cut())?;
    let table = body.slice(FULL_HEADER_BYTES + 8..);
    if table.len() < table_bytes {
        return Err(format!("its `stsz` box has {} bytes for {samples} samples", table.len()));
    }
    match bits {
        4 => Ok((samples, Sizes::Bits4(table))),
        8 => Ok((samples, Sizes::Bits8(table))),
        16 => Ok((samples, Sizes::Bits16(table))),
        32 if !is_compact => Ok((samples, Sizes::Bits32(table))),
        _ => Err(format!("its `stz2` box has sizes of {bits} bits")),
    }
}

/// The entries of a table: what follows its count, as long as the count says.
fn entries(body: &Bytes, name: &str, entry_bytes: usize) -> Result<Bytes, String> {
    let count = u32_at(body, FULL_HEADER_BYTES).ok_or_else(|| format!("its `{name}` box is cut off"))?;
    let table = body.slice(FULL_HEADER_BYTES + 4..);
    match usize::try_from(count).ok().and_then(|count| count.checked_mul(entry_bytes)) {
        Some(size) if size <= table.len() => Ok(table.slice(..size)),
        _ => Err(format!("its `{name}` box promises {count} entries and ends before")),
    }
}
