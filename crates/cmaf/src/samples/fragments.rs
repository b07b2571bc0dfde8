//! The samples of movie fragments (ISO/IEC 14496-12 section 8.8), each checked to lie in the `mdat` that follows its `moof`.

use std::ops::Range;

use super::{
    InitInfo, SampleRef, SamplesError, TICKS_MAX,
    reader::{Fields, Found, boxes, child},
};
use crate::{boxes::BoxType, writer::SEGMENT_SAMPLES_MAX};

// `tf_flags` (section 8.8.7.1).
const BASE_DATA_OFFSET: u32 = 0x01;
const DESCRIPTION_INDEX: u32 = 0x02;
const DEFAULT_DURATION: u32 = 0x08;
const DEFAULT_SIZE: u32 = 0x10;
const DEFAULT_FLAGS: u32 = 0x20;
const DEFAULT_BASE_IS_MOOF: u32 = 0x02_0000;
// `tr_flags` (section 8.8.8.1).
const DATA_OFFSET: u32 = 0x01;
const FIRST_FLAGS: u32 = 0x04;
const DURATIONS: u32 = 0x100;
const SIZES: u32 = 0x200;
const FLAGS: u32 = 0x400;
const OFFSETS: u32 = 0x800;
/// `sample_is_non_sync_sample` (section 8.8.3.1).
const NON_SYNC: u32 = 0x0001_0000;

/// Where a run goes on: the next sample's time and place.
struct Cursor {
    decode_ticks: u64,
    at: usize,
}

/// Appends the samples of one fragment, whose data lie in `data` of the segment.
pub(crate) fn read(
    moof: &Found<'_>,
    data: Range<usize>,
    init: &InitInfo,
    samples: &mut Vec<SampleRef>,
) -> Result<(), SamplesError> {
    let mut trafs = boxes(moof.body).filter(|found| found.as_ref().map_or(true, |found| found.kind == *b"traf"));
    let traf = trafs.next().ok_or(SamplesError::Missing { kind: BoxType(*b"traf") })??;
    if let Some(other) = trafs.next() {
        other?;
        return Err(SamplesError::Tracks { count: 2 + trafs.count() });
    }
    let mut tfhd = child(traf.body, b"tfhd")?.fields();
    let (_, tf_flags) = tfhd.version_flags()?;
    let track_id = tfhd.u32()?;
    if track_id != init.track_id {
        return Err(SamplesError::OtherTrack { track_id, expected_id: init.track_id });
    }
    // An offset in a file that is not here. Without it, data count from `moof`, whether that is said or not,
    // because there is one track.
    if tf_flags & BASE_DATA_OFFSET != 0 && tf_flags & DEFAULT_BASE_IS_MOOF == 0 {
        return Err(SamplesError::AbsoluteOffset);
    }
    if tf_flags & BASE_DATA_OFFSET != 0 {
        tfhd.skip(8)?;
    }
    if tf_flags & DESCRIPTION_INDEX != 0 {
        tfhd.skip(4)?;
    }
    let mut defaults = init.defaults;
    if tf_flags & DEFAULT_DURATION != 0 {
        defaults.duration_ticks = tfhd.u32()?;
    }
    if tf_flags & DEFAULT_SIZE != 0 {
        defaults.size_bytes = tfhd.u32()?;
    }
    if tf_flags & DEFAULT_FLAGS != 0 {
        defaults.flags = tfhd.u32()?;
    }
    let mut tfdt = child(traf.body, b"tfdt")?.fields();
    let (version, _) = tfdt.version_flags()?;
    let decode_ticks = tfdt.wide(version)?;
    if samples.last().is_some_and(|last| last.decode_ticks > decode_ticks) {
        return Err(SamplesError::Time);
    }
    let mut cursor = Cursor { decode_ticks, at: data.start };
    for trun in boxes(traf.body) {
        let trun = trun?;
        if trun.kind == *b"trun" {
            run(trun.fields(), moof.start, &data, defaults, &mut cursor, samples)?;
        }
    }
    Ok(())
}

/// Samples never overlap and never are empty, so there are no more of them than bytes of data.
fn run(
    mut trun: Fields<'_>,
    moof_start: usize,
    data: &Range<usize>,
    defaults: super::SampleDefaults,
    cursor: &mut Cursor,
    samples: &mut Vec<SampleRef>,
) -> Result<(), SamplesError> {
    let (version, tr_flags) = trun.version_flags()?;
    let count = trun.u32()?;
    if tr_flags & DATA_OFFSET != 0 {
        let offset_bytes = trun.u32()?.cast_signed();
        let start = i64::try_from(moof_start).ok().and_then(|start| start.checked_add(offset_bytes.into()));
        let start = start.and_then(|start| usize::try_from(start).ok());
        let start = start.filter(|start| *start >= cursor.at && data.end >= *start);
        cursor.at = start.ok_or(SamplesError::OutsideData { number: samples.len() })?;
    }
    let mut first_flags = if tr_flags & FIRST_FLAGS != 0 { Some(trun.u32()?) } else { None };
    for _ in 0..count {
        let duration_ticks = if tr_flags & DURATIONS != 0 { trun.u32()? } else { defaults.duration_ticks };
        let size_bytes = if tr_flags & SIZES != 0 { trun.u32()? } else { defaults.size_bytes };
        let own_flags = if tr_flags & FLAGS != 0 { Some(trun.u32()?) } else { None };
        let offset = if tr_flags & OFFSETS != 0 { trun.u32()? } else { 0 };
        let flags = first_flags.take().or(own_flags).unwrap_or(defaults.flags);
        let number = samples.len();
        if number == SEGMENT_SAMPLES_MAX {
            return Err(SamplesError::TooMany { limit: SEGMENT_SAMPLES_MAX });
        }
        let composition_offset_ticks = match version {
            0 => i32::try_from(offset).map_err(|_| SamplesError::Time)?,
            _ => offset.cast_signed(),
        };
        let end = usize::try_from(size_bytes).ok().filter(|size| *size > 0);
        let end = end.and_then(|size| cursor.at.checked_add(size)).filter(|end| *end <= data.end);
        let end = end.ok_or(SamplesError::OutsideData { number })?;
        if cursor.decode_ticks > TICKS_MAX {
            return Err(SamplesError::Time);
        }
        samples.push(SampleRef {
            decode_ticks: cursor.decode_ticks,
            composition_offset_ticks,
            duration_ticks,
            is_sync: flags & NON_SYNC == 0,
            range: cursor.at..end,
        });
        cursor.at = end;
        cursor.decode_ticks += u64::from(duration_ticks);
    }
    Ok(())
}
