//! What a track is, before its first sample: the encoder's configuration and nothing that is measured.

use bytes::Bytes;

use crate::codec::{self, CodecError};
use crate::record;

/// Everything an init segment says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackConfig {
    /// What is inside.
    pub media: MediaConfig,
    /// Language as BCP 47 (`en`, `de-CH`) or ISO 639-2 (`eng`); the `mdhd` box takes what has three letters.
    pub language: Option<String>,
}

/// Pictures or sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaConfig {
    /// H.264 and H.265 with parameter sets out of band (`avc1`, `hvc1`), AV1 (`av01`) or VP9 (`vp09`).
    Video(VideoConfig),
    /// AAC (`mp4a`) or Opus (`Opus`).
    Audio(AudioConfig),
}

/// How pictures are coded, by the record that says so, without a box around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PictureCodec {
    /// `AVCDecoderConfigurationRecord`; samples are NAL units behind lengths (ISO/IEC 14496-15).
    Avc(Vec<u8>),
    /// `HEVCDecoderConfigurationRecord`; samples as those of H.264.
    Hevc(Vec<u8>),
    /// `AV1CodecConfigurationRecord`; samples are temporal units without delimiters.
    Av1(Vec<u8>),
    /// The body of `vpcC`; samples are superframes.
    Vp9(Vec<u8>),
}

/// Pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoConfig {
    /// How they are coded.
    pub codec: PictureCodec,
    /// Width in pixels; pixels are square.
    pub width: u16,
    /// Height in pixels.
    pub height: u16,
    /// Ticks per second of the samples' times.
    pub timescale: u32,
    /// Colour, if the encoder knows it.
    pub colour: Option<Colour>,
    /// How far the samples' presentation times lie above what is shown, so that decode times need not lie
    /// below zero ([`crate::timing`]). It becomes the start of the edit list; 0 for none.
    pub composition_delay_ticks: u32,
}

/// Colour as code points of ITU-T H.273.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour {
    /// `ColourPrimaries`.
    pub primaries: u16,
    /// `TransferCharacteristics`.
    pub transfer: u16,
    /// `MatrixCoefficients`.
    pub matrix: u16,
    /// `VideoFullRangeFlag`.
    pub full_range: bool,
}

/// How sound is coded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SoundCodec {
    /// AAC access units without ADTS headers, by the `AudioSpecificConfig` of ISO/IEC 14496-3.
    Aac(Vec<u8>),
    /// Opus packets (RFC 6716) of one stream, mono or stereo.
    Opus,
}

/// Sound. Times are in samples: the timescale is the sample rate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioConfig {
    /// How it is coded.
    pub codec: SoundCodec,
    /// Samples per second, and the timescale of the track; 48,000 for Opus, whatever was recorded (RFC 7845 section 4).
    pub sample_rate_hz: u32,
    /// Channels.
    pub channels: u16,
    /// Samples that the decoder gives before the first one to be heard (encoder delay). They become the
    /// start of the edit list: what is decoded at `t` is heard at `t - priming_samples`.
    pub priming_samples: u32,
}

// === impl PictureCodec ===

impl PictureCodec {
    /// A picture as its encoder gave it, as a sample; `None` if it is cut off.
    #[must_use]
    pub fn sample(&self, coded: Bytes) -> Option<Bytes> {
        match self {
            Self::Avc(_) | Self::Vp9(_) => Some(coded),
            Self::Hevc(_) => Some(record::hevc_sample(&coded)),
            Self::Av1(_) => record::av1_sample(&coded),
        }
    }
}

// === impl VideoConfig ===

impl VideoConfig {
    /// The codec as playlists name it (RFC 6381).
    pub(crate) fn name(&self) -> Result<String, CodecError> {
        match &self.codec {
            PictureCodec::Avc(record) => codec::avc1(record),
            PictureCodec::Hevc(record) => codec::hevc("hvc1", record),
            PictureCodec::Av1(record) => codec::av01(record, self.colour),
            PictureCodec::Vp9(record) => codec::vp09(record),
        }
    }
}

// === impl AudioConfig ===

impl AudioConfig {
    /// The codec as playlists name it (RFC 6381).
    pub(crate) fn name(&self) -> Result<String, CodecError> {
        match &self.codec {
            SoundCodec::Aac(asc) => codec::mp4a(asc),
            SoundCodec::Opus => Ok(codec::OPUS.to_owned()),
        }
    }
}

// === impl TrackConfig ===

impl TrackConfig {
    /// Ticks per second of the track's times.
    #[must_use]
    pub fn timescale(&self) -> u32 {
        match &self.media {
            MediaConfig::Video(video) => video.timescale,
            MediaConfig::Audio(audio) => audio.sample_rate_hz,
        }
    }

    /// Media time that is presented at 0, ticks: `media_time` of the edit list, 0 where there is none.
    #[must_use]
    pub fn edit_media_time_ticks(&self) -> u64 {
        match &self.media {
            MediaConfig::Video(video) => u64::from(video.composition_delay_ticks),
            MediaConfig::Audio(audio) => u64::from(audio.priming_samples),
        }
    }
}
