//! What is said of quality: metrics, the scores of a comparison, and how sure it is that the right frames were compared.
//! What is found without a reference is in [`inspection`]; what the quality service is asked, in [`jobs`]; what runs of suites
//! found, in [`suites`]; what is said of pictures that do not say it themselves, in [`form`].

pub mod form;
pub mod inspection;
pub mod jobs;
pub mod suites;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use form::{Form, Raw};
pub use inspection::Inspection;

/// A full-reference metric of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Peak signal-to-noise ratio in dB, as FFmpeg's filter has it.
    Psnr,
    /// Structural similarity, as FFmpeg's filter has it.
    Ssim,
    /// Extended perceptually weighted peak signal-to-noise ratio in dB, as FFmpeg's filter has it.
    Xpsnr,
    /// Structural similarity, as libvmaf has it.
    FloatSsim,
    /// Multi-scale structural similarity, libvmaf's.
    MsSsim,
    /// Visual information fidelity at four scales, libvmaf's.
    Vif,
    /// VMAF v0.6.1: 1080p seen from three screen heights.
    Vmaf,
    /// VMAF v0.6.1 that gives nothing for enhancement.
    VmafNeg,
    /// VMAF v0.6.1 for 4K seen from one and a half screen heights.
    #[serde(rename = "vmaf_4k")]
    Vmaf4k,
    /// VMAF v0.6.1 for phones.
    VmafPhone,
    /// VMAF v1.0.16 seen from three screen heights.
    VmafV1,
    /// VMAF v1 of 1080p seen from five screen heights.
    #[serde(rename = "vmaf_v1_5h")]
    VmafV1Far,
    /// VMAF v1 of 4K seen from one and a half screen heights.
    #[serde(rename = "vmaf_v1_4k")]
    VmafV14k,
}

/// A comparison of two films, frame by frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Comparison {
    /// What it was compared with.
    pub reference: Film,
    /// What was scored.
    pub distorted: Film,
    /// As what both were compared.
    pub compared_as: Shape,
    /// What was done to either before, and what to know of the scores; in people's words.
    pub notes: Vec<String>,
    /// Why the scores are those of a part only: what was stated to be there and was not, or could not be decoded. Empty where all of
    /// the distorted film was scored. No gate is kept by a part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incomplete: Vec<String>,
    /// Which frames were compared.
    pub alignment: Alignment,
    /// Pairs of frames that were scored.
    pub scored_frames: u64,
    /// Every n-th pair was scored.
    pub subsample: u32,
    /// A summary of each column.
    pub columns: Vec<Column>,
    /// Version of libvmaf.
    pub libvmaf: String,
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Film {
    /// Path or URL.
    pub input: String,
    /// Codec, FFmpeg's short name.
    pub codec: String,
    /// How its frames are.
    pub shape: Shape,
    /// Frames that were decoded.
    pub frames: u64,
    /// Frames a second that the container states.
    pub frame_rate: Option<f64>,
    /// From the first frame to the end of the last one, milliseconds.
    pub duration_ms: f64,
    /// How much less came than the container states, milliseconds; 0 where all came, none where it states nothing or was not read to
    /// its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_ms: Option<f64>,
    /// Packets that could not be decoded, and pictures that were decoded in part only.
    pub decode_errors: u64,
}

/// Size and sample format of frames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Shape {
    /// Width in luma samples.
    pub width: u32,
    /// Height in luma samples.
    pub height: u32,
    /// FFmpeg's name of the pixel format.
    pub pixel_format: String,
}

/// Which frames of two films belong together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Alignment {
    /// 0 (these are different films) to 1 (every frame was found).
    pub confidence: f64,
    /// Frame of the distorted film minus frame of the reference, for the first pair.
    pub offset_frames: i64,
    /// The same in milliseconds of both films' times.
    pub offset_ms: f64,
    /// Frames before the first pair in the reference: what the distorted film lacks at its start.
    pub lead_in_reference: u64,
    /// Frames before the first pair in the distorted film: what was put in front of it.
    pub lead_in_distorted: u64,
    /// Frames of the reference behind the last pair.
    pub tail_reference: u64,
    /// Frames of the distorted film behind the last pair.
    pub tail_distorted: u64,
    /// Frames of the reference, between pairs, that the distorted film does not show.
    pub dropped_frames: u64,
    /// Frames of the distorted film, between pairs, that show once more what was shown.
    pub repeated_frames: u64,
    /// Frames of the distorted film, between pairs, that are not of the reference.
    pub foreign_frames: u64,
}

/// A column of scores, summarised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Column {
    /// Its name: `vmaf`, `psnr_y`.
    pub name: String,
    /// All its scores in a few numbers.
    pub pooled: Pooled,
    /// For PSNR the figure of the mean error of all frames, for XPSNR that of the squared mean of the errors' roots: what FFmpeg
    /// prints as its average.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of_mean_error: Option<f64>,
    /// The worst moments; only of a metric's first column.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub worst: Vec<WorstFrame>,
}

/// Many scores in a few numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Pooled {
    /// The lowest.
    pub min: f64,
    /// The highest.
    pub max: f64,
    /// The arithmetic mean.
    pub mean: f64,
    /// The harmonic mean of score + 1, minus 1.
    pub harmonic_mean: f64,
    /// 1 % of the frames are no better.
    pub p1: f64,
    /// 5 % of the frames are no better.
    pub p5: f64,
    /// 10 % of the frames are no better.
    pub p10: f64,
}

/// A frame to look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorstFrame {
    /// Frame of the distorted film, from 0.
    pub distorted: u64,
    /// Frame of the reference, from 0.
    pub reference: u64,
    /// When the distorted film shows it, milliseconds from its first frame.
    pub time_ms: f64,
    /// Its score.
    pub score: f64,
}

/// Scores of all pairs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Scores {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The pairs in the order of the film.
    pub frames: Vec<FrameScores>,
}

/// Scores of a pair of frames.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FrameScores {
    /// Frame of the reference, from 0.
    pub reference: u64,
    /// Frame of the distorted film, from 0.
    pub distorted: u64,
    /// When the distorted film shows it, milliseconds from its first frame.
    pub time_ms: f64,
    /// One for each column; always finite.
    pub values: Vec<f64>,
}

// === impl Metric ===

impl Metric {
    /// All of them, in the order of documents.
    pub const ALL: [Self; 13] = [
        Self::Psnr,
        Self::Ssim,
        Self::Xpsnr,
        Self::FloatSsim,
        Self::MsSsim,
        Self::Vif,
        Self::Vmaf,
        Self::VmafNeg,
        Self::Vmaf4k,
        Self::VmafPhone,
        Self::VmafV1,
        Self::VmafV1Far,
        Self::VmafV14k,
    ];

    /// Its name on command lines and in documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Psnr => "psnr",
            Self::Ssim => "ssim",
            Self::Xpsnr => "xpsnr",
            Self::FloatSsim => "float_ssim",
            Self::MsSsim => "ms_ssim",
            Self::Vif => "vif",
            Self::Vmaf => "vmaf",
            Self::VmafNeg => "vmaf_neg",
            Self::Vmaf4k => "vmaf_4k",
            Self::VmafPhone => "vmaf_phone",
            Self::VmafV1 => "vmaf_v1",
            Self::VmafV1Far => "vmaf_v1_5h",
            Self::VmafV14k => "vmaf_v1_4k",
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Metric {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|metric| metric.name() == name).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|metric| metric.name()).collect();
            format!("there is no metric `{name}`; there are {}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_everywhere() {
        for metric in Metric::ALL {
            assert_eq!(metric.name().parse(), Ok(metric));
            assert_eq!(serde_json::to_string(&metric).expect("it is a word"), format!("\"{metric}\""));
        }
        assert!("vmaff".parse::<Metric>().is_err_and(|error| error.contains("vmaf_neg")));
    }
}
