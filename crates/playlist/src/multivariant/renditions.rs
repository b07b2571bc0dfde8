//! What a multivariant playlist is made of: renditions, pathways, where to begin.

use crate::{Key, Role};

/// What can be played.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MultivariantInput {
    /// Video renditions, in the order of the playlist; the first one is what some players begin with.
    pub video: Vec<VideoRendition>,
    /// Audio renditions; the first one is the default.
    pub audio: Vec<AudioRendition>,
    /// Subtitles; at most one of them is shown by default.
    pub subtitles: Vec<SubtitleRendition>,
    /// I-frame playlists.
    pub iframes: Vec<IframeRendition>,
    /// Where players begin, if not at the beginning (or, live, at the edge).
    pub start: Option<Start>,
    /// Who says which pathway to take.
    pub steering: Option<Steering>,
    /// Ways to reach the same media, the preferred one first; without any, there is one without a name.
    pub pathways: Vec<Pathway>,
    /// Keys that players may ask for before they need them.
    pub session_keys: Vec<Key>,
}

/// One video rendition.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VideoRendition {
    /// URI of its media playlist, relative.
    pub uri: String,
    /// RFC 6381 codec string.
    pub codec: String,
    /// What a player that knows it can make of the same bits: `dvh1.08.07/db4h` (`SUPPLEMENTAL-CODECS`).
    pub supplemental_codecs: Option<String>,
    /// Width in square pixels.
    pub width: u32,
    /// Height in square pixels.
    pub height: u32,
    /// Frames per second as a ratio, if there is a rate.
    pub frame_rate: Option<(u32, u32)>,
    /// How bright it gets, if that is known.
    pub video_range: Option<VideoRange>,
    /// Mean bits per second, measured.
    pub average_bandwidth_bps: u64,
    /// Peak segment bit rate, measured.
    pub peak_bandwidth_bps: u64,
    /// A name that stays, whatever the URI is: letters, digits, `+ / = . - _`. All renditions have one, or none has.
    pub stable_id: Option<String>,
}

/// Transfer characteristics (`VIDEO-RANGE`, RFC 8216bis section 4.4.6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VideoRange {
    /// BT.709, BT.601, sRGB …
    Sdr,
    /// BT.2100 HLG.
    Hlg,
    /// BT.2100 PQ.
    Pq,
}

/// One audio rendition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AudioRendition {
    /// URI of its media playlist, relative.
    pub uri: String,
    /// RFC 6381 codec string.
    pub codec: String,
    /// Name for people; made unique here.
    pub name: String,
    /// Language (BCP 47), if it is known.
    pub language: Option<String>,
    /// What it is for.
    pub role: Role,
    /// Channels, if they are known.
    pub channels: Option<u16>,
    /// Mean bits per second, measured.
    pub average_bandwidth_bps: u64,
    /// Peak segment bit rate, measured.
    pub peak_bandwidth_bps: u64,
    /// As of [`VideoRendition`].
    pub stable_id: Option<String>,
}

/// One rendition of subtitles.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubtitleRendition {
    /// URI of its media playlist, relative.
    pub uri: String,
    /// RFC 6381 codec string (`wvtt`, `stpp.ttml.im1t`); none for plain WebVTT files, which have none.
    pub codec: Option<String>,
    /// Name for people; made unique here.
    pub name: String,
    /// Language (BCP 47), if it is known.
    pub language: Option<String>,
    /// What it is for; [`Role::Forced`] becomes `FORCED=YES`.
    pub role: Role,
    /// Whether it is shown unless the viewer chooses otherwise; of several that are, the first.
    pub is_default: bool,
    /// As of [`VideoRendition`].
    pub stable_id: Option<String>,
}

/// The I-frames of a video rendition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IframeRendition {
    /// URI of its I-frame playlist, relative.
    pub uri: String,
    /// RFC 6381 codec string.
    pub codec: String,
    /// Width in square pixels.
    pub width: u32,
    /// Height in square pixels.
    pub height: u32,
    /// How bright it gets, if that is known.
    pub video_range: Option<VideoRange>,
    /// Mean bits per second of the pictures, each taken to last until the next, measured.
    pub average_bandwidth_bps: u64,
    /// The highest of any picture, likewise.
    pub peak_bandwidth_bps: u64,
    /// As of [`VideoRendition`].
    pub stable_id: Option<String>,
}

/// Where players begin (`EXT-X-START`, RFC 8216bis section 4.4.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// Milliseconds from the beginning, or, below 0, from the end.
    pub offset_ms: i64,
    /// Whether nothing before it is to be shown, not even from the same segment.
    pub is_precise: bool,
}

/// Who says which pathway to take (draft-pantos-hls-content-steering).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steering {
    /// URI of the steering manifest, relative.
    pub server_uri: String,
    /// The pathway to begin with; else it is the first one.
    pub first_pathway: Option<String>,
}

/// A way to reach the media.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pathway {
    /// Its name: letters, digits, `. - _`.
    pub id: String,
    /// What stands in front of every URI on it, with `/` at its end: relative, or at another host. Empty for the playlist's own folder.
    pub base: String,
}
