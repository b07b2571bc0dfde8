//! Samples of CMAF as an elementary stream has them: NAL units behind start codes, AAC behind ADTS headers.

use super::{
    TsError,
    adts::{self, Header},
};
use crate::{boxes::BoxType, samples::CodecConfig};

/// Start codes of ITU-T H.264 annex B: the long one begins an access unit and each parameter set.
const START_CODE: &[u8] = &[0, 0, 0, 1];
const SHORT_START_CODE: &[u8] = &[0, 0, 1];
/// Payload type of SEI messages that only tell which encoder it was, often at length.
const USER_DATA_UNREGISTERED: u8 = 5;

static H264: Syntax = Syntax {
    stream_type: 0x1b,
    registration: None,
    // Any slice types may follow (section 7.4.2.4).
    delimiter: &[0, 0, 0, 1, 0x09, 0xf0],
    sets: 0b011,
    kind: |first| match first & 0x1f {
        7 => Kind::ParameterSet(0b001),
        8 => Kind::ParameterSet(0b010),
        9 => Kind::Delimiter,
        _ => Kind::Other,
    },
};
static H265: Syntax = Syntax {
    stream_type: 0x24,
    registration: Some(b"HEVC"),
    // Any slice types may follow (section 7.4.3.5).
    delimiter: &[0, 0, 0, 1, 0x46, 0x01, 0x50],
    sets: 0b111,
    kind: |first| match first >> 1 & 0x3f {
        32 => Kind::ParameterSet(0b001),
        33 => Kind::ParameterSet(0b010),
        34 => Kind::ParameterSet(0b100),
        35 => Kind::Delimiter,
        _ => Kind::Other,
    },
};

/// How samples become an elementary stream.
#[derive(Debug)]
pub(super) enum Elementary {
    Video(NalUnits),
    Aac(Header),
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
}

/// What differs between H.264 and H.265.
#[derive(Debug)]
struct Syntax {
    /// ISO/IEC 13818-1 table 2-34.
    stream_type: u8,
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
        match codec {
            CodecConfig::Avc(avcc) => h264_units(avcc)
                .map(Self::Video)
                .ok_or(TsError::Configuration { what: "`avcC` is no record of version 1, or ends too early" }),
            CodecConfig::Hevc(hvcc) => h265_units(hvcc)
                .map(Self::Video)
                .ok_or(TsError::Configuration { what: "`hvcC` is no record of version 1, or ends too early" }),
            CodecConfig::Aac(asc) => Header::of(asc).map(Self::Aac).map_err(|what| TsError::Configuration { what }),
            CodecConfig::Ac3(_) => Ok(Self::Ac3),
            CodecConfig::Eac3(_) => Ok(Self::Eac3),
            CodecConfig::Opus(_) => Err(TsError::Codec { codec: BoxType(*b"Opus") }),
            CodecConfig::Other(codec) => Err(TsError::Codec { codec: *codec }),
        }
    }

    pub(super) fn is_video(&self) -> bool {
        matches!(self, Self::Video(_))
    }

    /// ISO/IEC 13818-1 table 2-34; ATSC A/52 annexes A and G for Dolby's.
    pub(super) fn stream_type(&self) -> u8 {
        match self {
            Self::Video(units) => units.syntax.stream_type,
            Self::Aac(_) => 0x0f,
            Self::Ac3 => 0x81,
            Self::Eac3 => 0x87,
        }
    }

    /// ISO/IEC 13818-1 table 2-22; `private_stream_1` for Dolby's.
    pub(super) fn stream_id(&self) -> u8 {
        match self {
            Self::Video(_) => 0xe0,
            Self::Aac(_) => 0xc0,
            Self::Ac3 | Self::Eac3 => 0xbd,
        }
    }

    /// The `format_identifier` that tells demuxers what the stream type means, where not all agree.
    pub(super) fn registration(&self) -> Option<&'static [u8; 4]> {
        match self {
            Self::Video(units) => units.syntax.registration,
            Self::Aac(_) => None,
            Self::Ac3 => Some(b"AC-3"),
            Self::Eac3 => Some(b"EAC3"),
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
        let visited = match self {
            Self::Video(units) => units.visit(sample, is_sync, put),
            Self::Aac(header) => header.frame(sample.len()).map(|header: [u8; adts::SIZE_BYTES]| {
                put(&header);
                put(sample);
            }),
            Self::Ac3 | Self::Eac3 => {
                put(sample);
                Ok(())
            }
        };
        visited.map_err(|what| TsError::Sample { number, what })
    }
}

// === impl NalUnits ===

impl NalUnits {
    /// A delimiter, the parameter sets where they are needed, and the units without other delimiters.
    fn visit(&self, sample: &[u8], is_sync: bool, mut put: impl FnMut(&[u8])) -> Result<(), &'static str> {
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
            put(unit);
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
    let mut parameter_sets = Vec::new();
    let mut rest = rest;
    for count_mask in [0x1f, 0xff] {
        let (count, behind) = rest.split_first()?;
        rest = append_units(&mut parameter_sets, behind, usize::from(count & count_mask), |_| true)?;
    }
    Some(NalUnits { syntax: &H264, length_size_bytes: length_size(*lengths), parameter_sets })
}

/// Reads an `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15 section 8.3.3.1).
fn h265_units(hvcc: &[u8]) -> Option<NalUnits> {
    let (fixed, rest) = hvcc.split_at_checked(21)?;
    let [lengths, arrays, rest @ ..] = rest else { return None };
    if fixed[0] != 1 {
        return None;
    }
    let mut parameter_sets = Vec::new();
    let mut rest = rest;
    for _ in 0..*arrays {
        let [_, high, low, behind @ ..] = rest else { return None };
        let count = u16::from_be_bytes([*high, *low]).into();
        rest = append_units(&mut parameter_sets, behind, count, |unit| !is_encoders_name(unit))?;
    }
    Some(NalUnits { syntax: &H265, length_size_bytes: length_size(*lengths), parameter_sets })
}

/// `lengthSizeMinusOne`, the last two bits.
fn length_size(lengths: u8) -> usize {
    usize::from(lengths & 0b11) + 1
}

/// Whether a unit of H.265 is a SEI message of that kind; others, such as mastering displays, are wanted.
fn is_encoders_name(unit: &[u8]) -> bool {
    const PREFIX_SEI: u8 = 39;
    matches!(unit, [first, _, USER_DATA_UNREGISTERED, ..] if first >> 1 & 0x3f == PREFIX_SEI)
}

/// Appends the units to keep of `count`, each behind 16 bits of its length, with start codes. Returns what follows them.
fn append_units<'a>(
    target: &mut Vec<u8>,
    mut rest: &'a [u8],
    count: usize,
    keep: impl Fn(&[u8]) -> bool,
) -> Option<&'a [u8]> {
    for _ in 0..count {
        let (length, behind) = rest.split_first_chunk::<2>()?;
        let (unit, behind) = behind.split_at_checked(u16::from_be_bytes(*length).into())?;
        if !unit.is_empty() && keep(unit) {
            target.extend_from_slice(START_CODE);
            target.extend_from_slice(unit);
        }
        rest = behind;
    }
    Some(rest)
}
