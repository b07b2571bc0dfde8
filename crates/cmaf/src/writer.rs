//! Writes one CMAF track: samples in, an init segment and media segments out, an index at the end.
//!
//! The caller appends [`TrackWriter::init`], then every [`Segment`] in order, to one object, and stores the
//! index of [`Finished`] beside it. The writer holds one segment at most, so its memory does not grow with
//! the track. The init segment is final from the start and is never patched.
//!
//! *Times.* The decode duration of a sample is the distance to the next sample's decode time, so that
//! segments follow each other without a gap and frames of variable rate keep their exact times; only the
//! last sample of the track uses the duration that came with it (a shortened one trims the padding of AAC).
//! Composition offsets are signed (`trun` version 1). A track that begins late says so in its first `tfdt`.
//! Where the input has no usable decode times, [`crate::timing`] makes them. The index counts in presentation
//! times, as playlists do; segments never overlap in them, because they begin with closed GOPs only.

use bytes::Bytes;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::{
    codec::CodecError,
    figures::Figures,
    fragment::{self, Timed},
    index::{self, KeyframeEntry, SegmentEntry, TrackIndex},
    init,
    track::{MediaConfig, TrackConfig},
};

/// The most bytes of samples that one segment may hold; it bounds the writer's memory.
pub const SEGMENT_SIZE_MAX_BYTES: u64 = 512 << 20;
/// The most samples that one segment may hold.
pub const SEGMENT_SAMPLES_MAX: usize = 1 << 20;

/// One encoded frame or access unit, in decode order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Decode time on the track's media timeline, ticks; increases strictly, never below 0.
    pub dts_ticks: i64,
    /// Presentation time on the same timeline, ticks; never below 0. It is shown at this time less the edit
    /// (`priming_samples`, `composition_delay_ticks`).
    pub pts_ticks: i64,
    /// How long it is shown, ticks, above 0. Only the last sample's is used.
    pub duration_ticks: u32,
    /// Whether decoding can start here (IDR picture; every access unit of AAC).
    pub is_sync: bool,
    /// Length-prefixed NAL units, or one raw AAC access unit.
    pub data: Bytes,
}

/// Where segments begin, besides at the first sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segmentation {
    /// At the first sync sample presented at or after each multiple of this many milliseconds (above 0) of
    /// presentation time, the edit applied. Tracks with the same sync times are cut alike.
    Interval {
        /// Length of a segment in milliseconds.
        ms: u32,
    },
    /// Only where [`TrackWriter::begin_segment`] was called.
    OnCall,
}

/// A finished segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// `styp`, `moof`, `mdat`: to be appended to the object.
    pub bytes: Vec<u8>,
    /// Its entry in the index.
    pub entry: SegmentEntry,
}

/// What is known once the last sample is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// The last segment, to be appended like those before.
    pub last_segment: Segment,
    /// The index of the whole track.
    pub index: TrackIndex,
    /// Its measured figures.
    pub figures: Figures,
}

/// Samples or a configuration that make no track.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The configuration names no codec.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The timescale or the segment length is 0.
    #[error("{what} must be above 0")]
    Zero {
        /// What is 0.
        what: &'static str,
    },
    /// A box refuses its content, for example a malformed H.264 configuration record.
    #[error("a box cannot be written")]
    Box(#[from] mp4_atom::Error),
    /// The first sample of the track, or the one that [`TrackWriter::begin_segment`] announced, is no sync sample.
    #[error("the segment {number} would begin with a sample that is no sync sample, at decode time {dts_ticks}")]
    NoSync {
        /// The segment's number.
        number: u64,
        /// The sample's decode time.
        dts_ticks: i64,
    },
    /// Decode times do not increase strictly, start below 0, or are further apart than 32 bits of ticks.
    #[error("decode time {dts_ticks} cannot follow {previous_ticks:?}")]
    DecodeTime {
        /// The sample's.
        dts_ticks: i64,
        /// The one before it, if any.
        previous_ticks: Option<i64>,
    },
    /// The presentation time is below 0 or too far from the decode time.
    #[error("presentation time {pts_ticks} does not fit to decode time {dts_ticks}")]
    PresentationTime {
        /// The presentation time.
        pts_ticks: i64,
        /// The decode time.
        dts_ticks: i64,
    },
    /// A sample that is shown before the sync sample that its segment begins with, or not after all of the
    /// segment before: the GOPs are not closed.
    #[error("the sample presented at {pts_ticks} overlaps the segment that begins or ends at {limit_ticks}")]
    OpenGop {
        /// Its presentation time.
        pts_ticks: i64,
        /// The time that it must not pass.
        limit_ticks: i64,
    },
    /// A sample without bytes, or the last one without a duration.
    #[error("the sample at decode time {dts_ticks} is empty or has no duration")]
    EmptySample {
        /// Its decode time.
        dts_ticks: i64,
    },
    /// A segment passes [`SEGMENT_SIZE_MAX_BYTES`] or [`SEGMENT_SAMPLES_MAX`].
    #[error("segment {number} is too large: are there sync samples often enough?")]
    SegmentTooLarge {
        /// Its number.
        number: u64,
    },
    /// A sample belongs to an earlier segment than the one before it.
    #[error("segment {number} cannot follow segment {previous_number}")]
    Number {
        /// The segment that it is said to belong to.
        number: u64,
        /// That of the sample before.
        previous_number: u64,
    },
    /// The track ended before its first sample.
    #[error("the track has no sample")]
    NoSamples,
}

/// Writes one track. See the module.
#[derive(Debug)]
pub struct TrackWriter {
    segmentation: Segmentation,
    timescale: u32,
    edit_media_time_ticks: u64,
    init: Vec<u8>,
    codec: String,
    has_pictures: bool,
    /// The newest sample: its duration is known when the next one comes.
    pending: Option<Sample>,
    open: OpenSegment,
    begin_requested: bool,
    offset_bytes: u64,
    entries: Vec<SegmentEntry>,
}

/// The samples since the last cut, without the pending one.
#[derive(Debug, Default)]
struct OpenSegment {
    samples: Vec<Timed>,
    size_bytes: u64,
    /// Of pictures only: of sound all samples are sync samples.
    keyframes: Vec<KeyframeEntry>,
    /// Times of the first sample.
    dts_ticks: i64,
    pts_ticks: i64,
    /// Of the sample that is shown last: when it appears, and when it ends by its own account.
    last_pts_ticks: i64,
    end_ticks: i64,
}

// === impl TrackWriter ===

impl TrackWriter {
    /// A writer for the track `config`.
    ///
    /// # Errors
    /// [`WriteError`], if the configuration makes no init segment.
    pub fn new(config: &TrackConfig, segmentation: Segmentation) -> Result<Self, WriteError> {
        let timescale = config.timescale();
        if timescale == 0 {
            return Err(WriteError::Zero { what: "the timescale" });
        }
        if segmentation == (Segmentation::Interval { ms: 0 }) {
            return Err(WriteError::Zero { what: "the segment length" });
        }
        let codec = match &config.media {
            MediaConfig::Video(video) => video.name()?,
            MediaConfig::Audio(audio) => audio.name()?,
        };
        let init = init::encode(config)?;
        let offset_bytes = size_of(&init);
        Ok(Self {
            segmentation,
            timescale,
            edit_media_time_ticks: config.edit_media_time_ticks(),
            init,
            codec,
            has_pictures: matches!(config.media, MediaConfig::Video(_)),
            pending: None,
            open: OpenSegment::default(),
            begin_requested: false,
            offset_bytes,
            entries: Vec::new(),
        })
    }

    /// The init segment: the first bytes of the object, final from the start.
    #[must_use]
    pub fn init(&self) -> &[u8] {
        &self.init
    }

    /// The RFC 6381 codec string.
    #[must_use]
    pub fn codec(&self) -> &str {
        &self.codec
    }

    /// Makes the next sample begin a segment. It must be a sync sample.
    pub fn begin_segment(&mut self) {
        self.begin_requested = true;
    }

    /// Takes the next sample in decode order. Returns the segment that it ends by beginning another.
    ///
    /// # Errors
    /// [`WriteError`]; the writer takes no further sample then.
    pub fn push(&mut self, sample: Sample) -> Result<Option<Segment>, WriteError> {
        check(&sample)?;
        let Some(previous) = self.pending.take() else {
            if !sample.is_sync {
                return Err(WriteError::NoSync { number: 0, dts_ticks: sample.dts_ticks });
            }
            self.begin_requested = false;
            self.pending = Some(sample);
            return Ok(None);
        };
        let duration_ticks = duration_between(&previous, &sample)?;
        let begins = self.begins_segment(&previous, &sample)?;
        self.settle(previous, duration_ticks)?;
        let segment = if begins { Some(self.close(sample.pts_ticks)?) } else { None };
        self.pending = Some(sample);
        Ok(segment)
    }

    /// Ends the track.
    ///
    /// # Errors
    /// [`WriteError::NoSamples`] if there never was one; otherwise as [`TrackWriter::push`].
    pub fn finish(mut self) -> Result<Finished, WriteError> {
        let last = self.pending.take().ok_or(WriteError::NoSamples)?;
        if last.duration_ticks == 0 {
            return Err(WriteError::EmptySample { dts_ticks: last.dts_ticks });
        }
        let duration_ticks = last.duration_ticks;
        self.settle(last, duration_ticks)?;
        let last_segment = self.close(self.open.end_ticks)?;
        let index = TrackIndex {
            version: index::VERSION,
            codec: self.codec,
            timescale: self.timescale,
            edit_media_time_ticks: self.edit_media_time_ticks,
            init_size_bytes: size_of(&self.init),
            init_sha256: sha256_hex(&self.init),
            segments: self.entries,
        };
        let figures = Figures::of(&index);
        Ok(Finished { last_segment, index, figures })
    }

    fn number(&self) -> u32 {
        u32::try_from(self.entries.len()).unwrap_or(u32::MAX)
    }

    /// Whether `sample`, which follows `previous`, begins a segment.
    fn begins_segment(&mut self, previous: &Sample, sample: &Sample) -> Result<bool, WriteError> {
        if std::mem::take(&mut self.begin_requested) {
            return if sample.is_sync {
                Ok(true)
            } else {
                Err(WriteError::NoSync { number: u64::from(self.number()) + 1, dts_ticks: sample.dts_ticks })
            };
        }
        Ok(match self.segmentation {
            Segmentation::OnCall => false,
            Segmentation::Interval { ms } => {
                // The open segment's first sample is still pending if it is the only one.
                let start_ticks = if self.open.samples.is_empty() { previous.pts_ticks } else { self.open.pts_ticks };
                sample.is_sync && self.interval_of(sample.pts_ticks, ms) > self.interval_of(start_ticks, ms)
            }
        })
    }

    /// The number of the interval of presentation time that `pts_ticks` lies in; priming counts as 0.
    fn interval_of(&self, pts_ticks: i64, ms: u32) -> i128 {
        let presented_ticks = i128::from(pts_ticks) - i128::from(self.edit_media_time_ticks);
        presented_ticks.max(0) * 1000 / (i128::from(self.timescale) * i128::from(ms))
    }

    /// Puts a sample, whose duration is now known, into the open segment.
    fn settle(&mut self, sample: Sample, duration_ticks: u32) -> Result<(), WriteError> {
        let Sample { dts_ticks, pts_ticks, is_sync, data, duration_ticks: shown_ticks } = sample;
        let composition_offset_ticks =
            i32::try_from(pts_ticks - dts_ticks).map_err(|_| WriteError::PresentationTime { pts_ticks, dts_ticks })?;
        let (number, has_pictures) = (self.number().into(), self.has_pictures);
        let open = &mut self.open;
        open.size_bytes += size_of(&data);
        if open.size_bytes > SEGMENT_SIZE_MAX_BYTES || open.samples.len() == SEGMENT_SAMPLES_MAX {
            return Err(WriteError::SegmentTooLarge { number });
        }
        if open.samples.is_empty() {
            (open.dts_ticks, open.pts_ticks, open.last_pts_ticks) = (dts_ticks, pts_ticks, pts_ticks);
        }
        if pts_ticks < open.pts_ticks {
            return Err(WriteError::OpenGop { pts_ticks, limit_ticks: open.pts_ticks });
        }
        if pts_ticks >= open.last_pts_ticks {
            open.last_pts_ticks = pts_ticks;
            open.end_ticks = pts_ticks.saturating_add(i64::from(shown_ticks));
        }
        if has_pictures && is_sync {
            let size_bytes = u32::try_from(data.len()).expect("a segment is not that large");
            open.keyframes.push(KeyframeEntry { time_ticks: unsigned(pts_ticks), size_bytes });
        }
        open.samples.push(Timed { duration_ticks, composition_offset_ticks, is_sync, data });
        Ok(())
    }

    /// Ends the open segment where the next one is shown from.
    fn close(&mut self, end_ticks: i64) -> Result<Segment, WriteError> {
        let open = std::mem::take(&mut self.open);
        if end_ticks <= open.last_pts_ticks {
            return Err(WriteError::OpenGop { pts_ticks: end_ticks, limit_ticks: open.last_pts_ticks });
        }
        let bytes = fragment::encode(self.number(), unsigned(open.dts_ticks), &open.samples)?;
        let entry = SegmentEntry {
            offset_bytes: self.offset_bytes,
            size_bytes: size_of(&bytes),
            time_ticks: unsigned(open.pts_ticks),
            duration_ticks: unsigned(end_ticks - open.pts_ticks),
            samples: u32::try_from(open.samples.len()).expect("at most SEGMENT_SAMPLES_MAX"),
            // Every segment begins with a sync sample, and no other is shown before it.
            sap: 1,
            sha256: sha256_hex(&bytes),
            keyframes: open.keyframes,
        };
        self.offset_bytes += entry.size_bytes;
        self.entries.push(entry.clone());
        Ok(Segment { bytes, entry })
    }
}

pub(crate) fn check(sample: &Sample) -> Result<(), WriteError> {
    let Sample { dts_ticks, pts_ticks, .. } = *sample;
    if dts_ticks < 0 {
        return Err(WriteError::DecodeTime { dts_ticks, previous_ticks: None });
    }
    if pts_ticks < 0 {
        return Err(WriteError::PresentationTime { pts_ticks, dts_ticks });
    }
    if sample.data.is_empty() {
        return Err(WriteError::EmptySample { dts_ticks });
    }
    Ok(())
}

pub(crate) fn duration_between(previous: &Sample, next: &Sample) -> Result<u32, WriteError> {
    u32::try_from(next.dts_ticks - previous.dts_ticks)
        .ok()
        .filter(|&ticks| ticks > 0)
        .ok_or(WriteError::DecodeTime { dts_ticks: next.dts_ticks, previous_ticks: Some(previous.dts_ticks) })
}

pub(crate) fn unsigned(ticks: i64) -> u64 {
    u64::try_from(ticks).expect("times below 0 were refused")
}

fn size_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).expect("a length in memory fits 64 bits")
}

fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
