//! Manifests of HLS and DASH: values in, text out; and nothing else.
//!
//! HLS: the classic tags are written by `hls_m3u8`, DASH's XML by `quick-xml`; what stands in them is decided here: target
//! durations, bandwidths that add up, groups, names, timelines, periods. No I/O, no clock, no knowledge of where the values
//! come from. All URIs are relative, because the same asset is reached under several names. Playlists of others are read, too, by who
//! fetches their media.

mod attributes;
mod dash;
mod date_range;
mod iframes;
mod key;
mod live;
mod media;
mod multivariant;
mod reading;
mod role;
mod text;
mod time;
mod uri;

use thiserror::Error;

pub use dash::{
    DashKind, DashSteering, DashTrack, LiveMpd, LiveTrack, LowLatency, Phase, Tiles, VodMpd, VodTrack, WallClock,
    vod_mpd,
};
pub use date_range::{Cue, DateRange, Length, Scte35, Value, check_date_ranges, date_ranges_since};
pub use iframes::{Iframe, IframeMedia, LiveIframes, iframe_playlist};
pub use key::{Key, Method};
pub use live::{
    BadDirectives, Content, Directives, LiveMedia, LivePart, LiveSegment, Position, RenditionReport, Wait, directives,
    init_uri, part_uri,
};
pub use media::{Clip, Container, Cut, INIT_URI, VodMedia, segment_uri, ts_segment_uri, vod_media_playlist};
pub use multivariant::{
    AudioRendition, IframeRendition, MultivariantInput, Pathway, Start, Steering, SubtitleRendition, VideoRange,
    VideoRendition, multivariant_playlist,
};
pub use reading::{
    ReadControl, ReadError, ReadLivePart, ReadMedia, ReadMultivariant, ReadPart, ReadPlaylist, ReadSegment, ReadSound,
    ReadVariant, read_playlist,
};
pub use role::Role;
pub use text::{DashText, VodText, text_segment_uri, vod_text_playlist};

/// Values that make no playlist.
#[derive(Debug, Error)]
pub enum PlaylistError {
    /// There is nothing to play.
    #[error("a playlist needs at least one {what}")]
    Empty {
        /// What is missing.
        what: &'static str,
    },
    /// The timescale is 0.
    #[error("the timescale must be above 0")]
    Timescale,
    /// A URI is absolute, or holds a character that cannot stand in a playlist.
    #[error("the URI {uri:?} cannot stand in a playlist: it must be relative, without spaces, quotes or colons")]
    Uri {
        /// The URI.
        uri: String,
    },
    /// A value cannot stand in an attribute, or breaks its rule.
    #[error("{value:?} cannot be the value of {attribute}")]
    Attribute {
        /// Of which.
        attribute: &'static str,
        /// The value.
        value: String,
    },
    /// A date range contradicts itself or another one.
    #[error("the date range {id:?} cannot be written: {what}")]
    DateRange {
        /// Its ID.
        id: String,
        /// Why not.
        what: &'static str,
    },
    /// A clip is empty, or lies behind the end of the track.
    #[error("no media between ticks {from_ticks} and {to_ticks}")]
    Clip {
        /// Where it was to begin.
        from_ticks: u64,
        /// Where it was to end.
        to_ticks: u64,
    },
    /// A number is too large for this machine.
    #[error("the number {number} is too large")]
    Number {
        /// The number.
        number: u64,
    },
    /// Some renditions have stable identifiers, others do not.
    #[error("all renditions have a stable identifier or none has, but {uri} has none and others have")]
    StableId {
        /// Of which.
        uri: String,
    },
    /// `hls_m3u8` refuses the values.
    #[error("the playlist contradicts RFC 8216")]
    Rule(#[from] hls_m3u8::Error),
}
