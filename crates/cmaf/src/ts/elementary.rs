//! Samples of CMAF as an elementary stream has them: NAL units behind start codes, AAC behind ADTS headers.

use super::{
    TsError,
    adts::{self, Header},
    encrypted::SampleKey,
    packets::REGISTRATION,
    reorder,
};
use crate::{boxes::BoxType, samples::CodecConfig};

/// Start codes of ITU-T H.264 annex B: the long one begins an access unit and each parameter set.
const START_CODE: &[u8] = &[0, 0, 0, 1];
const SHORT_START_CODE: &[u8] = &[0, 0, 1];
/// Payload type of SEI messages that only tell which encoder it was, often at length.
const USER_DATA_UNREGISTERED: u8 = 5;
/// The longest `AudioSpecificConfig` that is repeated in the program map table, which is one packet.
const SETUP_MAX_BYTES: usize = 64;

/// Stream types (ISO/IEC 13818-1 table 2-34).
pub(super) const H264_STREAM: u8 = 0x1b;
/// AAC in ADTS.
pub(super) const AAC_STREAM: u8 = 0x0f;

/// Types of NAL units of H.264 (ITU-T H.264 table 7-1).
pub(super) mod nal {
    /// They are in the first octet.
    pub(in super::super) const TYPE_BITS: u8 = 0x1f;
    pub(in super::super) const SLICE: u8 = 1;
    pub(in super::super) const IDR: u8 = 5;
    pub(in super::super) const SPS: u8 = 7;
    pub(in super::super) const PPS: u8 = 8;
    pub(in super::super) const DELIMITER: u8 = 9;
    pub(in super::super) const END_OF_SEQUENCE: u8 = 10;
    pub(in super::super) const END_OF_STREAM: u8 = 11;
    pub(in super::super) const FILLER: u8 = 12;
}

static H264: Syntax = Syntax {
    stream_type: H264_STREAM,
    encrypted_type: Some(0xdb),
    registration: None,
    // Any slice types may follow (section 7.4.2.4).
    delimiter: &[0, 0, 0, 1, 0x09, 0xf0],
    sets: 0b011,
    kind: |first| match first & nal::TYPE_BITS {
        nal::SPS => Kind::ParameterSet(0b001),
        nal::PPS => Kind::ParameterSet(0b010),
        nal::DELIMITER => Kind::Delimiter,
        _ => Kind::Other,
    },
};
static H265: Syntax = Syntax {
    stream_type: 0x24,
    encrypted_type: None,
    registration: Some(b"HEVC"),
    // Any slice types may follow (section 7.4.3.5).
    delimiter: &[0, 0, 0, 1, 0x46, 0x01, 0x50],
    sets: 0b111,
    kind: |first| match h265_type(first) {
        32 => Kind::ParameterSet(0b001),
        33 => Kind::ParameterSet(0b010),
        34 => Kind::ParameterSet(0b100),
        35 => Kind::Delimiter,
        _ => Kind::Other,
    },
};

/// How samples become an elementary stream.
#[derive(Debug)]
pub(super) struct Elementary {
    coding: Coding,
    /// What its samples are encrypted with.
    key: Option<SampleKey>,
}

#[derive(Debug)]
enum Coding {
    Video(NalUnits),
    /// With its `AudioSpecificConfig`.
    Aac(Header, Vec<u8>),
    Ac3,
    Eac3,
}

/// What a configuration record says of NAL units.
#[derive(Debug)]
pub(super) struct NalUnits {
    syntax: &'static Syntax,
    /// Bytes of the length in front of each unit, 1 to 4.
    length_size_bytes: usize,
    /// All parameter sets, with start codes.
    parameter_sets: Vec<u8>,
    /// How many pictures are decoded at most before one that is shown before them; 0 where nobody says so.
    reorder_frames: u32,
}

/// What differs between H.264 and H.265.
#[derive(Debug)]
struct Syntax {
    /// ISO/IEC 13818-1 table 2-34.
    stream_type: u8,
    /// With encrypted samples.
    encrypted_type: Option<u8>,
    registration: Option<&'static [u8; 4]>,
    /// An access unit delimiter with its start code.
    delimiter: &'static [u8],
    /// The bits of all parameter sets.
    sets: u8,
    /// By the first byte of a unit.
    kind: fn(u8) -> Kind,
}

/// What a NAL unit is to a muxer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Delimiter,
    /// A parameter set; each type has a bit.
    ParameterSet(u8),
    Other,
}

// === impl Elementary ===

impl Elementary {
    pub(super) fn of(codec: &CodecConfig) -> Result<Self, TsError> {
        Coding::of(codec).map(|coding| Self { coding, key: None })
    }

    /// The same with encrypted samples.
    pub(super) fn encrypted(codec: &CodecConfig, key: SampleKey) -> Result<Self, TsError> {
        let coding = Coding::of(codec)?;
        match &coding {
            Coding::Video(units) if units.syntax.encrypted_type.is_none() => Err(TsError::Unencryptable),
            Coding::Ac3 | Coding::Eac3 => Err(TsError::Unencryptable),
            Coding::Aac(_, asc) if asc.len() > SETUP_MAX_BYTES => {
                Err(TsError::Configuration { what: "the `AudioSpecificConfig` is too long for a descriptor" })
            }
            Coding::Video(_) | Coding::Aac(..) => Ok(Self { coding, key: Some(key) }),
        }
    }

    pub(super) fn is_video(&self) -> bool {
        matches!(self.coding, Coding::Video(_))
    }

    /// How many pictures are decoded at most before one that is shown before them; 0 where nobody says so.
    pub(super) fn reorder_frames(&self) -> u32 {
        match &self.coding {
            Coding::Video(units) => units.reorder_frames,
            Coding::Aac(..) | Coding::Ac3 | Coding::Eac3 => 0,
        }
    }

    /// ISO/IEC 13818-1 table 2-34; ATSC A/52 annexes A and G for Dolby's; Apple's of encrypted samples.
    pub(super) fn stream_type(&self) -> u8 {
        let is_encrypted = self.key.is_some();
        match &self.coding {
            Coding::Video(units) => {
                units.syntax.encrypted_type.filter(|_| is_encrypted).unwrap_or(units.syntax.stream_type)
            }
            Coding::Aac(..) if is_encrypted => 0xcf,
            Coding::Aac(..) => AAC_STREAM,
            Coding::Ac3 => 0x81,
            Coding::Eac3 => 0x87,
        }
    }

    /// ISO/IEC 13818-1 table 2-22; `private_stream_1` for Dolby's.
    pub(super) fn stream_id(&self) -> u8 {
        match &self.coding {
            Coding::Video(_) => 0xe0,
            Coding::Aac(..) => 0xc0,
            Coding::Ac3 | Coding::Eac3 => 0xbd,
        }
    }

    /// Descriptors that tell demuxers what the stream type means, where not all agree.
    pub(super) fn descriptors(&self) -> Vec<u8> {
        let registration = |format: &[u8; 4]| [&[REGISTRATION, 4], &format[..]].concat();
        match (&self.coding, &self.key) {
            (Coding::Video(_), Some(_)) => SampleKey::of_pictures(),
            (Coding::Aac(_, asc), Some(_)) => SampleKey::of_aac(asc),
            (Coding::Video(units), None) => units.syntax.registration.map(registration).unwrap_or_default(),
            (Coding::Aac(..), None) => Vec::new(),
            (Coding::Ac3, _) => registration(b"AC-3"),
            (Coding::Eac3, _) => registration(b"EAC3"),
        }
    }

    /// Hands the bytes of a sample to `put`, piece by piece.
    pub(super) fn visit(
        &self,
        sample: &[u8],
        is_sync: bool,
        number: usize,
        mut put: impl FnMut(&[u8]),
    ) -> Result<(), TsError> {
        let visited = match (&self.coding, &self.key) {
            (Coding::Video(units), key) => units.visit(sample, is_sync, key.as_ref(), put),
            (Coding::Aac(header, _), key) => header.frame(sample.len()).map(|header: [u8; adts::SIZE_BYTES]| {
                put(&header);
                match key {
                    Some(key) => put(&key.frame(sample)),
                    None => put(sample),
                }
            }),
            (Coding::Ac3 | Coding::Eac3, _) => {
                put(sample);
                Ok(())
            }
        };
        visited.map_err(|what| TsError::Sample { number, what })
    }
}

// === impl Coding ===

impl Coding {
    fn of(codec: &CodecConfig) -> Result<Self, TsError> {
        match codec {
            CodecConfig::Avc(avcc) => h264_units(avcc)
                .map(Self::Video)
                .ok_or(TsError::Configuration { what: "`avcC` is no record of version 1, or ends too early" }),
            CodecConfig::Hevc(hvcc) => h265_units(hvcc)
                .map(Self::Video)
                .ok_or(TsError::Configuration { what: "`hvcC` is no record of version 1, or ends too early" }),
            CodecConfig::Aac(asc) => Header::of(asc)
                .map(|header| Self::Aac(header, asc.clone()))
                .map_err(|what| TsError::Configuration { what }),
            CodecConfig::Ac3(_) => Ok(Self::Ac3),
            CodecConfig::Eac3(_) => Ok(Self::Eac3),
            CodecConfig::Opus(_) => Err(TsError::Codec { codec: BoxType(*b"Opus") }),
            CodecConfig::Other(codec) => Err(TsError::Codec { codec: *codec }),
        }
    }
}

// === impl NalUnits ===

impl NalUnits {
    /// `lengths` ends with the two bits of `lengthSizeMinusOne`.
    fn new(syntax: &'static Syntax, lengths: u8) -> Self {
        let length_size_bytes = usize::from(lengths & 0b11) + 1;
        Self { syntax, length_size_bytes, parameter_sets: Vec::new(), reorder_frames: 0 }
    }

    fn add_set(&mut self, unit: &[u8]) {
        if !unit.is_empty() {
            self.parameter_sets.extend_from_slice(START_CODE);
            self.parameter_sets.extend_from_slice(unit);
        }
    }

    /// A delimiter, the parameter sets where they are needed, and the units without other delimiters.
    fn visit(
        &self,
        sample: &[u8],
        is_sync: bool,
        key: Option<&SampleKey>,
        mut put: impl FnMut(&[u8]),
    ) -> Result<(), &'static str> {
        let kind = self.syntax.kind;
        put(self.syntax.delimiter);
        if is_sync {
            let mut in_band = 0;
            self.each(sample, |unit| {
                if let Kind::ParameterSet(bit) = kind(unit[0]) {
                    in_band |= bit;
                }
            })?;
            // A sample that brings some sets may still rely on the others.
            if in_band != self.syntax.sets {
                put(&self.parameter_sets);
            }
        }
        self.each(sample, |unit| {
            match kind(unit[0]) {
                Kind::Delimiter => return,
                Kind::ParameterSet(_) => put(START_CODE),
                Kind::Other => put(SHORT_START_CODE),
            }
            match key.and_then(|key| key.unit(unit)) {
                Some(encrypted) => put(&encrypted),
                None => put(unit),
            }
        })
    }

    /// Each unit that is not empty.
    fn each<'a>(&self, sample: &'a [u8], mut visit: impl FnMut(&'a [u8])) -> Result<(), &'static str> {
        let mut rest = sample;
        while !rest.is_empty() {
            let (length, behind) =
                rest.split_at_checked(self.length_size_bytes).ok_or("it ends within the length of a NAL unit")?;
            let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            let (unit, behind) = behind.split_at_checked(length).ok_or("a NAL unit is longer than the sample")?;
            if !unit.is_empty() {
                visit(unit);
            }
            rest = behind;
        }
        Ok(())
    }
}

/// Reads an `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15 section 5.3.3.1).
fn h264_units(avcc: &[u8]) -> Option<NalUnits> {
    let [1, _, _, _, lengths, rest @ ..] = avcc else { return None };
    let mut units = NalUnits::new(&H264, *lengths);
    let (count, rest) = rest.split_first()?;
    let rest = each_set(rest, usize::from(count & 0x1f), |unit| {
        units.reorder_frames = units.reorder_frames.max(reorder::h264(unit).unwrap_or(0));
        units.add_set(unit);
    })?;
    let (count, rest) = rest.split_first()?;
    each_set(rest, usize::from(*count), |unit| units.add_set(unit))?;
    Some(units)
}

/// Reads an `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15 section 8.3.3.1).
fn h265_units(hvcc: &[u8]) -> Option<NalUnits> {
    let (fixed, rest) = hvcc.split_at_checked(21)?;
    let [lengths, arrays, rest @ ..] = rest else { return None };
    if fixed[0] != 1 {
        return None;
    }
    let mut units = NalUnits::new(&H265, *lengths);
    let mut rest = rest;
    for _ in 0..*arrays {
        let [_, high, low, behind @ ..] = rest else { return None };
        rest = each_set(behind, u16::from_be_bytes([*high, *low]).into(), |unit| match unit {
            // Mastering displays and the like are wanted, the encoder's name is not.
            [first, _, USER_DATA_UNREGISTERED, ..] if h265_type(*first) == 39 => {}
            [first, ..] if h265_type(*first) == 33 => {
                units.reorder_frames = units.reorder_frames.max(reorder::h265(unit).unwrap_or(0));
                units.add_set(unit);
            }
            _ => units.add_set(unit),
        })?;
    }
    Some(units)
}

fn h265_type(first: u8) -> u8 {
    first >> 1 & 0x3f
}

/// Visits `count` units, each behind 16 bits of its length. Returns what follows them.
fn each_set<'a>(mut rest: &'a [u8], count: usize, mut visit: impl FnMut(&'a [u8])) -> Option<&'a [u8]> {
    for _ in 0..count {
        let (length, behind) = rest.split_first_chunk::<2>()?;
        let (unit, behind) = behind.split_at_checked(u16::from_be_bytes(*length).into())?;
        visit(unit);
        rest = behind;
    }
    Some(rest)
}
