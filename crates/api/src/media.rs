//! What a probe says about a media file, and what a packaged track is. Shared by several services.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A ratio of two integers; frame rates and aspect ratios are kept exact (30000/1001, never 29.97).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rational {
    /// Numerator.
    pub num: u32,
    /// Denominator, never 0.
    pub den: u32,
}

impl Rational {
    /// The ratio as a float.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.num) / f64::from(self.den)
    }
}

/// The technical data of a source file, as the probe measured it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Probe {
    /// Container, FFmpeg's short name (`mov,mp4,m4a,3gp,3g2,mj2`, `matroska,webm`, `mpegts`).
    pub container: String,
    /// Duration in milliseconds of the longest stream, edit lists applied.
    pub duration_ms: u64,
    /// Mean bit rate of the file, bits per second.
    pub bitrate_bps: u64,
    /// The video stream that a player would choose, if there is one (cover art is not video).
    pub video: Option<VideoStream>,
    /// The audio stream that a player would choose, if there is one.
    pub audio: Option<AudioStream>,
}

/// One video stream of a source file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VideoStream {
    /// Codec, FFmpeg's short name (`h264`, `hevc`, `vp9`).
    pub codec: String,
    /// Coded width in pixels, before rotation.
    pub width: u32,
    /// Coded height in pixels, before rotation.
    pub height: u32,
    /// Width in square pixels as it should be shown: pixel aspect ratio and rotation applied.
    pub display_width: u32,
    /// Height in square pixels as it should be shown.
    pub display_height: u32,
    /// Clockwise rotation in degrees to show it upright: 0, 90, 180, 270.
    pub rotation_deg: u16,
    /// Pixel (sample) aspect ratio.
    pub pixel_aspect: Rational,
    /// Mean frame rate; absent where the file has too few frames to say.
    pub frame_rate: Option<Rational>,
    /// Whether frame durations differ by more than the container's rounding.
    pub variable_frame_rate: bool,
    /// Ticks per second of the container's clock for this stream, if it is a whole number.
    pub timescale: Option<u32>,
    /// FFmpeg's pixel format name (`yuv420p10le`).
    pub pixel_format: String,
    /// Bits per sample of the pixel format.
    pub bit_depth: u8,
    /// Whether the first decoded frame is interlaced.
    pub interlaced: bool,
    /// Stream duration in milliseconds, if the file says.
    pub duration_ms: Option<u64>,
}

/// One audio stream of a source file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AudioStream {
    /// Codec, FFmpeg's short name (`aac`, `opus`).
    pub codec: String,
    /// Samples per second.
    pub sample_rate_hz: u32,
    /// Channels.
    pub channels: u16,
    /// BCP 47 or ISO 639-2 language as tagged in the file.
    pub language: Option<String>,
    /// Stream duration in milliseconds, if the file says.
    pub duration_ms: Option<u64>,
}

/// Video or audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TrackKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// One packaged CMAF track of an asset version: what a playlist must say about it.
///
/// Its bytes lie in the object store under the keys of `docs/storage-format.md`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Track {
    /// The track's name in URLs: `v720`, `a128`.
    pub name: String,
    /// Video or audio.
    pub kind: TrackKind,
    /// RFC 6381 codec string: `avc1.64001f`, `mp4a.40.2`.
    pub codec: String,
    /// Width in square pixels; video only.
    pub width: Option<u32>,
    /// Height in square pixels; video only.
    pub height: Option<u32>,
    /// Frame rate; video only.
    pub frame_rate: Option<Rational>,
    /// Audio channels; audio only.
    pub channels: Option<u16>,
    /// Audio samples per second; audio only.
    pub sample_rate_hz: Option<u32>,
    /// Language; audio only.
    pub language: Option<String>,
    /// Duration in milliseconds.
    pub duration_ms: u64,
    /// Samples (frames of video, access units of audio).
    pub samples: u64,
    /// Mean bits per second over the whole track, measured.
    pub average_bandwidth_bps: u64,
    /// Highest bits per second of any segment, measured (RFC 8216 section 4.3.4.2).
    pub peak_bandwidth_bps: u64,
    /// Bytes of the track's object.
    pub size_bytes: u64,
}
