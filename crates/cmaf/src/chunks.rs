//! Writes one live track: samples in, chunks out (`moof`, `mdat`), each of them a part of low-latency HLS.
//!
//! The caller says with each sample which segment it belongs to ([`crate::cuts`] decides it); the first chunk of a
//! segment has a `styp` in front, so that the chunks of a segment joined are a CMAF segment, and the init segment and all
//! segments joined are a track. A chunk is given out as soon as nothing more can come into it: when it has as many
//! frames as fit into a part, else when the next sample shows it.
//!
//! *Times* are ticks since 1970-01-01T00:00:00Z. As in [`crate::writer`], the duration of a sample is the distance to the
//! next one, so each chunk is decoded where the one before ends, also where frames are missing.
//!
//! *Lengths.* No part is longer than [`Parts::longest_ticks`], unless one frame alone is. Where all frames are
//! [`Parts::frame_ticks`] apart, none is shorter either, but for the last of a segment; so the 85 % that rfc8216bis demands
//! (section 4.4.4.9) are kept. A missing frame, or a rate that varies, can make a part shorter than that: a frame is never cut.

use bytes::Bytes;

use crate::{
    fragment::{self, Timed},
    init,
    track::{MediaConfig, TrackConfig},
    writer::{Sample, WriteError, check, duration_between, unsigned},
};

/// The most bytes of samples that one chunk may hold; it bounds the writer's memory.
pub const CHUNK_SIZE_MAX_BYTES: usize = 16 << 20;
/// The most samples that one chunk may hold.
pub const CHUNK_SAMPLES_MAX: usize = 4096;
/// Where frames come as they like, a part is full at this share of its length.
const FULL_PERCENT: u64 = 85;

/// How long parts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// The longest part, ticks, above 0.
    pub longest_ticks: u32,
    /// Distance of two frames, ticks, where it is constant.
    pub frame_ticks: Option<u32>,
}

/// A part of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// `moof` and `mdat`, after a `styp` if it begins a segment.
    pub bytes: Bytes,
    /// The segment that it belongs to.
    pub number: u64,
    /// Whether it is the first of its segment.
    pub begins_segment: bool,
    /// Whether it is the last of its segment.
    pub ends_segment: bool,
    /// Whether it begins with a sync sample.
    pub is_independent: bool,
    /// When its first sample is decoded, ticks.
    pub time_ticks: u64,
    /// When the first of its samples is shown, ticks.
    pub presented_ticks: u64,
    /// How long its samples take together, ticks.
    pub duration_ticks: u64,
    /// Samples in it.
    pub samples: u32,
}

/// Writes one track in chunks. See the module.
#[derive(Debug)]
pub struct ChunkWriter {
    parts: Parts,
    init: Bytes,
    codec: String,
    /// The newest sample: its duration is known when the next one comes.
    pending: Option<Sample>,
    /// The segment of the pending sample and the open chunk.
    number: u64,
    begins_segment: bool,
    open: OpenChunk,
    /// Chunks given out.
    written: u32,
    /// A segment has begun whose end was not said ([`ChunkWriter::push_timed`]).
    is_within: bool,
}

#[derive(Debug, Default)]
struct OpenChunk {
    samples: Vec<Timed>,
    size_bytes: usize,
    duration_ticks: u64,
    time_ticks: i64,
    presented_ticks: i64,
}

// === impl Parts ===

impl Parts {
    /// Parts of at most `part_ms` of a track: as many whole frames as fit, and one at least.
    #[must_use]
    pub fn of(part_ms: u32, timescale: u32, frame_ticks: Option<u32>) -> Self {
        let limit_ticks = u64::from(part_ms) * u64::from(timescale) / 1000;
        let frame_ticks = frame_ticks.filter(|ticks| *ticks > 0);
        let unit_ticks = u64::from(frame_ticks.unwrap_or(1));
        let longest_ticks = (limit_ticks / unit_ticks).max(1) * unit_ticks;
        Self { longest_ticks: u32::try_from(longest_ticks).unwrap_or(u32::MAX), frame_ticks }
    }

    /// Whether a part of this length is given out without a look at the next frame.
    fn is_full(self, duration_ticks: u64) -> bool {
        let longest_ticks = u64::from(self.longest_ticks);
        match self.frame_ticks {
            Some(frame_ticks) => duration_ticks + u64::from(frame_ticks) > longest_ticks,
            None => duration_ticks * 100 >= longest_ticks * FULL_PERCENT,
        }
    }
}

// === impl ChunkWriter ===

impl ChunkWriter {
    /// A writer for the track `config`.
    ///
    /// # Errors
    /// [`WriteError`], if the configuration makes no init segment.
    pub fn new(config: &TrackConfig, parts: Parts) -> Result<Self, WriteError> {
        if config.timescale() == 0 {
            return Err(WriteError::Zero { what: "the timescale and the length of a part" });
        }
        let codec = match &config.media {
            MediaConfig::Video(video) => video.name()?,
            MediaConfig::Audio(audio) => audio.name()?,
        };
        Self::of(init::encode(config)?.into(), codec, parts)
    }

    /// A writer for a track whose init segment is there already; its track has the number 1.
    ///
    /// # Errors
    /// [`WriteError::Zero`], if parts have no length.
    pub fn of(init: Bytes, codec: String, parts: Parts) -> Result<Self, WriteError> {
        if parts.longest_ticks == 0 {
            return Err(WriteError::Zero { what: "the timescale and the length of a part" });
        }
        Ok(Self {
            parts,
            init,
            codec,
            pending: None,
            number: 0,
            begins_segment: true,
            open: OpenChunk::default(),
            written: 0,
            is_within: false,
        })
    }

    /// The init segment.
    #[must_use]
    pub fn init(&self) -> &Bytes {
        &self.init
    }

    /// The RFC 6381 codec string.
    #[must_use]
    pub fn codec(&self) -> &str {
        &self.codec
    }

    /// Takes the next sample in decode order, which belongs to segment `number`. Returns the chunks, at most two, that are
    /// whole now.
    ///
    /// # Errors
    /// [`WriteError`]; the writer takes no further sample then.
    pub fn push(&mut self, sample: Sample, number: u64) -> Result<Vec<Chunk>, WriteError> {
        check(&sample)?;
        let begins = self.pending.is_none() || number != self.number;
        if begins && !sample.is_sync {
            return Err(WriteError::NoSync { number, dts_ticks: sample.dts_ticks });
        }
        let mut chunks = Vec::new();
        if let Some(previous) = self.pending.take() {
            if number < self.number {
                return Err(WriteError::Number { number, previous_number: self.number });
            }
            let duration_ticks = duration_between(&previous, &sample)?;
            chunks.extend(self.settle(previous, duration_ticks)?);
            if begins || self.parts.is_full(self.open.duration_ticks) {
                chunks.push(self.close(begins)?);
            }
        }
        if begins {
            self.number = number;
            self.begins_segment = true;
        }
        self.pending = Some(sample);
        Ok(chunks)
    }

    /// Ends the track: the chunks, at most two, that were not given out yet. The last sample takes the duration that came
    /// with it.
    ///
    /// # Errors
    /// As [`ChunkWriter::push`].
    pub fn finish(mut self) -> Result<Vec<Chunk>, WriteError> {
        let Some(last) = self.pending.take() else {
            return Ok(Vec::new());
        };
        if last.duration_ticks == 0 {
            return Err(WriteError::EmptySample { dts_ticks: last.dts_ticks });
        }
        let duration_ticks = last.duration_ticks;
        let mut chunks: Vec<Chunk> = self.settle(last, duration_ticks)?.into_iter().collect();
        chunks.push(self.close(true)?);
        Ok(chunks)
    }

    /// Adds a sample whose duration is known: what it makes whole is given out at once, and nothing waits for the next one. A track
    /// is written so from its first sample to its last, or by [`ChunkWriter::push`].
    ///
    /// # Errors
    /// As [`ChunkWriter::push`].
    pub fn push_timed(&mut self, sample: Sample, number: u64) -> Result<Vec<Chunk>, WriteError> {
        check(&sample)?;
        let Sample { dts_ticks, duration_ticks, is_sync, .. } = sample;
        if duration_ticks == 0 {
            return Err(WriteError::EmptySample { dts_ticks });
        }
        let begins = !self.is_within || number != self.number;
        if begins && !is_sync {
            return Err(WriteError::NoSync { number, dts_ticks });
        }
        if self.written > 0 && number < self.number {
            return Err(WriteError::Number { number, previous_number: self.number });
        }
        let mut chunks = Vec::new();
        if begins {
            chunks.extend(self.end_segment()?);
            (self.number, self.begins_segment, self.is_within) = (number, true, true);
        }
        if !self.reaches(dts_ticks) {
            chunks.push(self.close(false)?);
        }
        chunks.extend(self.settle(sample, duration_ticks)?);
        if self.parts.is_full(self.open.duration_ticks) {
            chunks.push(self.close(false)?);
        }
        Ok(chunks)
    }

    /// Makes the last sample of the open chunk so long that it ends at `time_ticks`, as what follows says better than it did: there is a
    /// hole between them, or they overlap. `false` where the chunk would be longer than a part, or nothing would be left of the sample: then
    /// what follows begins a chunk, which has a time of its own.
    fn reaches(&mut self, time_ticks: i64) -> bool {
        let longest_ticks = u64::from(self.parts.longest_ticks);
        let open = &mut self.open;
        let Some(last) = open.samples.last_mut() else { return true };
        let before_ticks = open.duration_ticks - u64::from(last.duration_ticks);
        let length_ticks = time_ticks.checked_sub(open.time_ticks).and_then(|ticks| u64::try_from(ticks).ok());
        let Some(length_ticks) = length_ticks else { return false };
        let wanted = length_ticks.checked_sub(before_ticks).filter(|wanted| *wanted > 0);
        let Some(wanted) = wanted.and_then(|wanted| u32::try_from(wanted).ok()) else { return false };
        if wanted > last.duration_ticks && length_ticks > longest_ticks {
            return false;
        }
        (last.duration_ticks, open.duration_ticks) = (wanted, length_ticks);
        true
    }

    /// The segment under way is whole: what of it has not been given out yet, which may be nothing. For who uses
    /// [`ChunkWriter::push_timed`].
    ///
    /// # Errors
    /// As [`ChunkWriter::push`].
    pub fn end_segment(&mut self) -> Result<Option<Chunk>, WriteError> {
        self.is_within = false;
        if self.open.samples.is_empty() { Ok(None) } else { self.close(true).map(Some) }
    }

    /// Puts a sample, whose duration is now known, into the open chunk. Returns the one that it did not fit into.
    fn settle(&mut self, sample: Sample, duration_ticks: u32) -> Result<Option<Chunk>, WriteError> {
        let Sample { dts_ticks, pts_ticks, is_sync, data, .. } = sample;
        let composition_offset_ticks =
            i32::try_from(pts_ticks - dts_ticks).map_err(|_| WriteError::PresentationTime { pts_ticks, dts_ticks })?;
        let grown_ticks = self.open.duration_ticks + u64::from(duration_ticks);
        let passes = !self.open.samples.is_empty() && grown_ticks > u64::from(self.parts.longest_ticks);
        let whole = if passes { Some(self.close(false)?) } else { None };
        let number = self.number;
        let open = &mut self.open;
        if open.samples.is_empty() {
            (open.time_ticks, open.presented_ticks) = (dts_ticks, pts_ticks);
        }
        open.size_bytes += data.len();
        if open.size_bytes > CHUNK_SIZE_MAX_BYTES || open.samples.len() == CHUNK_SAMPLES_MAX {
            return Err(WriteError::SegmentTooLarge { number });
        }
        open.duration_ticks += u64::from(duration_ticks);
        open.presented_ticks = open.presented_ticks.min(pts_ticks);
        open.samples.push(Timed { duration_ticks, composition_offset_ticks, is_sync, data });
        Ok(whole)
    }

    fn close(&mut self, ends_segment: bool) -> Result<Chunk, WriteError> {
        let open = std::mem::take(&mut self.open);
        let begins_segment = std::mem::take(&mut self.begins_segment);
        let time_ticks = unsigned(open.time_ticks);
        let bytes = fragment::encode_chunk(self.written, time_ticks, &open.samples, begins_segment)?;
        self.written = self.written.wrapping_add(1);
        Ok(Chunk {
            bytes: bytes.into(),
            number: self.number,
            begins_segment,
            ends_segment,
            is_independent: open.samples.first().is_some_and(|sample| sample.is_sync),
            time_ticks,
            presented_ticks: unsigned(open.presented_ticks),
            duration_ticks: open.duration_ticks,
            samples: u32::try_from(open.samples.len()).expect("at most CHUNK_SAMPLES_MAX"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_whole_frames() {
        let longest = |part_ms, timescale, frame| Parts::of(part_ms, timescale, frame).longest_ticks;
        assert_eq!(longest(200, 25_000, Some(1000)), 5000);
        assert_eq!(longest(200, 30_000, Some(1001)), 5 * 1001);
        assert_eq!(longest(200, 48_000, Some(1024)), 9 * 1024);
        assert_eq!(longest(200, 90_000, None), 18_000);
        // A frame that is longer than a part is one.
        assert_eq!(longest(200, 2_000, Some(1000)), 1000);
        assert_eq!(longest(1, 1, None), 1);
    }
}
