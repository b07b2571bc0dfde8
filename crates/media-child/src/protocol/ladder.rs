//! What a [`Request`](super::Request) says of a ladder: steps, rungs, sheets of thumbnails, and the parts that it is made in.

use std::path::PathBuf;

use flame_api::media::{Rational, SoundRole};
use serde::{Deserialize, Serialize};

/// What a ladder is made of. Decided by the transcode service from the probe; the child only obeys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LadderPlan {
    /// Video rungs, best first; empty for audio only.
    pub video: Vec<VideoRung>,
    /// The audio tracks, each of a sound of the source, the one that a player chooses first.
    pub audio: Vec<AudioRung>,
    /// Closed GOPs of this length in milliseconds begin on the same frame in every rung.
    pub gop_ms: u32,
    /// Segments of this length in milliseconds, a whole number of GOPs.
    pub segment_ms: u32,
    /// Ticks per second of the video tracks.
    pub video_timescale: u32,
    /// Clockwise rotation to apply, degrees.
    pub rotation_deg: u16,
    /// Whether to deinterlace (one frame out for each frame in).
    pub deinterlace: bool,
    /// What is done to the upright pictures before they are scaled, in this order.
    pub front: Vec<PictureStep>,
    /// Nominal frame rate of the source, for the tracks' descriptions and the last frame's duration.
    pub frame_rate: Option<Rational>,
    /// Duration that the probe promised, for progress and to notice truncation.
    pub duration_ms: u64,
    /// The thumbnails to make, if any.
    pub thumbnails: Option<ThumbnailPlan>,
    /// Where the tracks begin, if others of their version were made of this source before: then this is no question any more,
    /// nor is it whether the source is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreed: Option<Agreed>,
}

/// GOPs of a source, counted from the grid's beginning, and how their encoder begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GopRange {
    /// The first one.
    pub from: u32,
    /// The one behind the last; none: to the end of the source.
    pub to: Option<u32>,
    /// How full the buffer of a capped encoder (VBV) is when the first picture comes, percent.
    pub buffer_percent: u8,
}

/// A chunk on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkPlace {
    /// The folder with its `<track>.chunk` files.
    pub folder: PathBuf,
    /// As it was encoded.
    pub range: GopRange,
}

/// A chunk that keeps its rung's cap by itself, and not behind the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unkept {
    /// Its place, from 0.
    pub chunk: u32,
    /// How full the buffer really is where it begins, percent.
    pub found_percent: u8,
}

/// Where the tracks of one version begin, in nanoseconds. It follows from the source and from which of its streams the version has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreed {
    /// Time of the source from which running time is counted.
    pub origin_ns: i64,
    /// Running time that is presented at 0: the earliest of the first frame and the first sample of any sound.
    pub zero_ns: u64,
    /// Running time where the grid of GOPs and segments begins.
    pub grid_ns: u64,
}

/// Something that is done to pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PictureStep {
    /// Takes borders away.
    Crop(Borders),
    /// Adds black bars.
    Pad(Borders),
    /// Drops and repeats pictures until there are so many a second.
    FrameRate(Rational),
}

/// Pixels at the sides of a picture as it is stored, upright.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the sides")]
pub struct Borders {
    pub left: u32,
    pub right: u32,
    pub top: u32,
    pub bottom: u32,
}

/// Small pictures at even distances, on sheets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThumbnailPlan {
    /// From one picture to the next, milliseconds.
    pub interval_ms: u32,
    /// Pictures in a row.
    pub columns: u32,
    /// Rows of a sheet.
    pub rows: u32,
    /// Width of a picture in pixels, upright.
    pub width: u32,
    /// Height of a picture in pixels.
    pub height: u32,
    /// The most sheets; what comes later gets none.
    pub sheets_max: u32,
}

// === impl LadderPlan ===

impl LadderPlan {
    /// Nominal frame rate of the tracks.
    #[must_use]
    pub fn track_frame_rate(&self) -> Option<Rational> {
        let set = self.front.iter().rev().find_map(|step| match step {
            PictureStep::FrameRate(rate) => Some(*rate),
            PictureStep::Crop(_) | PictureStep::Pad(_) => None,
        });
        set.or(self.frame_rate)
    }
}

// === impl ThumbnailPlan ===

impl ThumbnailPlan {
    /// Pictures of a sheet.
    #[must_use]
    pub fn tiles(&self) -> u32 {
        self.columns.saturating_mul(self.rows)
    }
}

/// One rung of pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoRung {
    /// Track name: `v720`.
    pub name: String,
    /// Even width in square pixels.
    pub width: u32,
    /// Even height in square pixels.
    pub height: u32,
    /// What encodes, as documents name it: `x264`, `openh264`, `x265`, `svt-av1`, `vpx-vp9`.
    pub encoder: String,
    /// Constant rate factor (of `openh264`: the quantiser), where there is no mean.
    pub crf: u32,
    /// Mean bits per second instead of constant quality.
    pub mean_bitrate_bps: Option<u32>,
    /// Cap (VBV) in bits per second, over a buffer of two seconds; 0 for none.
    pub max_bitrate_bps: u32,
    /// Speed, in the words of x264: `veryfast`.
    pub preset: String,
}

/// An AAC-LC track.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AudioRung {
    /// Track name: `a128`, `a128-2`.
    pub name: String,
    /// Which of the source's audio streams it is made of, from 0.
    pub sound: u32,
    /// Language of it.
    pub language: Option<String>,
    /// What it is for.
    pub role: SoundRole,
    /// Its title for people.
    pub title: Option<String>,
    /// Channels out, 1 or 2; more are mixed down.
    pub channels: u16,
    /// Samples per second out: 44,100 or 48,000.
    pub sample_rate_hz: u32,
    /// Bits per second.
    pub bitrate_bps: u32,
    /// How loud it is to be; none: as it is.
    pub loudness: Option<LoudnessPlan>,
}

/// What one gain is to make of a sound, measured as EBU R 128 says after it was mixed down.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LoudnessPlan {
    /// Integrated loudness, LUFS.
    pub target_lufs: f64,
    /// The gain ends where the true peak would pass this, dBTP.
    pub true_peak_max_dbtp: f64,
}
