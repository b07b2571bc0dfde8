//! Samples of a segment, read back: where each lies, when it is decoded and shown; and what is made of a few of them.
//!
//! What a player's demuxer does, without a copy: for other containers ([`crate::ts`]), for the pictures of an I-frame
//! playlist, for clips that end within a segment. It takes our own segments and those of other encoders of CMAF
//! (ISO/IEC 23000-19): one track, one `mdat` behind each `moof`, as many of both as there are. Bytes may come from
//! anybody: a sample lies in its `mdat` or there is an error, samples never overlap, and there are at most
//! [`crate::writer::SEGMENT_SAMPLES_MAX`] of them, so neither time nor memory grows beyond the input's length.
//!
//! It never looks into a sample.

pub(crate) mod fragments;
mod init_info;
pub(crate) mod reader;

use std::ops::Range;

use bytes::Bytes;
use thiserror::Error;

pub use self::init_info::{CodecConfig, InitInfo, SampleDefaults, transfer_of};
use crate::{
    boxes::BoxType,
    fragment::{self, Timed},
    writer::WriteError,
};

/// The latest time that is taken, ticks: sums of two of them fit 64 signed bits.
pub(crate) const TICKS_MAX: u64 = 1 << 61;

/// One sample of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleRef {
    /// When it is decoded, ticks of the media timeline (before the edit).
    pub decode_ticks: u64,
    /// Presentation time less decode time, ticks.
    pub composition_offset_ticks: i32,
    /// How long until the next one is decoded, ticks.
    pub duration_ticks: u32,
    /// Whether decoding can start here.
    pub is_sync: bool,
    /// Where its bytes lie in the segment; never empty.
    pub range: Range<usize>,
}

/// A sync sample, and how long it stands for the picture where nothing but sync samples is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyframe {
    /// The sample.
    pub sample: SampleRef,
    /// When it is presented, ticks, the edit applied.
    pub presented_ticks: i64,
    /// Until the next one, or until the segment ends, ticks.
    pub duration_ticks: u32,
}

/// Bytes that are no such init segment or segment.
#[derive(Debug, Error)]
pub enum SamplesError {
    /// A box reaches beyond the end of what it lies in, or is smaller than its own header.
    #[error("box `{kind}` at offset {offset_bytes} does not fit into what holds it")]
    CutOff {
        /// Its type; spaces where not even that is there.
        kind: BoxType,
        /// Where it begins, within what holds it.
        offset_bytes: usize,
    },
    /// A box ends before its fields do.
    #[error("box `{kind}` is shorter than its own fields")]
    Damaged {
        /// Its type.
        kind: BoxType,
    },
    /// A box that must be there is not.
    #[error("there is no box `{kind}`")]
    Missing {
        /// Its type.
        kind: BoxType,
    },
    /// CMAF has one track.
    #[error("there are {count} tracks, not one")]
    Tracks {
        /// How many.
        count: usize,
    },
    /// A fragment of another track than the init segment's.
    #[error("a fragment of the track {track_id} in a segment of the track {expected_id}")]
    OtherTrack {
        /// The fragment's.
        track_id: u32,
        /// The init segment's.
        expected_id: u32,
    },
    /// The samples are encrypted.
    #[error("the track is encrypted")]
    Protected,
    /// A timescale of 0.
    #[error("the init segment has a timescale of 0")]
    NoTimescale,
    /// A time that goes back from one fragment to the next, or is too large.
    #[error("a time is too large, or goes back")]
    Time,
    /// `base_data_offset`: data are looked for in a file, not in the segment.
    #[error("the fragment counts its data's offsets from the start of a file: CMAF has `default-base-is-moof`")]
    AbsoluteOffset,
    /// A fragment of several tracks that says of one only that its data come behind another's.
    #[error("the fragment of a track does not say where its data begin, and another track's come first")]
    NoOffset,
    /// A sample is empty, overlaps another, or lies outside of the `mdat` that follows its `moof`.
    #[error("sample {number} does not lie in its `mdat`, behind the sample before it")]
    OutsideData {
        /// Its number in the segment.
        number: usize,
    },
    /// More samples than a segment may have.
    #[error("there are more than {limit} samples")]
    TooMany {
        /// How many may be.
        limit: usize,
    },
    /// No sample is presented before the end of the clip.
    #[error("nothing of the segment is presented before {until_ticks}")]
    NothingBefore {
        /// The end, ticks.
        until_ticks: i64,
    },
    /// What is left cannot be written.
    #[error("the fragment cannot be written")]
    Write(#[from] WriteError),
}

/// Every sample of `segment`, in decode order: those of all its fragments, of which there is at least one.
///
/// # Errors
/// [`SamplesError`] unless everything that the boxes say fits to the bytes and to `init`.
pub fn samples(segment: &[u8], init: &InitInfo) -> Result<Vec<SampleRef>, SamplesError> {
    let mut samples = Vec::new();
    let mut moof = None;
    for found in reader::boxes(segment) {
        let found = found?;
        match (&found.kind, moof.take()) {
            (b"mdat", Some(moof)) => {
                let data = found.body_start..found.body_start + found.body.len();
                fragments::read(&moof, data, init, &mut samples)?;
            }
            (b"moof", None) => moof = Some(found),
            (b"moof", Some(_)) => return Err(SamplesError::Missing { kind: BoxType(*b"mdat") }),
            (_, pending) => moof = pending,
        }
    }
    match (moof, samples.is_empty()) {
        (Some(_), _) => Err(SamplesError::Missing { kind: BoxType(*b"mdat") }),
        (None, true) => Err(SamplesError::Missing { kind: BoxType(*b"moof") }),
        (None, false) => Ok(samples),
    }
}

/// The sync samples among `samples`, which are all of a segment.
///
/// The segment is taken to end at its earliest presentation time plus the sum of its durations, which is exact where
/// the next segment has the same composition delay.
#[must_use]
pub fn keyframes(samples: &[SampleRef], init: &InitInfo) -> Vec<Keyframe> {
    let shown = samples.iter().map(|sample| init.presented_ticks(sample));
    let length_ticks: i64 = samples.iter().map(|sample| i64::from(sample.duration_ticks)).sum();
    let end_ticks = shown.min().unwrap_or(0).saturating_add(length_ticks);
    let mut keyframes: Vec<Keyframe> = Vec::new();
    for sample in samples.iter().rev().filter(|sample| sample.is_sync) {
        let presented_ticks = init.presented_ticks(sample);
        let next_ticks = keyframes.last().map_or(end_ticks, |next| next.presented_ticks);
        // A segment with odd times still gives each picture some.
        let duration_ticks = u32::try_from(next_ticks - presented_ticks).ok().filter(|ticks| *ticks > 0);
        let duration_ticks = duration_ticks.unwrap_or(sample.duration_ticks);
        keyframes.push(Keyframe { sample: sample.clone(), presented_ticks, duration_ticks });
    }
    keyframes.reverse();
    keyframes
}

/// A segment (`styp`, `moof`, `mdat`) of nothing but `keyframe` of `segment`, which lasts until the next one: an
/// entry of an I-frame playlist (RFC 8216 section 4.3.3.6). `number` counts from 0 and becomes `mfhd`'s.
///
/// # Errors
/// [`SamplesError::OutsideData`] if it is not of this segment.
pub fn single_sample(
    segment: &[u8],
    init: &InitInfo,
    keyframe: &Keyframe,
    number: u32,
) -> Result<Vec<u8>, SamplesError> {
    let sample = &keyframe.sample;
    let data = segment.get(sample.range.clone()).ok_or(SamplesError::OutsideData { number: 0 })?;
    let timed = Timed {
        duration_ticks: keyframe.duration_ticks,
        composition_offset_ticks: sample.composition_offset_ticks,
        is_sync: true,
        data: Bytes::copy_from_slice(data),
    };
    Ok(fragment::encode_of(init.track_id, number, sample.decode_ticks, &[timed])?)
}

/// `segment` with only the samples that are needed to show what is presented before `until_ticks` (the edit applied):
/// in decode order all up to the last one that is presented before it. Some of those may be presented later; a player
/// is told the clip's end by its playlist. What needs no cut comes back byte for byte; anything else becomes one fragment,
/// with `number` (from 0) in `mfhd`.
///
/// # Errors
/// [`SamplesError::NothingBefore`] if no sample is left; otherwise as [`samples`].
pub fn truncated(segment: &[u8], init: &InitInfo, until_ticks: i64, number: u32) -> Result<Vec<u8>, SamplesError> {
    let samples = samples(segment, init)?;
    let last = samples.iter().rposition(|sample| init.presented_ticks(sample) < until_ticks);
    let last = last.ok_or(SamplesError::NothingBefore { until_ticks })?;
    if last + 1 == samples.len() {
        return Ok(segment.to_vec());
    }
    let kept = &samples[..=last];
    let start = kept[0].range.start;
    // One allocation that all share.
    let data = Bytes::copy_from_slice(&segment[start..kept[last].range.end]);
    let timed: Vec<Timed> = kept
        .iter()
        .zip(&samples[1..])
        .map(|(sample, next)| Timed {
            // Fragments may leave gaps between them; in one fragment only durations can say so.
            duration_ticks: u32::try_from(next.decode_ticks - sample.decode_ticks).unwrap_or(sample.duration_ticks),
            composition_offset_ticks: sample.composition_offset_ticks,
            is_sync: sample.is_sync,
            data: data.slice(sample.range.start - start..sample.range.end - start),
        })
        .collect();
    Ok(fragment::encode_of(init.track_id, number, kept[0].decode_ticks, &timed)?)
}
