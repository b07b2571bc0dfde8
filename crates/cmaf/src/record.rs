//! Configuration records of H.265, AV1 and VP9, and samples as MP4 has them, from what encoders say about themselves.
//!
//! Encoders speak streams: start codes, delimiters, parameter sets in front. ISO/IEC 14496-15 and the bindings of AV1 and VP9
//! want records and bare samples. Only 8 bits of 4:2:0 are written here, because nothing else is encoded; pictures are never
//! looked into.

use bytes::{BufMut, Bytes, BytesMut};

use crate::track::Colour;
use crate::ts::reader::units;
use crate::ts::reorder::Bits;

/// Types of NAL units of H.265 (ITU-T H.265 table 7-1): VPS, SPS, PPS, delimiter, prefix and suffix SEI.
mod nal {
    pub(super) const VPS: u8 = 32;
    pub(super) const SPS: u8 = 33;
    pub(super) const PPS: u8 = 34;
    pub(super) const DELIMITER: u8 = 35;
}
/// Bytes of a NAL unit's header.
const NAL_HEADER_BYTES: usize = 2;
/// Bytes of the general profile, tier and level (ITU-T H.265 section 7.3.3).
const PROFILE_BYTES: usize = 12;
/// Lengths in front of NAL units are of four octets.
const LENGTH_SIZE_MINUS_ONE: u8 = 3;

/// Types of OBUs (AV1 specification section 6.2.2).
mod obu {
    pub(super) const SEQUENCE_HEADER: u8 = 1;
    pub(super) const TEMPORAL_DELIMITER: u8 = 2;
    pub(super) const PADDING: u8 = 15;
}
/// Levels above this one say their tier (AV1 specification section 5.5.1).
const TIERLESS_LEVEL_MAX: u64 = 7;

/// Levels of VP9 (times ten), their luma samples a second, and those of a picture at most.
const VP9_LEVELS: [(u8, f64, u64); 14] = [
    (10, 829_440.0, 36_864),
    (11, 2_764_800.0, 73_728),
    (20, 4_608_000.0, 122_880),
    (21, 9_216_000.0, 245_760),
    (30, 20_736_000.0, 552_960),
    (31, 36_864_000.0, 983_040),
    (40, 83_558_400.0, 2_228_224),
    (41, 160_432_128.0, 2_228_224),
    (50, 311_951_360.0, 8_912_896),
    (51, 588_251_136.0, 8_912_896),
    (52, 1_176_502_272.0, 8_912_896),
    (60, 1_176_502_272.0, 35_651_584),
    (61, 2_353_004_544.0, 35_651_584),
    (62, 4_706_009_088.0, 35_651_584),
];

/// The `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15 section 8.3.3.1) of parameter sets with start codes; `None` where
/// one is missing or cut off.
#[must_use]
pub fn hevc(parameter_sets: &[u8]) -> Option<Vec<u8>> {
    let all = |kind: u8| units(parameter_sets).filter(move |unit| nal_type(unit) == Some(kind)).collect::<Vec<_>>();
    let sps = *all(nal::SPS).first()?;
    // Identifier of the VPS (4), sub-layers less one (3), whether they nest (1); then the profile.
    let mut bits = Bits::of(sps.get(NAL_HEADER_BYTES..)?);
    bits.take(4)?;
    let sublayers = u8::try_from(bits.take(3)?).ok()? + 1;
    let nesting = u8::from(bits.flag()?);
    let mut record = vec![1];
    for _ in 0..PROFILE_BYTES {
        record.push(u8::try_from(bits.take(8)?).ok()?);
    }
    // No minimum of segmentation, no kind of parallelism; 4:2:0 of 8 bits; no rate said.
    record.extend([0xf0, 0, 0xfc, 0xfc | 1, 0xf8, 0xf8, 0, 0]);
    record.push(sublayers << 3 | nesting << 2 | LENGTH_SIZE_MINUS_ONE);
    record.push(3);
    for kind in [nal::VPS, nal::SPS, nal::PPS] {
        let sets = all(kind);
        if sets.is_empty() {
            return None;
        }
        // Complete: none is in the samples.
        record.push(0x80 | kind);
        record.extend(u16::try_from(sets.len()).ok()?.to_be_bytes());
        for set in sets {
            record.extend(u16::try_from(set.len()).ok()?.to_be_bytes());
            record.extend(set);
        }
    }
    Some(record)
}

/// A picture with start codes as a sample of `hvc1`: NAL units behind lengths, parameter sets and delimiters left out.
#[must_use]
pub fn hevc_sample(unit: &[u8]) -> Bytes {
    let mut sample = BytesMut::with_capacity(unit.len() + 16);
    for unit in units(unit) {
        let is_elsewhere = |kind| matches!(kind, nal::VPS | nal::SPS | nal::PPS | nal::DELIMITER);
        let (Some(kind), Ok(length)) = (nal_type(unit), u32::try_from(unit.len())) else { continue };
        if !is_elsewhere(kind) {
            sample.put_u32(length);
            sample.put_slice(unit);
        }
    }
    sample.freeze()
}

fn nal_type(unit: &[u8]) -> Option<u8> {
    unit.first().map(|first| first >> 1 & 0x3f)
}

/// The `AV1CodecConfigurationRecord` (AV1 Codec ISO Media File Format Binding, section 2.3) of a sequence header, with that
/// header in it; `None` where there is none, or it has what no encoder here writes.
#[must_use]
pub fn av1(sequence: &[u8]) -> Option<Vec<u8>> {
    let header = obus(sequence).find(|found| found.kind == obu::SEQUENCE_HEADER)?;
    let mut bits = Bits::plain(header.body);
    let profile = u8::try_from(bits.take(3)?).ok()?;
    let (_still, reduced) = (bits.flag()?, bits.flag()?);
    let (level, tier) = if reduced {
        (bits.take(5)?, false)
    } else {
        if bits.flag()? {
            // Timing: two of 32 bits, and a count where pictures are equally far apart.
            bits.take(64)?;
            if bits.flag()? {
                bits.ue()?;
            }
            if bits.flag()? {
                return None;
            }
        }
        let (_delay, _points) = (bits.flag()?, bits.take(5)?);
        bits.take(12)?;
        let level = bits.take(5)?;
        (level, level > TIERLESS_LEVEL_MAX && bits.flag()?)
    };
    let level = u8::try_from(level).ok()?;
    // 8 bits, 4:2:0, where chroma lies is unknown; no delay said.
    let mut record = vec![0x81, profile << 5 | level, u8::from(tier) << 7 | 0b1100, 0];
    record.extend(header.whole);
    Some(record)
}

/// A temporal unit as a sample of `av01`: without delimiters and padding (section 2.4 of the binding); `None` if it is cut off.
#[must_use]
pub fn av1_sample(unit: &[u8]) -> Option<Bytes> {
    let mut sample = BytesMut::with_capacity(unit.len());
    let mut read = 0;
    for found in obus(unit) {
        read += found.whole.len();
        if !matches!(found.kind, obu::TEMPORAL_DELIMITER | obu::PADDING) {
            sample.put_slice(found.whole);
        }
    }
    (read == unit.len()).then(|| sample.freeze())
}

struct Obu<'a> {
    kind: u8,
    whole: &'a [u8],
    body: &'a [u8],
}

/// OBUs that say their sizes, until one does not.
fn obus(mut rest: &[u8]) -> impl Iterator<Item = Obu<'_>> {
    std::iter::from_fn(move || {
        let header = *rest.first()?;
        let has_size = header & 0b10 != 0;
        let mut at = if header & 0b100 == 0 { 1 } else { 2 };
        let mut size = 0;
        // LEB128 of at most eight octets (AV1 specification section 4.10.5).
        for place in 0..8 {
            let octet = *rest.get(at).filter(|_| has_size)?;
            at += 1;
            size |= usize::from(octet & 0x7f) << (7 * place);
            if octet & 0x80 == 0 {
                break;
            }
        }
        let end = at.checked_add(size)?;
        let whole = rest.get(..end)?;
        rest = &rest[end..];
        Some(Obu { kind: header >> 3 & 0xf, whole, body: &whole[at..] })
    })
}

/// The body of `vpcC` ("VP Codec ISO Media File Format Binding", version 1.0) of profile 0: full box header, and the least level
/// that pictures of this size and rate fit.
#[must_use]
pub fn vp9(width: u16, height: u16, rate: f64, colour: Option<Colour>) -> Vec<u8> {
    let pixels = u64::from(width) * u64::from(height);
    #[allow(clippy::cast_precision_loss, reason = "the pixels of a picture are far below 2^52")]
    let fits = |(_, a_second, a_picture): &&(u8, f64, u64)| pixels as f64 * rate <= *a_second && pixels <= *a_picture;
    let level = VP9_LEVELS.iter().find(fits).map_or(62, |(level, ..)| *level);
    // Unspecified where nobody knows (ITU-T H.273).
    let Colour { primaries, transfer, matrix, full_range } =
        colour.unwrap_or(Colour { primaries: 2, transfer: 2, matrix: 2, full_range: false });
    let point = |code: u16| u8::try_from(code).unwrap_or(2);
    // 8 bits; 4:2:0 whose chroma lies as that of MPEG-2 does.
    let format = 8 << 4 | u8::from(full_range);
    vec![1, 0, 0, 0, 0, level, format, point(primaries), point(transfer), point(matrix), 0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    // What x265 3.5 says of 320x240 in Main.
    const VPS: &[u8] =
        &[0x40, 1, 0x0c, 1, 0xff, 0xff, 1, 0x60, 0, 0, 3, 0, 0x90, 0, 0, 3, 0, 0, 3, 0, 0x3c, 0x95, 0x98, 9];
    const SPS: &[u8] =
        &[0x42, 1, 1, 1, 0x60, 0, 0, 3, 0, 0x90, 0, 0, 3, 0, 0, 3, 0, 0x3c, 0xa0, 0x0a, 0x08, 0x0f, 0x16];
    const PPS: &[u8] = &[0x44, 1, 0xc1, 0x72, 0xb4, 0x62, 0x40];

    fn stream(units: &[&[u8]]) -> Vec<u8> {
        units.iter().flat_map(|unit| [&[0, 0, 0, 1], *unit].concat()).collect()
    }

    #[test]
    fn a_record_of_h265_holds_what_the_sets_say() {
        let record = hevc(&stream(&[VPS, SPS, PPS])).unwrap();
        assert_eq!(codec::hevc("hvc1", &record).unwrap(), "hvc1.1.6.L60.90");
        assert_eq!(record[21], 0b1111);
        let mut read = record.as_slice();
        let atom = <mp4_atom::Hvcc as mp4_atom::Atom>::decode_body(&mut read).unwrap();
        let sets: Vec<_> = atom.arrays.iter().map(|array| (array.nal_unit_type, array.nalus[0].as_slice())).collect();
        assert_eq!(sets, [(32, VPS), (33, SPS), (34, PPS)]);
        assert_eq!(hevc(&stream(&[VPS, SPS])), None);
        assert_eq!(hevc(&stream(&[VPS, &SPS[..6], PPS])), None);
        assert_eq!(hevc(&[]), None);
    }

    #[test]
    fn samples_of_h265_are_slices_behind_lengths() {
        let unit = stream(&[&[0x46, 1, 0x50], VPS, SPS, PPS, &[0x28, 1, 7, 7]]);
        assert_eq!(&hevc_sample(&unit)[..], [0, 0, 0, 4, 0x28, 1, 7, 7]);
        assert!(hevc_sample(&[9, 9]).is_empty());
    }

    #[test]
    fn a_record_of_av1_names_profile_and_level() {
        // A sequence header of SVT-AV1: Main, level 2.0, nothing of timing.
        let header = [0x0a, 4, 0b0000_0000, 0b0000_0000, 0b0000_0000, 0b0000_0100];
        let record = av1(&header).unwrap();
        assert_eq!(record[..4], [0x81, 0, 0b1100, 0]);
        assert_eq!(&record[4..], header);
        assert_eq!(codec::av01(&record, None).unwrap(), "av01.0.00M.08");
        assert_eq!(av1(&header[..5]), None);
        assert_eq!(av1(&[0x12, 0]), None);
    }

    #[test]
    fn samples_of_av1_have_no_delimiters() {
        let unit = [0x12, 0, 0x32, 3, 1, 2, 3, 0x7a, 1, 0];
        assert_eq!(av1_sample(&unit).unwrap()[..], [0x32, 3, 1, 2, 3]);
        assert_eq!(av1_sample(&unit[..6]), None);
        // No size said.
        assert_eq!(av1_sample(&[0x30, 3]), None);
    }

    #[test]
    fn records_of_vp9_have_the_least_level_that_fits() {
        let named = |width, height, rate| codec::vp09(&vp9(width, height, rate, None)).unwrap();
        assert_eq!(named(256, 144, 15.0), "vp09.00.10.08");
        assert_eq!(named(1280, 720, 30.0), "vp09.00.31.08");
        assert_eq!(named(1920, 1080, 30.0), "vp09.00.40.08");
        assert_eq!(named(3840, 2160, 60.0), "vp09.00.51.08");
        assert_eq!(named(u16::MAX, u16::MAX, 240.0), "vp09.00.62.08");
    }
}
