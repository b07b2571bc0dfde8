//! Configurations of sound codecs, as far as channels and sample rate go: AAC (ISO/IEC 14496-1 and -3), Opus (its mapping
//! to ISOBMFF, section 4.3.2), AC-3 and E-AC-3 (ETSI TS 102 366 annex F).

use bytes::Bytes;

use super::atoms::{u16_at, u32_at};

/// Tags of ISO/IEC 14496-1 table 1.
const TAG_ES: u8 = 3;
const TAG_DECODER_CONFIG: u8 = 4;
const TAG_DECODER_SPECIFIC: u8 = 5;
const TAG_SL_CONFIG: u8 = 6;
/// MPEG-4 audio; MPEG-2 AAC in its three profiles (table 5).
const OBJECT_TYPE_MPEG4: u8 = 0x40;
const OBJECT_TYPES_MPEG2_AAC: std::ops::RangeInclusive<u8> = 0x66..=0x68;
const OBJECT_TYPES_MP3: [u8; 2] = [0x69, 0x6b];
/// `AudioStream` in `streamType`, with the reserved bit.
const STREAM_TYPE_AUDIO: u8 = 0x15;
/// Longest `AudioSpecificConfig` that is copied; it keeps lengths of descriptors in two bytes.
const ASC_MAX_BYTES: usize = 1024;
/// `samplingFrequencyIndex` (ISO/IEC 14496-3 table 1.18).
const RATES_HZ: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
/// Opus is always decoded at this rate.
const OPUS_RATE_HZ: u32 = 48_000;
/// By `fscod`, of AC-3 and E-AC-3.
const AC3_RATES_HZ: [u32; 3] = [48_000, 44_100, 32_000];
/// By `acmod`, without the low-frequency channel.
const AC3_CHANNELS: [u16; 8] = [2, 1, 2, 3, 3, 4, 4, 5];

/// What is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) channels: u16,
    pub(crate) sample_rate_hz: u32,
}

/// Bits of a configuration, from the first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// The `AudioSpecificConfig` in the body of an `esds` box.
pub(crate) fn audio_specific_config(esds: &Bytes) -> Result<Vec<u8>, String> {
    let broken = || "its `esds` box holds no configuration".to_owned();
    let (tag, es, _) = descriptor(esds.get(4..).unwrap_or_default()).ok_or_else(broken)?;
    // QuickTime may leave the outer descriptor away.
    let decoder = if tag == TAG_ES { within_es(es).ok_or_else(broken)? } else { esds.get(4..).unwrap_or_default() };
    let (tag, decoder, _) = descriptor(decoder).ok_or_else(broken)?;
    let object_type = *decoder.first().filter(|_| tag == TAG_DECODER_CONFIG).ok_or_else(broken)?;
    if OBJECT_TYPES_MP3.contains(&object_type) {
        return Err("it is MP3, which is not played without conversion".to_owned());
    }
    if object_type != OBJECT_TYPE_MPEG4 && !OBJECT_TYPES_MPEG2_AAC.contains(&object_type) {
        return Err(format!("its object type {object_type:#04x} is not AAC"));
    }
    let (tag, asc, _) = descriptor(decoder.get(13..).unwrap_or_default()).ok_or_else(broken)?;
    if tag != TAG_DECODER_SPECIFIC || asc.is_empty() || asc.len() > ASC_MAX_BYTES {
        return Err(broken());
    }
    Ok(asc.to_vec())
}

/// What follows the fields of an `ES_Descriptor`.
fn within_es(es: &[u8]) -> Option<&[u8]> {
    let flags = *es.get(2)?;
    let mut at = 3;
    if flags & 0x80 != 0 {
        at += 2;
    }
    if flags & 0x40 != 0 {
        at += 1 + usize::from(*es.get(at)?);
    }
    if flags & 0x20 != 0 {
        at += 2;
    }
    es.get(at..)
}

/// Tag and content of the first descriptor, and what follows it.
fn descriptor(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, mut rest) = bytes.split_first()?;
    let mut size = 0;
    for _ in 0..4 {
        let (&byte, behind) = rest.split_first()?;
        rest = behind;
        size = (size << 7) | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    let (content, behind) = rest.split_at_checked(size)?;
    Some((tag, content, behind))
}

/// The body of an `esds` box.
pub(crate) fn esds(asc: &[u8]) -> Vec<u8> {
    fn append(bytes: &mut Vec<u8>, tag: u8, content: &[u8]) {
        // Lengths stay below 2^14.
        let [high, low] = [content.len() >> 7, content.len() & 0x7f].map(|bits| u8::try_from(bits & 0x7f).unwrap_or(0));
        bytes.extend_from_slice(&[tag, 0x80 | high, low]);
        bytes.extend_from_slice(content);
    }
    // No buffer size, no bit rates: they are measured elsewhere.
    let mut decoder = vec![OBJECT_TYPE_MPEG4, STREAM_TYPE_AUDIO, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    append(&mut decoder, TAG_DECODER_SPECIFIC, asc);
    // ES_ID 0, as files have it; no flags.
    let mut es = vec![0, 0, 0];
    append(&mut es, TAG_DECODER_CONFIG, &decoder);
    append(&mut es, TAG_SL_CONFIG, &[2]);
    let mut bytes = vec![0; 4];
    append(&mut bytes, TAG_ES, &es);
    bytes
}

/// From an `AudioSpecificConfig` (ISO/IEC 14496-3 section 1.6.2.1); what it leaves open is what the entry `said`.
pub(crate) fn aac(asc: &[u8], said: Format) -> Format {
    let read = || {
        let mut bits = Bits { bytes: asc, at: 0 };
        let object_type = bits.object_type()?;
        let mut sample_rate_hz = bits.rate()?;
        let config = bits.take(4)?;
        // Spectral band replication and parametric stereo, said openly.
        if object_type == 5 || object_type == 29 {
            sample_rate_hz = bits.rate()?;
        }
        let channels = match config {
            1 if object_type == 29 => 2,
            1..=6 => u16::try_from(config).ok()?,
            7 | 12 | 14 => 8,
            11 => 7,
            _ => said.channels,
        };
        Some(Format { channels, sample_rate_hz })
    };
    read().unwrap_or(said)
}

pub(crate) fn opus(record: &Bytes) -> Result<Format, String> {
    match record.as_ref() {
        [0, channels @ 1..=u8::MAX, _, _, _, _, _, _, _, _, _, ..] => {
            Ok(Format { channels: (*channels).into(), sample_rate_hz: OPUS_RATE_HZ })
        }
        _ => Err("its `dOps` box is not one of version 0".to_owned()),
    }
}

pub(crate) fn ac3(record: &Bytes) -> Result<Format, String> {
    let broken = || "its `dac3` box is not sound".to_owned();
    // fscod 2, bsid 5, bsmod 3, acmod 3, lfeon 1, bit_rate_code 5, reserved 5.
    let fields = u16_at(record, 0).filter(|_| record.len() >= 3).ok_or_else(broken)?;
    let sample_rate_hz = *AC3_RATES_HZ.get(usize::from(fields >> 14)).ok_or_else(broken)?;
    let channels = AC3_CHANNELS[usize::from(fields >> 3) & 7] + (fields >> 2 & 1);
    Ok(Format { channels, sample_rate_hz })
}

/// The channels are those of the first independent substream; a dependent one may add more.
pub(crate) fn eac3(record: &Bytes) -> Result<Format, String> {
    let broken = || "its `dec3` box is not sound".to_owned();
    // data_rate 13, num_ind_sub 3; fscod 2, bsid 5, reserved 1, asvc 1, bsmod 3, acmod 3, lfeon 1, ….
    let fields = u32_at(record, 1).ok_or_else(broken)? << 8;
    let sample_rate_hz = *AC3_RATES_HZ.get((fields >> 30) as usize).ok_or_else(broken)?;
    let channels = AC3_CHANNELS[(fields >> 17 & 7) as usize] + u16::from(fields >> 16 & 1 == 1);
    Ok(Format { channels, sample_rate_hz })
}

// === impl Bits ===

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value = (value << 1) | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    fn object_type(&mut self) -> Option<u32> {
        match self.take(5)? {
            31 => Some(32 + self.take(6)?),
            object_type => Some(object_type),
        }
    }

    fn rate(&mut self) -> Option<u32> {
        match self.take(4)? {
            15 => self.take(24),
            index => RATES_HZ.get(index as usize).copied(),
        }
    }
}
