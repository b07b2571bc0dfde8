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
    /// The other audio streams that can be decoded, in the file's order; at most [`SOUNDS_MAX`] with the chosen one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_audio: Vec<AudioStream>,
}

/// Longest title of a track, characters.
pub const TRACK_TITLE_MAX_CHARS: usize = 100;
/// The most audio streams of a source that are looked at, and encoded.
pub const SOUNDS_MAX: usize = 8;

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
    /// Which of the file's audio streams it is, from 0 (FFmpeg's `a:0`).
    #[serde(default)]
    pub number: u32,
    /// Codec, FFmpeg's short name (`aac`, `opus`).
    pub codec: String,
    /// Samples per second.
    pub sample_rate_hz: u32,
    /// Channels.
    pub channels: u16,
    /// BCP 47 or ISO 639-2 language as tagged in the file.
    pub language: Option<String>,
    /// What it is for, as the file says it.
    #[serde(default)]
    pub role: SoundRole,
    /// Its title in the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Stream duration in milliseconds, if the file says.
    pub duration_ms: Option<u64>,
}

/// What a track of sound is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SoundRole {
    /// The programme as it is meant.
    #[default]
    Main,
    /// Another version of it.
    Alternate,
    /// In another language than it was made in.
    Dub,
    /// Talk about the programme.
    Commentary,
    /// With spoken descriptions of the pictures.
    Description,
    /// With speech that stands out, for those who hear little.
    ClearSpeech,
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
    /// What it is for; audio only.
    #[serde(default)]
    pub role: SoundRole,
    /// Title for people; audio only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Which of the source's audio streams it was made of, from 0; audio only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_sound: Option<u32>,
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

/// Small pictures of a version at even distances, put side by side on sheets, row by row: `thumbnails/{n}.jpg` beside its
/// tracks, from 0. All sheets are of one size; on the last one, places may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Thumbnails {
    /// From one picture to the next, milliseconds.
    pub interval_ms: u32,
    /// Pictures in a row.
    pub columns: u32,
    /// Rows of a sheet.
    pub rows: u32,
    /// Width of a picture in pixels.
    pub tile_width: u32,
    /// Height of a picture in pixels.
    pub tile_height: u32,
    /// All pictures.
    pub count: u32,
    /// Bytes of the largest sheet.
    pub largest_sheet_bytes: u64,
    /// Bytes of all sheets.
    pub size_bytes: u64,
}

// === impl Thumbnails ===

impl Thumbnails {
    /// How many sheets there are.
    #[must_use]
    pub fn sheets(&self) -> u32 {
        self.count.div_ceil(self.columns.saturating_mul(self.rows).max(1))
    }
}

// === impl Probe ===

impl Probe {
    /// All audio streams, the one that a player would choose first.
    pub fn sounds(&self) -> impl Iterator<Item = &AudioStream> {
        self.audio.iter().chain(&self.other_audio)
    }
}

// === impl SoundRole ===

impl SoundRole {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Main, Self::Alternate, Self::Dub, Self::Commentary, Self::Description, Self::ClearSpeech];

    /// Its word, as it stands in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Alternate => "alternate",
            Self::Dub => "dub",
            Self::Commentary => "commentary",
            Self::Description => "description",
            Self::ClearSpeech => "clear-speech",
        }
    }

    /// The role of this word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.word() == word)
    }

    /// What a word of DASH's role scheme (ISO/IEC 23009-1 section 5.8.5.5) says of a sound that is not just the main one.
    #[must_use]
    pub fn of_dash(word: &str) -> Option<Self> {
        match word {
            "alternate" => Some(Self::Alternate),
            "dub" => Some(Self::Dub),
            "commentary" | "supplementary" => Some(Self::Commentary),
            "description" => Some(Self::Description),
            // Of sound, `caption` is what FFmpeg writes for those who hear little.
            "enhanced-audio-intelligibility" | "caption" => Some(Self::ClearSpeech),
            _ => None,
        }
    }

    /// What a title says where nothing else does: many files name a commentary so and set no flag.
    #[must_use]
    pub fn of_title(title: &str) -> Option<Self> {
        let title = title.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| title.contains(word));
        if says(&["commentary", "kommentar", "commentaire", "comentario"]) {
            Some(Self::Commentary)
        } else if says(&["audio descri", "audiodescri", "audio-descri", "descriptive", "described"]) {
            Some(Self::Description)
        } else {
            None
        }
    }

    /// Whether it is for viewers with an impairment: no player chooses such a track by itself.
    #[must_use]
    pub fn is_for_few(self) -> bool {
        matches!(self, Self::Description | Self::ClearSpeech)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_roles_are_those_of_json() {
        for role in SoundRole::ALL {
            assert_eq!(serde_json::to_value(role).unwrap(), role.word());
            assert_eq!(SoundRole::of_word(role.word()), Some(role));
        }
        assert_eq!(SoundRole::of_word("Main"), None);
    }

    #[test]
    fn a_title_tells_what_a_sound_is_for() {
        for (title, role) in [
            ("Director's Commentary", Some(SoundRole::Commentary)),
            ("English (Audio Description)", Some(SoundRole::Description)),
            ("Stereo", None),
            ("", None),
        ] {
            assert_eq!(SoundRole::of_title(title), role, "{title}");
        }
    }

    #[test]
    fn what_an_older_release_wrote_reads() {
        let probe = r#"{"container":"mov","duration_ms":1,"bitrate_bps":1,"video":null,
            "audio":{"codec":"aac","sample_rate_hz":48000,"channels":2,"language":"eng","duration_ms":null}}"#;
        let probe: Probe = serde_json::from_str(probe).unwrap();
        let sounds: Vec<_> = probe.sounds().map(|sound| (sound.number, sound.role)).collect();
        assert_eq!(sounds, [(0, SoundRole::Main)]);
    }
}
