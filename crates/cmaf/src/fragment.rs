//! Media segments: a `styp`, and fragments of `moof` and `mdat` (ISO/IEC 23000-19 section 7.3.2). A stored segment is one
//! fragment, a live one has a fragment for each chunk.

use bytes::Bytes;
use mp4_atom::{Encode, FourCC, Mfhd, Moof, Styp, Tfdt, Tfhd, Traf, Trun, TrunEntry};

use crate::{init::TRACK_ID, writer::WriteError};

/// `sample_depends_on = 2` (on none): a sync sample (ISO/IEC 14496-12 section 8.8.3.1).
const FLAGS_SYNC: u32 = 0x0200_0000;
/// `sample_depends_on = 1`, `sample_is_non_sync_sample`.
const FLAGS_NON_SYNC: u32 = 0x0101_0000;
/// `size` and `type` of a box.
const HEADER_SIZE_BYTES: usize = 8;

/// A sample whose duration is settled.
#[derive(Debug)]
pub(crate) struct Timed {
    pub(crate) duration_ticks: u32,
    /// Presentation time less decode time.
    pub(crate) composition_offset_ticks: i32,
    pub(crate) is_sync: bool,
    pub(crate) data: Bytes,
}

/// Room for the boxes of a fragment that has no samples.
const BOXES_SIZE_BYTES: usize = 256;
/// Most bytes that a sample takes in `trun`.
const ENTRY_SIZE_BYTES: usize = 16;

/// Bytes of a segment that is one fragment. `number` counts from 0; the first sample is decoded at `time_ticks`.
pub(crate) fn encode(number: u32, time_ticks: u64, samples: &[Timed]) -> Result<Vec<u8>, WriteError> {
    let mut bytes = with_room(samples);
    begin_segment(&mut bytes)?;
    append(&mut bytes, number, time_ticks, samples)?;
    Ok(bytes)
}

/// Bytes of one fragment; of the first of its segment if `begins_segment`.
pub(crate) fn encode_chunk(
    number: u32,
    time_ticks: u64,
    samples: &[Timed],
    begins_segment: bool,
) -> Result<Vec<u8>, WriteError> {
    let mut bytes = with_room(samples);
    if begins_segment {
        begin_segment(&mut bytes)?;
    }
    append(&mut bytes, number, time_ticks, samples)?;
    Ok(bytes)
}

fn with_room(samples: &[Timed]) -> Vec<u8> {
    Vec::with_capacity(data_size(samples) + ENTRY_SIZE_BYTES * samples.len() + BOXES_SIZE_BYTES)
}

fn data_size(samples: &[Timed]) -> usize {
    samples.iter().map(|sample| sample.data.len()).sum()
}

fn begin_segment(bytes: &mut Vec<u8>) -> Result<(), WriteError> {
    Styp {
        major_brand: FourCC::new(b"msdh"),
        minor_version: 0,
        compatible_brands: vec![FourCC::new(b"msdh"), FourCC::new(b"cmfs"), FourCC::new(b"cmff")],
    }
    .encode(bytes)?;
    Ok(())
}

fn append(bytes: &mut Vec<u8>, number: u32, time_ticks: u64, samples: &[Timed]) -> Result<(), WriteError> {
    let too_large = || WriteError::SegmentTooLarge { number: number.into() };
    let moof_start = bytes.len();
    let mut moof = movie_fragment(number, time_ticks, samples);
    moof.encode(bytes)?;
    // The data offset counts from the first byte of `moof`, whose size does not depend on it.
    let data_offset = bytes.len() - moof_start + HEADER_SIZE_BYTES;
    moof.traf[0].trun[0].data_offset = Some(i32::try_from(data_offset).map_err(|_| too_large())?);
    bytes.truncate(moof_start);
    moof.encode(bytes)?;

    let mdat_size = u32::try_from(data_size(samples) + HEADER_SIZE_BYTES).map_err(|_| too_large())?;
    bytes.extend_from_slice(&mdat_size.to_be_bytes());
    bytes.extend_from_slice(b"mdat");
    for sample in samples {
        bytes.extend_from_slice(&sample.data);
    }
    Ok(())
}

/// What all samples share is said once in `tfhd`, the rest per sample in `trun`; nothing is left to `trex`.
fn movie_fragment(number: u32, time_ticks: u64, samples: &[Timed]) -> Moof {
    let first_duration = samples.first().map(|sample| sample.duration_ticks);
    let same_duration = samples.iter().all(|sample| Some(sample.duration_ticks) == first_duration);
    let any_offset = samples.iter().any(|sample| sample.composition_offset_ticks != 0);
    let all_sync = samples.iter().all(|sample| sample.is_sync);
    let sync_first_only = samples.iter().skip(1).all(|sample| !sample.is_sync);

    let entries: Vec<TrunEntry> = samples
        .iter()
        .enumerate()
        .map(|(position, sample)| TrunEntry {
            duration: (!same_duration).then_some(sample.duration_ticks),
            size: Some(u32::try_from(sample.data.len()).expect("the writer refuses larger samples")),
            flags: match (all_sync, sync_first_only, position) {
                (true, _, _) | (false, true, 1..) => None,
                (false, true, 0) | (false, false, _) => Some(flags(sample.is_sync)),
            },
            cts: any_offset.then_some(i64::from(sample.composition_offset_ticks)),
        })
        .collect();
    Moof {
        mfhd: Mfhd { sequence_number: number.saturating_add(1) },
        traf: vec![Traf {
            tfhd: Tfhd {
                track_id: TRACK_ID,
                default_base_is_moof: true,
                default_sample_duration: if same_duration { first_duration } else { None },
                default_sample_flags: Some(flags(all_sync)),
                ..Tfhd::default()
            },
            tfdt: Some(Tfdt { base_media_decode_time: time_ticks }),
            trun: vec![Trun { data_offset: Some(0), samples: entries.into() }],
            ..Traf::default()
        }],
    }
}

fn flags(is_sync: bool) -> u32 {
    if is_sync { FLAGS_SYNC } else { FLAGS_NON_SYNC }
}
