//! Pictures of H.264 out of Annex B: NAL units behind lengths, and a configuration record of their parameter sets.
//!
//! What has its place elsewhere (parameter sets, delimiters) or none (filler) is left out of samples.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};

use super::super::elementary::nal;
use super::super::reorder::{self, Bits};
use super::pes::Pes;
use super::{CLOCK_BITS, Kind, Parser, TsEvent};

/// Parameter sets have identifiers up to these (ITU-T H.264 sections 7.4.2.1 and 7.4.2.2).
const SPS_ID_MAX: u64 = 31;
const PPS_ID_MAX: u64 = 255;
/// Lengths in front of NAL units.
const LENGTH_BYTES: usize = 4;

/// One stream of pictures, access unit by access unit.
#[derive(Debug, Default)]
pub struct AnnexB {
    sequence: BTreeMap<u64, Vec<u8>>,
    pictures: BTreeMap<u64, Vec<u8>>,
    record: Option<Bytes>,
}

/// What an access unit held.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccessUnit {
    /// The `AVCDecoderConfigurationRecord`, if it is another than before.
    pub configuration: Option<Bytes>,
    /// The picture: NAL units behind lengths of four octets. There may be none.
    pub picture: Option<Bytes>,
}

// === impl AnnexB ===

impl Parser for AnnexB {
    fn take(&mut self, pes: Pes, events: &mut Vec<TsEvent>) -> u64 {
        let Some(AccessUnit { configuration, picture }) = self.read(&pes.data) else { return 1 };
        events.extend(configuration.map(|record| TsEvent::Configuration(Kind::Picture, record)));
        let Some(data) = picture else { return 0 };
        // Without its time it has no place.
        let Some(times) = pes.times else { return 1 };
        let composition_ticks = distance(times.decoded, times.shown);
        events.push(TsEvent::Media { kind: Kind::Picture, time_ticks: times.decoded, composition_ticks, data });
        0
    }

    fn interrupt(&mut self) {}
}

impl AnnexB {
    /// Reads an access unit with its start codes; `None`, if a NAL unit is too long for its length.
    pub fn read(&mut self, octets: &[u8]) -> Option<AccessUnit> {
        let mut sample = BytesMut::with_capacity(octets.len() + LENGTH_BYTES);
        let (mut sequence, mut pictures, mut has_slice) = (BTreeMap::new(), BTreeMap::new(), false);
        for unit in units(octets) {
            let Some(first) = unit.first() else { continue };
            match first & nal::TYPE_BITS {
                nal::SPS => {
                    let id = sps_id(unit).filter(|id| *id <= SPS_ID_MAX);
                    sequence.extend(id.filter(|_| is_short(unit)).map(|id| (id, unit.to_vec())));
                }
                nal::PPS => {
                    let id = Bits::of(&unit[1..]).ue().filter(|id| *id <= PPS_ID_MAX);
                    pictures.extend(id.filter(|_| is_short(unit)).map(|id| (id, unit.to_vec())));
                }
                nal::DELIMITER | nal::END_OF_SEQUENCE | nal::END_OF_STREAM | nal::FILLER => {}
                kind => {
                    let length = u32::try_from(unit.len()).ok()?;
                    has_slice |= (nal::SLICE..=nal::IDR).contains(&kind);
                    sample.put_u32(length);
                    sample.put_slice(unit);
                }
            }
        }
        let configuration = self.configure(sequence, pictures);
        Some(AccessUnit { configuration, picture: has_slice.then(|| sample.freeze()) })
    }

    /// What came with one picture replaces what came before; sets of pictures alone are added. The record, if it is
    /// another now.
    fn configure(&mut self, sequence: BTreeMap<u64, Vec<u8>>, pictures: BTreeMap<u64, Vec<u8>>) -> Option<Bytes> {
        match (sequence.is_empty(), pictures.is_empty()) {
            (true, true) => return None,
            (true, false) => self.pictures.extend(pictures),
            (false, true) => self.sequence = sequence,
            (false, false) => (self.sequence, self.pictures) = (sequence, pictures),
        }
        let record = self.write().filter(|record| self.record.as_ref() != Some(record))?;
        self.record = Some(record.clone());
        Some(record)
    }

    /// The `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15 section 5.3.3.1), once there are sets of both kinds.
    fn write(&self) -> Option<Bytes> {
        let sps = self.sequence.values().next()?;
        let [_, profile, compatibility, level] = *sps.first_chunk::<4>()?;
        if self.pictures.is_empty() {
            return None;
        }
        let mut record = BytesMut::new();
        record.put_slice(&[1, profile, compatibility, level, 0xff, 0xe0 | u8::try_from(self.sequence.len()).ok()?]);
        let put = |record: &mut BytesMut, sets: &BTreeMap<u64, Vec<u8>>, most: usize| {
            for set in sets.values().take(most) {
                record.put_u16(u16::try_from(set.len()).unwrap_or(u16::MAX));
                record.put_slice(set);
            }
        };
        put(&mut record, &self.sequence, usize::MAX);
        let count = u8::try_from(self.pictures.len()).unwrap_or(u8::MAX);
        record.put_u8(count);
        put(&mut record, &self.pictures, count.into());
        if let Some([chroma, luma_depth, chroma_depth]) = reorder::h264_samples(sps) {
            record.put_slice(&[0xfc | chroma, 0xf8 | luma_depth, 0xf8 | chroma_depth, 0]);
        }
        Some(record.freeze())
    }
}

/// Its length fits into a record.
fn is_short(unit: &[u8]) -> bool {
    u16::try_from(unit.len()).is_ok()
}

fn sps_id(unit: &[u8]) -> Option<u64> {
    Bits::of(unit.get(4..)?).ue()
}

/// From one time to another, the short way round.
fn distance(from: u64, to: u64) -> i32 {
    let wrap = 1_i64 << CLOCK_BITS;
    let ahead = (to.cast_signed() - from.cast_signed()).rem_euclid(wrap);
    let signed = if ahead >= wrap / 2 { ahead - wrap } else { ahead };
    i32::try_from(signed).unwrap_or(0)
}

/// NAL units between start codes, without the zeros that may follow them. What stands before the first is none.
pub(crate) fn units(octets: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = after_start(octets).unwrap_or_default();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = start(rest).unwrap_or(rest.len());
        let unit = &rest[..end];
        rest = rest.get(end + 3..).unwrap_or_default();
        let length = unit.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
        Some(&unit[..length])
    })
}

fn start(octets: &[u8]) -> Option<usize> {
    let mut at = 0;
    // The third octet says how far one may look ahead.
    while let Some(window) = octets.get(at..at + 3) {
        match window {
            [0, 0, 1] => return Some(at),
            [_, _, 0] => at += 1,
            [_, _, 1] => at += 1,
            _ => at += 3,
        }
    }
    None
}

fn after_start(octets: &[u8]) -> Option<&[u8]> {
    octets.get(start(octets)? + 3..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_what_stands_between_start_codes() {
        let all = |octets: &'static [u8]| units(octets).collect::<Vec<_>>();
        assert_eq!(all(&[0, 0, 0, 1, 9, 16, 0, 0, 1, 0x65, 1, 0, 2]), [&[9, 16][..], &[0x65, 1, 0, 2]]);
        // Zeros behind a unit, and an empty one.
        assert_eq!(all(&[0, 0, 1, 7, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 8]), [&[7, 1][..], &[], &[8]]);
        assert!(all(&[1, 2, 3]).is_empty() && all(&[]).is_empty() && all(&[0, 0, 1]).is_empty());
        // Each offset of a start code is found.
        for before in 0..8 {
            let octets = [&[0, 0, 1][..], &vec![5; before], &[0, 0, 1, 6]].concat();
            assert_eq!(units(&octets).last(), Some(&[6][..]), "{before}");
        }
    }

    #[test]
    fn times_differ_the_short_way_round() {
        assert_eq!(distance(10, 3010), 3000);
        assert_eq!(distance((1 << 33) - 1000, 2000), 3000);
        assert_eq!(distance(2000, (1 << 33) - 1000), -3000);
    }
}
