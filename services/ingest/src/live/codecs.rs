//! What encoders say about their streams before the first sample: H.264 and AAC configuration records, read as far as a track
//! needs it; and Opus, whose packets say all by themselves. Pictures are never decoded; of NAL units only the type is looked at.

use bytes::Bytes;
use flame_api::media::Rational;
use flame_cmaf::Colour;
use h264_reader::avcc::AvcDecoderConfigurationRecord;
use h264_reader::nal::sps::SeqParameterSet;
use h264_reader::rbsp::{self, BitReader};
use thiserror::Error;

/// Frame rates that are believed, per second.
const RATE_MIN: f64 = 1.0;
const RATE_MAX: f64 = 300.0;
/// Largest numerator of a frame rate that is taken for exact.
const RATE_NUM_MAX: u64 = 1_000_000;
/// How far a rate that was written as a decimal may be from the one that was meant.
const RATE_TOLERANCE: f64 = 0.006;
/// `nal_unit_type` of a picture that decoding can start at (ITU-T H.264 table 7-1).
const NAL_IDR: u8 = 5;
/// Audio object types: AAC-LC, and LC with SBR and PS announced in front of it (ISO/IEC 14496-3 table 1.17).
const AAC_LC: u8 = 2;
const SBR: u8 = 5;
const PS: u8 = 29;
/// Samples per second by `samplingFrequencyIndex` (ISO/IEC 14496-3 table 1.18).
const SAMPLE_RATES_HZ: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
/// The index that says "24 bits follow".
const RATE_FOLLOWS: u32 = 15;

/// Opus is decoded at this rate, whatever was recorded (RFC 7845 section 4).
pub const OPUS_RATE_HZ: u32 = 48_000;

/// H.264, as its configuration record describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct H264 {
    /// The record.
    pub record: Bytes,
    /// Octets of the length in front of each NAL unit.
    pub length_bytes: usize,
    /// Width and height of the picture, if its parameter set can be read.
    pub size: Option<(u16, u16)>,
    /// Pictures per second, if they are constant.
    pub rate: Option<Rational>,
    /// Colour, if it is said.
    pub colour: Option<Colour>,
}

/// AAC, as its configuration describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aac {
    /// The `AudioSpecificConfig`.
    pub config: Bytes,
    /// Samples per second of the core.
    pub sample_rate_hz: u32,
    /// Channels.
    pub channels: u16,
    /// Samples in an access unit.
    pub frame_samples: u32,
}

/// Opus, as its packets describe it. They are mono or stereo as they like, and decoders make stereo of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opus {
    /// Channels that are said.
    pub channels: u16,
    /// Samples of 1/48,000 s in the first packet.
    pub frame_samples: u32,
}

/// What the sound is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sound {
    /// AAC.
    Aac(Aac),
    /// Opus.
    Opus(Opus),
}

/// A configuration, or a picture, that is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecordError {
    /// No configuration of H.264.
    #[error("the H.264 configuration of {size_bytes} bytes cannot be read: {reason}")]
    H264 {
        /// Its length.
        size_bytes: usize,
        /// What is wrong.
        reason: String,
    },
    /// No configuration of AAC.
    #[error("the AAC configuration of {size_bytes} bytes cannot be read")]
    Aac {
        /// Its length.
        size_bytes: usize,
    },
    /// AAC of a kind that is not taken.
    #[error(
        "AAC of object type {object_type} with channel configuration {channels} is not taken: set the encoder to AAC-LC"
    )]
    AacKind {
        /// `audioObjectType`.
        object_type: u8,
        /// `channelConfiguration`.
        channels: u8,
    },
    /// The lengths within a picture are not those of its NAL units.
    #[error("a picture of {size_bytes} bytes is damaged: its NAL units do not add up to it")]
    Picture {
        /// Its length.
        size_bytes: usize,
    },
}

/// Samples of 1/48,000 s that a packet of Opus decodes to (RFC 6716 sections 3.1 and 3.2); `None`, if it is none.
#[must_use]
pub fn opus_samples(packet: &[u8]) -> Option<u32> {
    /// 120 ms: no packet is longer.
    const MOST: u32 = 5760;
    let (&head, rest) = packet.split_first()?;
    let (configuration, code) = (head >> 3, head & 0b11);
    let frame = match configuration {
        // SILK: 10, 20, 40 and 60 ms.
        0..12 => [480, 960, 1920, 2880][usize::from(configuration % 4)],
        // Both: 10 and 20 ms.
        12..16 => [480, 960][usize::from(configuration % 2)],
        // CELT: 2.5, 5, 10 and 20 ms.
        _ => [120, 240, 480, 960][usize::from(configuration % 4)],
    };
    let frames = match code {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(rest.first()? & 0x3f),
    };
    Some(frame * frames).filter(|samples| (1..=MOST).contains(samples))
}

/// Reads bits, first ones first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

// === impl H264 ===

impl H264 {
    /// Reads an `AVCDecoderConfigurationRecord`.
    ///
    /// # Errors
    /// [`RecordError::H264`].
    pub fn read(record: Bytes) -> Result<Self, RecordError> {
        let wrong = |reason: String| RecordError::H264 { size_bytes: record.len(), reason };
        let read = AvcDecoderConfigurationRecord::try_from(&record[..]).map_err(|error| wrong(format!("{error:?}")))?;
        let length_bytes = usize::from(read.length_size_minus_one()) + 1;
        let Some(Ok(unit)) = read.sequence_parameter_sets().next() else {
            return Err(wrong("there is no sequence parameter set".to_owned()));
        };
        // One that cannot be read says nothing more; players may still know what to do with it.
        let set =
            rbsp::decode_nal(unit).ok().and_then(|bits| SeqParameterSet::from_bits(BitReader::new(&bits[..])).ok());
        let size = set.as_ref().and_then(|set| set.pixel_dimensions().ok());
        let size = size.and_then(|(width, height)| Some((u16::try_from(width).ok()?, u16::try_from(height).ok()?)));
        let size = size.filter(|(width, height)| *width > 0 && *height > 0);
        let usability = set.as_ref().and_then(|set| set.vui_parameters.as_ref());
        let timing = usability.and_then(|usability| usability.timing_info.as_ref());
        let rate = timing.filter(|timing| timing.fixed_frame_rate_flag).and_then(|timing| {
            // A tick is a field: two make a picture (ITU-T H.264 section E.2.1).
            ratio(timing.time_scale.into(), 2 * u64::from(timing.num_units_in_tick))
        });
        let signal = usability.and_then(|usability| usability.video_signal_type.as_ref());
        let colour = signal.and_then(|signal| {
            let colour = signal.colour_description.as_ref()?;
            Some(Colour {
                primaries: colour.colour_primaries.into(),
                transfer: colour.transfer_characteristics.into(),
                matrix: colour.matrix_coefficients.into(),
                full_range: signal.video_full_range_flag,
            })
        });
        Ok(Self { length_bytes, size, rate, colour, record: record.clone() })
    }

    /// Whether decoding can start at a picture, by the types of its NAL units.
    ///
    /// # Errors
    /// [`RecordError::Picture`], if their lengths lie.
    pub fn is_sync(&self, picture: &[u8]) -> Result<bool, RecordError> {
        let mut rest = picture;
        let mut is_sync = false;
        while !rest.is_empty() {
            let unit = rest.split_at_checked(self.length_bytes).and_then(|(length, rest)| {
                let length = length.iter().fold(0_usize, |length, octet| (length << 8) | usize::from(*octet));
                rest.split_at_checked(length)
            });
            let Some((unit, after)) = unit else {
                return Err(RecordError::Picture { size_bytes: picture.len() });
            };
            is_sync |= unit.first().is_some_and(|first| first & 0x1f == NAL_IDR);
            rest = after;
        }
        Ok(is_sync)
    }
}

// === impl Aac ===

impl Aac {
    /// Reads an `AudioSpecificConfig` (ISO/IEC 14496-3 section 1.6.2.1).
    ///
    /// # Errors
    /// [`RecordError`], if it is not AAC-LC (with or without SBR) in one to eight channels.
    pub fn read(config: Bytes) -> Result<Self, RecordError> {
        let cut_off = RecordError::Aac { size_bytes: config.len() };
        let read = Self::fields(&config).ok_or_else(|| cut_off.clone())?;
        let (object_type, sample_rate_hz, channel_configuration, is_short) = read;
        let channels = match channel_configuration {
            configuration @ 1..=6 => configuration.into(),
            7 => 8,
            _ => 0,
        };
        if object_type != AAC_LC || channels == 0 {
            return Err(RecordError::AacKind { object_type, channels: channel_configuration });
        }
        if sample_rate_hz == 0 {
            return Err(cut_off);
        }
        Ok(Self { config, sample_rate_hz, channels, frame_samples: if is_short { 960 } else { 1024 } })
    }

    /// Object type of the core, its rate, the channel configuration, and whether frames have 960 samples.
    fn fields(config: &[u8]) -> Option<(u8, u32, u8, bool)> {
        let mut bits = Bits { bytes: config, at: 0 };
        let mut object_type = bits.object_type()?;
        let sample_rate_hz = bits.sample_rate_hz()?;
        let channels = u8::try_from(bits.take(4)?).ok()?;
        if matches!(object_type, SBR | PS) {
            bits.sample_rate_hz()?;
            object_type = bits.object_type()?;
        }
        Some((object_type, sample_rate_hz, channels, bits.take(1).unwrap_or_default() == 1))
    }
}

// === impl Bits ===

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let octet = self.bytes.get(self.at / 8)?;
            value = (value << 1) | u32::from(octet >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    fn object_type(&mut self) -> Option<u8> {
        let object_type = match self.take(5)? {
            31 => 32 + self.take(6)?,
            short => short,
        };
        u8::try_from(object_type).ok()
    }

    fn sample_rate_hz(&mut self) -> Option<u32> {
        match self.take(4)? {
            RATE_FOLLOWS => self.take(24),
            index => SAMPLE_RATES_HZ.get(usize::try_from(index).ok()?).copied(),
        }
    }
}

/// The rate that somebody meant who wrote it as a decimal: whole, a half, or one of the NTSC family.
#[must_use]
pub fn rate_of(decimal: f64) -> Option<Rational> {
    if !(RATE_MIN..=RATE_MAX).contains(&decimal) {
        return None;
    }
    let candidates = [(1, 1), (1000, 1001), (1, 2)];
    candidates.into_iter().find_map(|(num, den)| {
        let whole = (decimal * f64::from(den) / f64::from(num)).round();
        let meant = whole * f64::from(num) / f64::from(den);
        if (meant - decimal).abs() > RATE_TOLERANCE {
            return None;
        }
        // At most 600: the rate is bounded above.
        ratio(whole as u64 * num as u64, den as u64)
    })
}

fn ratio(num: u64, den: u64) -> Option<Rational> {
    let divisor = greatest_common_divisor(num, den);
    if divisor == 0 || den == 0 {
        return None;
    }
    let (num, den) = (num / divisor, den / divisor);
    let rate = num as f64 / den as f64;
    let is_believed = (RATE_MIN..=RATE_MAX).contains(&rate) && num <= RATE_NUM_MAX;
    is_believed.then_some(Rational { num: u32::try_from(num).ok()?, den: u32::try_from(den).ok()? })
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_mean_rates() {
        let exact = |num, den| Some(Rational { num, den });
        assert_eq!(rate_of(25.0), exact(25, 1));
        assert_eq!(rate_of(29.97), exact(30_000, 1001));
        assert_eq!(rate_of(23.976), exact(24_000, 1001));
        assert_eq!(rate_of(59.94), exact(60_000, 1001));
        assert_eq!(rate_of(12.5), exact(25, 2));
        assert_eq!(rate_of(17.3), None);
        assert_eq!(rate_of(f64::NAN), None);
        assert_eq!(rate_of(1e9), None);
    }

    #[test]
    fn aac_is_read() {
        let read = |config: &'static [u8]| Aac::read(Bytes::from_static(config));
        let stereo = read(&[0x11, 0x90]).unwrap();
        assert_eq!((stereo.sample_rate_hz, stereo.channels, stereo.frame_samples), (48_000, 2, 1024));
        let mono = read(&[0x12, 0x08]).unwrap();
        assert_eq!((mono.sample_rate_hz, mono.channels), (44_100, 1));
        // SBR: the core runs at half the rate.
        let sbr = read(&[0x2b, 0x11, 0x88, 0x00]).unwrap();
        assert_eq!((sbr.sample_rate_hz, sbr.channels), (24_000, 2));
        assert!(matches!(read(&[0x09, 0x90]), Err(RecordError::AacKind { object_type: 1, .. })));
        assert!(matches!(read(&[0x11]), Err(RecordError::Aac { size_bytes: 1 })));
    }

    #[test]
    fn packets_of_opus_say_how_long_they_are() {
        // What browsers send: CELT or hybrid, one frame of 20 ms.
        assert_eq!(opus_samples(&[0xfc, 1, 2]), Some(960));
        assert_eq!(opus_samples(&[0x78, 1, 2]), Some(960));
        assert_eq!(opus_samples(&[0x18]), Some(2880));
        assert_eq!(opus_samples(&[0x81]), Some(240));
        assert_eq!(opus_samples(&[0xfb, 3]), Some(2880));
        // Longer than 120 ms, without a frame, cut off.
        assert_eq!(opus_samples(&[0xfb, 7]), None);
        assert_eq!(opus_samples(&[0xfb, 0]), None);
        assert_eq!(opus_samples(&[0xfb]), None);
        assert_eq!(opus_samples(&[]), None);
    }

    #[test]
    fn lengths_of_a_picture_must_add_up() {
        let h264 = H264 { record: Bytes::new(), length_bytes: 4, size: None, rate: None, colour: None };
        assert_eq!(h264.is_sync(&[0, 0, 0, 1, 0x09, 0, 0, 0, 2, 0x65, 1]), Ok(true));
        assert_eq!(h264.is_sync(&[0, 0, 0, 2, 0x41, 1]), Ok(false));
        assert_eq!(h264.is_sync(&[0, 0, 0, 9, 0x65, 1]), Err(RecordError::Picture { size_bytes: 6 }));
        assert_eq!(h264.is_sync(&[0, 0]), Err(RecordError::Picture { size_bytes: 2 }));
    }
}
