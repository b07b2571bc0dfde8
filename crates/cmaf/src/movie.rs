//! An ordinary MP4 or QuickTime movie of somebody else, packaged just in time and unconverted as CMAF tracks.
//!
//! The caller reads the `moov` of a stored file ([`crate::boxes`] says where it lies) and hands it to [`Movie::parse`]. Each
//! track then has an init segment, and media segments made of a head that is written here and of byte ranges of the file,
//! which nobody copies or looks into. Times, cuts and figures are those of tracks of our own ([`crate::writer`],
//! [`crate::figures`]); all tracks of a movie share the presentation time 0.
//!
//! *Memory*: the `moov`, whose tables stay where they are, and some 100 bytes a segment. *Time*: one walk over all samples
//! at the start, which also checks every table against the others and against the length of the file; then the samples of
//! the segments that are asked for. What cannot be played is left out, track by track, with a reason for people; a track
//! that is kept can be served to its end.
//!
//! It never reads a sample: what its tables call a sync sample is taken for one.

use std::{fmt, ops::Range};

use bytes::Bytes;
use thiserror::Error;

use crate::{
    figures::{Figures, Measured, Span},
    fragment::{self, Entry, Shape},
    track::Colour,
};
use atoms::Atoms;
use cutting::{Cut, Cuts};
use tables::{Found, Position, Tables};

mod atoms;
mod cutting;
mod edit;
mod entry;
mod header;
mod nesting;
mod sound;
mod tables;
mod trak;
mod words;

pub use nesting::check_nesting;
pub use words::{SoundWords, sound_words};

/// The largest `moov` that is read: 100 hours of 25 pictures a second with AAC at 48 kHz have 104 MiB, 70 hours have 121 MiB
/// where pictures are reordered, each with an offset of its own.
pub const MOOV_SIZE_MAX_BYTES: u64 = 128 << 20;
/// The most samples of a movie that are walked over, as many as a `moov` of [`MOOV_SIZE_MAX_BYTES`] can state sizes of.
pub const SAMPLES_MAX: u32 = 1 << 25;
/// The most segments that a movie is cut into, all tracks together; they take 50 MiB.
pub const SEGMENTS_MAX: usize = 1 << 19;
/// The most tracks that are looked at.
pub const TRACKS_MAX: usize = 128;

/// A stored movie. See the module.
#[derive(Debug)]
pub struct Movie {
    /// What can be played, in the order of the file.
    pub tracks: Vec<MovieTrack>,
    /// What cannot.
    pub left_out: Vec<LeftOut>,
}

/// A track that is not played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// `track_ID`; 0 where the track has none.
    pub track_id: u32,
    /// Why, for people: a clause about the track ("it is encrypted").
    pub reason: String,
}

/// A track that can be played.
pub struct MovieTrack {
    /// `track_ID` in the file.
    pub track_id: u32,
    /// RFC 6381 codec string.
    pub codec: String,
    /// Ticks per second of all times, above 0.
    pub timescale: u32,
    /// Which of the movie's tracks of sound it is, from 0, also counting what is left out; none of pictures.
    pub sound: Option<u32>,
    /// What the file says of it in words.
    pub words: SoundWords,
    /// Whether the file wants it played unless the viewer chooses otherwise.
    pub is_enabled: bool,
    /// What is seen or heard.
    pub media: Media,
    init: Bytes,
    tables: Tables,
    cuts: Cuts,
}

/// What is seen or heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Media {
    /// Pictures.
    Picture(Picture),
    /// Sound.
    Sound(Sound),
}

/// How pictures look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Width of the coded picture in pixels, before rotation.
    pub width: u16,
    /// Height in pixels.
    pub height: u16,
    /// Width and height of a pixel, in any unit; both above 0.
    pub pixel_aspect: (u32, u32),
    /// Clockwise turn that players make, 0, 90, 180 or 270; 0 also where the matrix is no such turn.
    pub rotation_degrees: u16,
    /// Colour, where the container says it.
    pub colour: Option<Colour>,
    /// `VIDEO-RANGE` of HLS.
    pub range: VideoRange,
    /// `SUPPLEMENTAL-CODECS` of HLS, where it is more than its codec says.
    pub supplemental_codec: Option<String>,
    /// Pictures per second as a reduced fraction, where their distance is constant.
    pub frame_rate: Option<(u32, u32)>,
}

/// `TransferCharacteristics` of SMPTE ST 2084 and of ARIB STD-B67 (H.273 table 3).
const TRANSFER_PQ: u16 = 16;
const TRANSFER_HLG: u16 = 18;

/// The dynamic range of pictures, by their transfer characteristics (RFC 8216bis section 4.4.6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoRange {
    /// Standard, or not said.
    Sdr,
    /// Perceptual quantiser (SMPTE ST 2084).
    Pq,
    /// Hybrid log-gamma (ARIB STD-B67).
    Hlg,
}

// === impl VideoRange ===

impl VideoRange {
    /// Of pictures with these transfer characteristics (H.273 section 8.2).
    #[must_use]
    pub fn of_transfer(transfer: u16) -> Self {
        match transfer {
            TRANSFER_PQ => Self::Pq,
            TRANSFER_HLG => Self::Hlg,
            _ => Self::Sdr,
        }
    }
}

/// How sound is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sound {
    /// Channels, the low-frequency one included.
    pub channels: u16,
    /// Samples per second after decoding.
    pub sample_rate_hz: u32,
}

/// When a segment plays and how large it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MovieSegment {
    /// Media time at which the first sample is shown, ticks (before the edit), as [`crate::SegmentEntry`] has it.
    pub time_ticks: u64,
    /// Ticks until the next segment begins, of the last one until the track ends; above 0.
    pub duration_ticks: u64,
    /// Bytes, head included.
    pub size_bytes: u64,
    /// Samples, at least 1.
    pub samples: u32,
    /// Stream access point type of the first sample (ISO/IEC 14496-12 Annex I): 1 for closed GOPs and sound, 3 where
    /// pictures are shown before the one that the segment begins with.
    pub sap: u8,
}

/// What a segment is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentPlan {
    /// `styp`, `moof` and the header of `mdat`.
    pub head: Bytes,
    /// Ranges of the stored file that follow the head, in this order; neighbours are merged, none is empty.
    pub ranges: Vec<Range<u64>>,
    /// Bytes of the head and all ranges.
    pub size_bytes: u64,
}

/// A sync sample, for playlists of I-frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keyframe {
    /// When it is shown, ticks of presentation time (the edit applied).
    pub presented_ticks: u64,
    /// Until the next one is shown, of the last one until the track ends, ticks.
    pub duration_ticks: u64,
    /// Bytes of its [`MovieTrack::keyframe`], head included.
    pub size_bytes: u64,
}

/// A `moov` that is not used at all.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MovieError {
    /// It is larger than [`MOOV_SIZE_MAX_BYTES`].
    #[error("the `moov` box has {size_bytes} bytes, more than the {MOOV_SIZE_MAX_BYTES} that are read")]
    TooLarge {
        /// Its size.
        size_bytes: u64,
    },
    /// It is no `moov` box, or not the whole of it, or the boxes in it do not fit.
    #[error("the `moov` box is damaged: {what}")]
    Damaged {
        /// What is wrong.
        what: &'static str,
    },
    /// Its samples are in fragments.
    #[error("the movie is fragmented: its samples are not listed in `moov`")]
    Fragmented,
    /// It is compressed (`cmov`).
    #[error("the `moov` box is compressed, as old QuickTime files are: convert the file")]
    Compressed,
    /// It has more tracks than [`TRACKS_MAX`].
    #[error("the movie has more than {TRACKS_MAX} tracks")]
    TooManyTracks,
    /// The target duration is 0.
    #[error("the target duration of segments must be above 0")]
    NoTarget,
}

/// The only track of a fragmented movie.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) codec: String,
    pub(crate) language: Option<String>,
    pub(crate) media: Media,
    pub(crate) init: Bytes,
}

/// What the body of a `moov` says of its only track; else a clause for people.
pub(crate) fn describe(moov: &Bytes) -> Result<Described, String> {
    let trak = atoms::find(moov, b"trak").ok_or("it has no whole `trak` box")?;
    trak::describe(&trak)
}

// === impl Movie ===

impl Movie {
    /// Reads `moov`, the whole box with its header, of a file of `file_size_bytes`, and cuts its tracks into segments of
    /// `target_ms`: each begins with the first sync sample presented at or after a multiple of it.
    ///
    /// # Errors
    /// [`MovieError`], if nothing can be said of any track.
    pub fn parse(moov: &Bytes, file_size_bytes: u64, target_ms: u32) -> Result<Self, MovieError> {
        if target_ms == 0 {
            return Err(MovieError::NoTarget);
        }
        let size_bytes = moov.len() as u64;
        if size_bytes > MOOV_SIZE_MAX_BYTES {
            return Err(MovieError::TooLarge { size_bytes });
        }
        let damaged = |what| MovieError::Damaged { what };
        let body = Atoms::of(moov).next().filter(|atom| &atom.kind == b"moov").ok_or(damaged("it is cut off"))?.body;
        let mut atoms = Atoms::of(&body);
        let mut traks = Vec::new();
        for atom in atoms.by_ref() {
            match &atom.kind {
                b"trak" if traks.len() == TRACKS_MAX => return Err(MovieError::TooManyTracks),
                b"trak" => traks.push(atom.body),
                b"cmov" => return Err(MovieError::Compressed),
                b"mvex" => return Err(MovieError::Fragmented),
                _ => {}
            }
        }
        if atoms.rest().iter().any(|byte| *byte != 0) {
            return Err(damaged("its boxes do not fit into it, or are too many"));
        }
        let timescale = atoms::find(&body, b"mvhd").and_then(|mvhd| trak::timescale(&mvhd));
        let timescale = timescale.ok_or(damaged("it has no `mvhd` with a timescale"))?;

        let chapters = traks.iter().flat_map(trak::chapters).collect::<Vec<u32>>();
        let mut limits = trak::Limits { target_ms, file_size_bytes, samples: SAMPLES_MAX, segments: SEGMENTS_MAX };
        let (mut tracks, mut left_out) = (Vec::new(), Vec::new());
        let mut sounds = 0_u32..;
        for trak in traks {
            let track_id = trak::track_id(&trak).unwrap_or(0);
            let sound = if words::is_sound(&trak) { sounds.next() } else { None };
            let parsed = if chapters.contains(&track_id) {
                Err("it holds the chapters of another track".to_owned())
            } else {
                trak::parse(&trak, track_id, timescale, &mut limits)
            };
            match parsed {
                Ok(track) => tracks.push(MovieTrack { sound, ..track }),
                Err(reason) => left_out.push(LeftOut { track_id, reason }),
            }
        }
        Ok(Self { tracks, left_out })
    }
}

// === impl MovieTrack ===

impl MovieTrack {
    /// The init segment: `ftyp` and `moov`.
    #[must_use]
    pub fn init(&self) -> &Bytes {
        &self.init
    }

    /// Media time that is presented at 0, ticks: `media_time` of the edit list of the init segment, 0 without one.
    #[must_use]
    pub fn edit_media_time_ticks(&self) -> u64 {
        unsigned(self.cuts.shift.edit_media_time_ticks)
    }

    /// The segments in order; `n` of the URL is the position, from 0. There is one at least.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = MovieSegment> {
        self.cuts.cuts.iter().map(MovieSegment::of)
    }

    /// What is presented of the segment `number`, ticks: its duration less what the edit list cuts off.
    #[must_use]
    pub fn presented_ticks(&self, number: usize) -> Option<u64> {
        self.cuts.cuts.get(number).map(|cut| self.presented_of(&MovieSegment::of(cut)))
    }

    /// What the segment `number` is made of.
    #[must_use]
    pub fn segment(&self, number: usize) -> Option<SegmentPlan> {
        let cut = self.cuts.cuts.get(number)?;
        let mut position = cut.position;
        // Bounded by the cut: at most `SEGMENT_SAMPLES_MAX`.
        let mut samples = Vec::with_capacity(cut.samples as usize);
        for _ in 0..cut.samples {
            samples.push(self.tables.next(&mut position).ok()??);
        }
        self.plan(u32::try_from(number).ok()?, &samples)
    }

    /// Length and speed, measured as of tracks of our own.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let spans: Vec<Span> = self
            .segments()
            .map(|segment| Span { duration_ticks: segment.duration_ticks, size_bytes: segment.size_bytes })
            .collect();
        Figures::measure(&Measured {
            timescale: self.timescale.into(),
            spans: &spans,
            presented_ticks: self.segments().map(|segment| self.presented_of(&segment)).sum(),
            samples: self.segments().map(|segment| u64::from(segment.samples)).sum(),
            init_size_bytes: self.init.len() as u64,
        })
    }

    /// All sync samples, in the order of [`MovieTrack::keyframe`]. It walks over all samples.
    pub fn keyframes(&self) -> impl Iterator<Item = Keyframe> {
        let mut syncs = self.sync_samples(self.first_position());
        let mut next = syncs.next();
        std::iter::from_fn(move || {
            let found = next.take()?;
            next = syncs.next();
            let presented_ticks = unsigned(self.presented(&found));
            let end_ticks = match &next {
                Some(next) => self.presented(next),
                None => self.cuts.end_ticks - self.cuts.shift.edit_media_time_ticks,
            };
            let mut shape = Shape::new();
            shape.add(&self.entry(&found));
            Some(Keyframe {
                presented_ticks,
                duration_ticks: unsigned(end_ticks).saturating_sub(presented_ticks),
                size_bytes: shape.head_size_bytes() + u64::from(found.size_bytes),
            })
        })
    }

    /// The sync sample `number`, from 0, alone in a segment, where it lasts until the next one is decoded.
    #[must_use]
    pub fn keyframe(&self, number: u32) -> Option<SegmentPlan> {
        if number >= self.cuts.keyframes {
            return None;
        }
        let cut = self.cuts.cuts.partition_point(|cut| cut.keyframe <= number).checked_sub(1)?;
        let cut = &self.cuts.cuts[cut];
        let mut syncs = self.sync_samples(cut.position).skip((number - cut.keyframe) as usize);
        let mut found = syncs.next()?;
        let lasting_ticks = match syncs.next() {
            Some(next) => next.dts_ticks.saturating_sub(found.dts_ticks),
            None => unsigned(self.cuts.end_ticks - self.media_time(&found)),
        };
        found.delta_ticks = u32::try_from(lasting_ticks.max(1)).unwrap_or(u32::MAX);
        self.plan(number, &[found])
    }

    fn presented_of(&self, segment: &MovieSegment) -> u64 {
        let cut_ticks = self.edit_media_time_ticks().saturating_sub(segment.time_ticks);
        segment.duration_ticks.saturating_sub(cut_ticks)
    }

    fn first_position(&self) -> Position {
        self.cuts.cuts.first().map(|cut| cut.position).unwrap_or_default()
    }

    /// Sync samples that are kept, from `position` on.
    fn sync_samples(&self, mut position: Position) -> impl Iterator<Item = Found> {
        let end = self.cuts.cuts.last().map_or(0, |Cut { position, samples, .. }| position.sample + samples);
        std::iter::from_fn(move || {
            while position.sample < end {
                let found = self.tables.next(&mut position).ok()??;
                if found.is_sync {
                    return Some(found);
                }
            }
            None
        })
    }

    /// Media time, of what is written, at which a sample is shown.
    fn media_time(&self, found: &Found) -> i64 {
        let entry = self.entry(found);
        decode_ticks(found) + self.cuts.shift.decode_ticks + i64::from(entry.composition_offset_ticks)
    }

    fn presented(&self, found: &Found) -> i64 {
        self.media_time(found) - self.cuts.shift.edit_media_time_ticks
    }

    fn entry(&self, found: &Found) -> Entry {
        Entry {
            duration_ticks: found.delta_ticks,
            composition_offset_ticks: found.composition_offset_ticks + self.cuts.shift.composition_ticks,
            is_sync: found.is_sync,
            size_bytes: found.size_bytes,
        }
    }

    fn plan(&self, number: u32, samples: &[Found]) -> Option<SegmentPlan> {
        let time_ticks = unsigned(decode_ticks(samples.first()?) + self.cuts.shift.decode_ticks);
        let entries: Vec<Entry> = samples.iter().map(|found| self.entry(found)).collect();
        let head = Bytes::from(fragment::encode_head(number, time_ticks, &entries).ok()?);
        let mut ranges: Vec<Range<u64>> = Vec::new();
        let mut size_bytes = head.len() as u64;
        for found in samples.iter().filter(|found| found.size_bytes > 0) {
            let end = found.offset_bytes + u64::from(found.size_bytes);
            size_bytes += u64::from(found.size_bytes);
            match ranges.last_mut() {
                Some(last) if last.end == found.offset_bytes => last.end = end,
                _ => ranges.push(found.offset_bytes..end),
            }
        }
        Some(SegmentPlan { head, ranges, size_bytes })
    }
}

impl fmt::Debug for MovieTrack {
    /// Without its tables, which have the size of the `moov`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MovieTrack")
            .field("track_id", &self.track_id)
            .field("codec", &self.codec)
            .field("timescale", &self.timescale)
            .field("words", &self.words)
            .field("media", &self.media)
            .field("segments", &self.cuts.cuts.len())
            .finish_non_exhaustive()
    }
}

// === impl MovieSegment ===

impl MovieSegment {
    fn of(cut: &Cut) -> Self {
        Self {
            time_ticks: unsigned(cut.time_ticks),
            duration_ticks: cut.duration_ticks,
            size_bytes: cut.size_bytes,
            samples: cut.samples,
            sap: if cut.is_open { 3 } else { 1 },
        }
    }
}

/// Below 2^58: at most [`SAMPLES_MAX`] samples of less than 2^32 ticks each.
fn decode_ticks(found: &Found) -> i64 {
    i64::try_from(found.dts_ticks).unwrap_or(i64::MAX)
}

fn unsigned(ticks: i64) -> u64 {
    u64::try_from(ticks).unwrap_or(0)
}
