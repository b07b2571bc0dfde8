//! What is measured of media without a reference: what its pictures and its sound are, and what is wrong with them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Most spans of a kind that are listed; further ones are counted.
pub const SPANS_MAX: usize = 500;

/// What was found in a film or a sound file. A detector that could not run has no figures here and a line in `not_measured`:
/// the absence of a finding never stands for a film without faults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Inspection {
    /// Path or URL.
    pub input: String,
    /// FFmpeg's name of the container.
    pub container: String,
    /// What was found in the pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video: Option<VideoInspection>,
    /// What was found in the sound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<AudioInspection>,
    /// How sound and pictures lie to each other; only where there are both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synchrony: Option<Synchrony>,
    /// Detectors that could not run, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_measured: Vec<NotMeasured>,
    /// What to know of the figures; in people's words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Why the figures are those of a part only: what was stated to be there and was not, or could not be decoded. Empty where all
    /// was seen and heard. No gate is kept by a part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incomplete: Vec<String>,
}

/// A detector that could not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NotMeasured {
    /// Its name: `loudness`.
    pub detector: String,
    /// Why.
    pub why: String,
}

/// What was found in the pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VideoInspection {
    /// Codec, FFmpeg's short name.
    pub codec: String,
    /// Width in luma samples, of the first frame.
    pub width: u32,
    /// Height in luma samples, of the first frame.
    pub height: u32,
    /// FFmpeg's name of the pixel format.
    pub pixel_format: String,
    /// Frames a second that the container states.
    pub frame_rate: Option<f64>,
    /// Frames that were decoded.
    pub frames: u64,
    /// From the first frame to the end of the last one, seconds.
    pub duration_s: f64,
    /// How much less came than the container states, seconds; 0 where all came, none where it states nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_s: Option<f64>,
    /// Packets that could not be decoded, and pictures that were decoded in part only.
    pub decode_errors: u64,
    /// Stretches of black pictures.
    pub black: Spans,
    /// Stretches in which the picture stands still.
    pub freeze: Spans,
    /// Spatial information (ITU-T P.910): how much detail pictures have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub si: Option<Range>,
    /// Temporal information (ITU-T P.910): how much changes from one picture to the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ti: Option<Range>,
    /// How blurred pictures are (Crété-Roffet et al. 2007), 0 (sharp) to 1; none where all are of one level, or too small.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blur: Option<Range>,
    /// How much larger steps are at the edges of an encoder's blocks than elsewhere (after Muijs and Kirenko 2005), from 1 (not at all).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blockiness: Option<Range>,
    /// Groups of pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gop: Option<Gops>,
    /// Times of the packets and pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamps: Option<Timestamps>,
}

/// What was found in the sound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AudioInspection {
    /// Codec, FFmpeg's short name.
    pub codec: String,
    /// Samples a second.
    pub sample_rate_hz: u32,
    /// Channels.
    pub channels: u32,
    /// From the first sample to the end of the last one, seconds.
    pub duration_s: f64,
    /// How much less came than the container states, seconds; 0 where all came, none where it states nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_s: Option<f64>,
    /// Packets that could not be decoded.
    pub decode_errors: u64,
    /// Stretches in which all channels are silent.
    pub silence: Spans,
    /// Samples at full scale.
    pub clipping: Clipping,
    /// EBU R 128.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loudness: Option<Loudness>,
}

/// Stretches of time in which something holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Spans {
    /// How many there are.
    pub count: u64,
    /// All of them together, seconds.
    pub total_s: f64,
    /// The longest, seconds.
    pub longest_s: f64,
    /// The first 500 of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub list: Vec<TimeSpan>,
}

/// A stretch of time, seconds from the first frame or sample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TimeSpan {
    /// Where it begins.
    pub start_s: f64,
    /// Where it ends.
    pub end_s: f64,
}

/// A figure of many pictures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Range {
    /// The lowest.
    pub min: f64,
    /// The arithmetic mean.
    pub mean: f64,
    /// The highest: what P.910 takes for the whole.
    pub max: f64,
}

/// Groups of pictures: from one key frame to the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Gops {
    /// Key frames.
    pub keyframes: u64,
    /// The shortest group but the last, seconds.
    pub shortest_s: f64,
    /// The longest group, seconds.
    pub longest_s: f64,
    /// Groups but the last whose length differs from the commonest one by more than half a picture.
    pub irregular: u64,
}

/// Times of packets and pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Timestamps {
    /// Packets whose decoding time is not after that of the packet before.
    pub backwards: u64,
    /// Pictures that are shown at the same time as another one, or before the one that was shown before.
    pub repeated: u64,
    /// Pictures after which one and a half times as long as usual nothing new is shown.
    pub gaps: u64,
    /// The longest time from one picture to the next, milliseconds.
    pub longest_gap_ms: f64,
    /// Packets without any time.
    pub missing: u64,
}

/// Samples at full scale.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Clipping {
    /// Stretches of at least three samples of a channel, one after the other, at full scale.
    pub runs: u64,
    /// Samples in them.
    pub samples: u64,
    /// The longest, samples.
    pub longest_samples: u64,
    /// The highest sample, dB below full scale; none of digital silence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_dbfs: Option<f64>,
}

/// Loudness as EBU R 128 has it (ITU-R BS.1770, EBU Tech 3342).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Loudness {
    /// Integrated loudness, LUFS; none where nothing is above the absolute gate of -70 LUFS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integrated_lufs: Option<f64>,
    /// Loudness range, LU; none where less than three seconds are loud enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range_lu: Option<f64>,
    /// The highest true peak of a channel, dBTP; none of digital silence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub true_peak_dbtp: Option<f64>,
    /// The highest momentary loudness (400 ms), LUFS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub momentary_max_lufs: Option<f64>,
    /// The highest short-term loudness (3 s), LUFS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short_term_max_lufs: Option<f64>,
}

/// How sound and pictures lie to each other.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Synchrony {
    /// The first sample after the first picture, milliseconds; negative where sound begins first.
    pub start_offset_ms: f64,
    /// The end of the sound after the end of the pictures, milliseconds.
    pub end_offset_ms: f64,
}
