//! Live channels. Streaming owns them: timeline, window, and what remains when they end. The doors of ingest (RTMP and
//! its like) bring media to them, as segments of CMAF that are sent while they are made.
//!
//! People: `POST /channels` · `GET /channels` (list) · `GET /channels/{id}` · `POST /channels/{id}/key` ·
//! `POST /channels/{id}/end` · marks of it: [`Mark`].
//!
//! Doors: `POST /publications/terms` says what a key opens, 403 (`wrong-key`) where it opens nothing: so an encoder is
//! refused before it sends, and the lengths are known before the tracks are · `POST /publications` turns a key into a
//! [`Publication`] · `PUT /publications/{id}/{track}/init.mp4` ·
//! `PUT /publications/{id}/{track}/{number}.m4s`, a chunked body whose chunks (`moof`, `mdat`) are the parts, each
//! taken as soon as it is whole · `DELETE /publications/{id}` when the encoder has left.
//!
//! *Times.* Media time is UTC: `tfdt` counts ticks since 1970-01-01T00:00:00Z. So two doors, a restart and the
//! recording agree, and a playlist needs no clock to say when something was.
//!
//! *Numbers.* Segments of all tracks that begin at the same time have the same number. A door counts from
//! [`Publication::first_number`]; a number that it skips is a gap. What came once is not taken twice: sending a
//! segment again changes nothing.

mod ladder;
mod mark;
mod source;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::metadata::Encryption;

pub use self::ladder::{
    ChannelLadder, LadderStanding, LadderState, LadderTracks, LiveLadder, NewLadder, RELAY_TYPE, RUNGS_MAX,
};
pub use self::mark::{Mark, MarkValue, NewMark};
pub use self::source::{ChannelSource, NewSourcePublication, Source, SourceStanding, SourceState};
use crate::media::{Rational, TrackKind};

/// Length of a segment where nothing else is asked for, milliseconds.
pub const SEGMENT_MS: u32 = 2_000;
/// Length of a part where nothing else is asked for, milliseconds.
pub const PART_MS: u32 = 200;
/// How far back a viewer can go where nothing else is asked for, seconds.
pub const WINDOW_S: u32 = 7_200;

/// Body of `POST /channels`. The caller chooses the id, so that a repeated call makes one channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewChannel {
    /// Identifier of the channel and of its asset, a UUID (version 7 recommended).
    pub id: Uuid,
    /// What it is called.
    pub title: String,
    /// Length of a segment, milliseconds, 1,000 to 10,000. Encoders that send key frames less often make longer ones.
    #[serde(default = "default_segment_ms")]
    pub segment_ms: u32,
    /// Length of a part, milliseconds, 100 to 1,000.
    #[serde(default = "default_part_ms")]
    pub part_ms: u32,
    /// How far back a viewer can go while it is live, seconds, 30 to 43,200.
    #[serde(default = "default_window_s")]
    pub window_s: u32,
    /// How long what was sent is kept while the channel goes on, seconds, `window_s` to 31,622,400; all of it where nothing is said. The recording
    /// begins where media is still there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_s: Option<u32>,
    /// Where its media comes from, if ingest is to fetch it; encoders may still publish, and it waits while they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// The renditions that are to be made of what comes in, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ladder: Option<LiveLadder>,
    /// How its media is encrypted on its way to viewers, from the first part on and in the recording: as `aes-128` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
}

/// Where a channel stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChannelState {
    /// Nobody publishes to it now.
    Idle,
    /// Media comes in.
    Live,
    /// It is over: what was sent is an asset like others.
    Ended,
}

/// A live channel.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Channel {
    /// Identifier; `/{id}/index.m3u8` of streaming plays it.
    pub id: Uuid,
    /// The tenant that owns it.
    pub tenant: String,
    /// What it is called.
    pub title: String,
    /// Where it stands.
    pub state: ChannelState,
    /// The version that its media has in URLs.
    pub version: String,
    /// Length of a segment, milliseconds.
    pub segment_ms: u32,
    /// Length of a part, milliseconds.
    pub part_ms: u32,
    /// How far back a viewer can go, seconds.
    pub window_s: u32,
    /// How long what was sent is kept while it goes on, seconds; all of it where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_s: Option<u32>,
    /// What publishers show; said once, when it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Where its media comes from, where ingest fetches it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<ChannelSource>,
    /// What is made of what comes in, where something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ladder: Option<ChannelLadder>,
    /// How the clock of whoever sends runs, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<ChannelClock>,
    /// How its media is encrypted on its way to viewers, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// The clock of an encoder beside streaming's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChannelClock {
    /// How much faster it is, parts per million; below 0 where it is slower.
    pub ppm: i64,
    /// What is added to the newest media times to have the wall's, milliseconds: `EXT-X-PROGRAM-DATE-TIME` says the sum.
    pub correction_ms: i64,
}

/// Body of `POST /publications/terms`. A key is never in a URL, because URLs are logged.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LiveKey {
    /// The key of a channel.
    pub key: String,
}

/// What a key opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LiveTerms {
    /// The channel.
    pub channel: Uuid,
    /// Length of a segment, milliseconds.
    pub segment_ms: u32,
    /// Length of a part, milliseconds.
    pub part_ms: u32,
    /// What is to be made of what comes, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ladder: Option<LiveLadder>,
}

/// Body of `POST /publications`: somebody with a key begins to send.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPublication {
    /// The key of the channel.
    pub key: String,
    /// What will be sent; at least one, names differ.
    pub tracks: Vec<LiveTrack>,
    /// It stands by: what it sends is used when the channel's first encoder is not heard any more.
    #[serde(default)]
    pub standby: bool,
}

/// One track of a publication.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LiveTrack {
    /// Its name in URLs: `v`, `a`; lower-case letters and digits.
    pub name: String,
    /// Video or audio.
    pub kind: TrackKind,
    /// RFC 6381 codec string.
    pub codec: String,
    /// Ticks per second.
    pub timescale: u32,
    /// Longest part that will be sent, ticks: on the grid of its frames, at most the channel's length of a part and one
    /// frame more.
    pub part_ticks: u32,
    /// Width in square pixels; video only.
    #[serde(default)]
    pub width: Option<u32>,
    /// Height in square pixels; video only.
    #[serde(default)]
    pub height: Option<u32>,
    /// Frame rate, if it is constant and known; video only.
    #[serde(default)]
    pub frame_rate: Option<Rational>,
    /// Audio channels; audio only.
    #[serde(default)]
    pub channels: Option<u16>,
    /// Audio samples per second; audio only.
    #[serde(default)]
    pub sample_rate_hz: Option<u32>,
    /// Language; audio only.
    #[serde(default)]
    pub language: Option<String>,
}

/// What became of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is the channel's (204).
    Used,
    /// The publication stands by, and it is held for when that takes over (202).
    Held,
}

/// Leave to send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Publication {
    /// Identifier, in the URLs of what is sent.
    pub id: Uuid,
    /// The channel.
    pub channel: Uuid,
    /// Length of a segment, milliseconds.
    pub segment_ms: u32,
    /// Length of a part, milliseconds.
    pub part_ms: u32,
    /// Number of the first segment of each track.
    pub first_number: u64,
}

// === impl Channel ===

/// Without the key, which must not get into a log.
impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel").field("id", &self.id).field("state", &self.state).finish_non_exhaustive()
    }
}

// === impl LiveKey ===

/// Without the key, which must not get into a log.
impl std::fmt::Debug for LiveKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveKey").finish_non_exhaustive()
    }
}

// === impl NewPublication ===

/// Without the key, which must not get into a log.
impl std::fmt::Debug for NewPublication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewPublication").field("tracks", &self.tracks).finish_non_exhaustive()
    }
}

/// What encoders show as their key: the key of a channel, and behind it `?standby` where they are to stand by.
#[must_use]
pub fn stream_key(shown: &str) -> (&str, bool) {
    let (key, arguments) = shown.split_once('?').unwrap_or((shown, ""));
    (key, arguments.split('&').any(|argument| matches!(argument, "standby" | "standby=1" | "standby=true")))
}

fn default_segment_ms() -> u32 {
    SEGMENT_MS
}

fn default_part_ms() -> u32 {
    PART_MS
}

fn default_window_s() -> u32 {
    WINDOW_S
}
