//! HLS playlists: values in, text out; and nothing else.
//!
//! The classic tags are written by `hls_m3u8`; what stands in them is decided here: target durations,
//! bandwidths that add up, groups, names. No I/O, no clock, no knowledge of where the values come from. All
//! URIs are relative, because the same asset is reached under several names.

mod live;
mod media;
mod multivariant;

use thiserror::Error;

pub use live::{
    BadDirectives, Content, Directives, LiveMedia, LivePart, LiveSegment, Position, RenditionReport, Wait, directives,
    init_uri, part_uri,
};
pub use media::{INIT_URI, VodMedia, segment_uri, vod_media_playlist};
pub use multivariant::{AudioRendition, MultivariantInput, VideoRendition, multivariant_playlist};

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
    /// `hls_m3u8` refuses the values.
    #[error("the playlist contradicts RFC 8216")]
    Rule(#[from] hls_m3u8::Error),
}
