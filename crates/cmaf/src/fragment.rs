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

/// What a fragment says about one of its samples.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) duration_ticks: u32,
    /// Presentation time less decode time.
    pub(crate) composition_offset_ticks: i32,
    pub(crate) is_sync: bool,
    pub(crate) size_bytes: u32,
}

/// What the samples of a fragment have in common, as far as the size of its boxes depends on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    first_duration_ticks: u32,
    same_duration: bool,
    any_offset: bool,
    all_sync: bool,
    sync_first_only: bool,
    samples: u32,
}

/// Room for the boxes of a fragment that has no samples.
const BOXES_SIZE_BYTES: usize = 256;
/// Most bytes that a sample takes in `trun`.
const ENTRY_SIZE_BYTES: usize = 16;

/// Bytes of a segment that is one fragment. `number` counts from 0; the first sample is decoded at `time_ticks`.
pub(crate) fn encode(number: u32, time_ticks: u64, samples: &[Timed]) -> Result<Vec<u8>, WriteError> {
    encode_of(TRACK_ID, number, time_ticks, samples)
}

/// The same for a track whose init segment somebody else wrote.
pub(crate) fn encode_of(track_id: u32, number: u32, time_ticks: u64, samples: &[Timed]) -> Result<Vec<u8>, WriteError> {
    let mut bytes = with_room(samples);
    begin_segment(&mut bytes)?;
    append(&mut bytes, track_id, number, time_ticks, samples)?;
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
    append(&mut bytes, TRACK_ID, number, time_ticks, samples)?;
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

fn append(
    bytes: &mut Vec<u8>,
    track_id: u32,
    number: u32,
    time_ticks: u64,
    samples: &[Timed],
) -> Result<(), WriteError> {
    let entries: Vec<Entry> = samples.iter().map(Timed::entry).collect();
    append_head(bytes, track_id, number, time_ticks, &entries)?;
    for sample in samples {
        bytes.extend_from_slice(&sample.data);
    }
    Ok(())
}

/// Bytes of a segment that is one fragment, up to its first sample: `styp`, `moof` and the header of `mdat`.
pub(crate) fn encode_head(number: u32, time_ticks: u64, entries: &[Entry]) -> Result<Vec<u8>, WriteError> {
    let mut bytes = Vec::with_capacity(ENTRY_SIZE_BYTES * entries.len() + BOXES_SIZE_BYTES);
    begin_segment(&mut bytes)?;
    append_head(&mut bytes, TRACK_ID, number, time_ticks, entries)?;
    Ok(bytes)
}

fn append_head(
    bytes: &mut Vec<u8>,
    track_id: u32,
    number: u32,
    time_ticks: u64,
    entries: &[Entry],
) -> Result<(), WriteError> {
    let too_large = || WriteError::SegmentTooLarge { number: number.into() };
    let moof_start = bytes.len();
    let mut moof = movie_fragment(track_id, number, time_ticks, entries);
    moof.encode(bytes)?;
    // The data offset counts from the first byte of `moof`, whose size does not depend on it.
    let data_offset = bytes.len() - moof_start + HEADER_SIZE_BYTES;
    moof.traf[0].trun[0].data_offset = Some(i32::try_from(data_offset).map_err(|_| too_large())?);
    bytes.truncate(moof_start);
    moof.encode(bytes)?;

    let data_size: u64 = entries.iter().map(|entry| u64::from(entry.size_bytes)).sum();
    let mdat_size = u32::try_from(data_size + HEADER_SIZE_BYTES as u64).map_err(|_| too_large())?;
    bytes.extend_from_slice(&mdat_size.to_be_bytes());
    bytes.extend_from_slice(b"mdat");
    Ok(())
}

/// What all samples share is said once in `tfhd`, the rest per sample in `trun`; nothing is left to `trex`.
fn movie_fragment(track_id: u32, number: u32, time_ticks: u64, samples: &[Entry]) -> Moof {
    let mut shape = Shape::new();
    samples.iter().for_each(|sample| shape.add(sample));
    let Shape { first_duration_ticks, same_duration, any_offset, all_sync, sync_first_only, .. } = shape;

    let entries: Vec<TrunEntry> = samples
        .iter()
        .enumerate()
        .map(|(position, sample)| TrunEntry {
            duration: (!same_duration).then_some(sample.duration_ticks),
            size: Some(sample.size_bytes),
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
                track_id,
                default_base_is_moof: true,
                default_sample_duration: (same_duration && !samples.is_empty()).then_some(first_duration_ticks),
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

// === impl Timed ===

impl Timed {
    fn entry(&self) -> Entry {
        Entry {
            duration_ticks: self.duration_ticks,
            composition_offset_ticks: self.composition_offset_ticks,
            is_sync: self.is_sync,
            size_bytes: u32::try_from(self.data.len()).expect("the writer refuses larger samples"),
        }
    }
}

// === impl Shape ===

impl Shape {
    /// Of no sample.
    pub(crate) fn new() -> Self {
        Self {
            first_duration_ticks: 0,
            same_duration: true,
            any_offset: false,
            all_sync: true,
            sync_first_only: true,
            samples: 0,
        }
    }

    /// One more sample.
    pub(crate) fn add(&mut self, sample: &Entry) {
        if self.samples == 0 {
            self.first_duration_ticks = sample.duration_ticks;
        } else {
            self.same_duration &= sample.duration_ticks == self.first_duration_ticks;
            self.sync_first_only &= !sample.is_sync;
        }
        self.any_offset |= sample.composition_offset_ticks != 0;
        self.all_sync &= sample.is_sync;
        self.samples += 1;
    }

    /// Samples so far.
    pub(crate) fn samples(&self) -> u32 {
        self.samples
    }

    /// Bytes that [`encode_head`] writes for a segment of this shape.
    pub(crate) fn head_size_bytes(&self) -> u64 {
        /// `styp`, `moof`, `mfhd`, `traf`, `tfhd` with flags, `tfdt`, `trun` without samples, header of `mdat`.
        const FIXED_BYTES: u64 = 28 + 8 + 16 + 8 + 20 + 20 + 20 + 8;
        let flags_bytes = match (self.all_sync, self.sync_first_only) {
            (true, _) => 0,
            (false, true) => 4,
            (false, false) => 4 * u64::from(self.samples),
        };
        let fields = 1 + u64::from(!self.same_duration) + u64::from(self.any_offset);
        FIXED_BYTES + 4 * u64::from(self.same_duration) + flags_bytes + 4 * fields * u64::from(self.samples)
    }
}
