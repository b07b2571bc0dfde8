//! The ladder of a channel: smaller renditions that are made of what comes, while it comes.
//!
//! `PUT /channels/{id}/ladder/standing` of streaming: ingest says how that goes, for people to read · `POST /ladders` of transcode
//! makes them: both bodies are messages of `flame_cmaf::relay`, and both go on for as long as the publication. What is sent is a
//! [`NewLadder`], the init segment of the source, and its segments; what comes back is a [`LadderTracks`], the init segments of the
//! renditions, and for each segment of the source one of each rendition, with its number, its times and its parts.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::LiveTrack;

/// Media type of both bodies of `POST /ladders`.
pub const RELAY_TYPE: &str = "application/vnd.flame.relay";
/// The most renditions of a ladder.
pub const RUNGS_MAX: usize = 6;

/// The renditions that a channel is to have beside what comes in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LiveLadder {
    /// Shorter sides in pixels, 1 to 6 of them; none: what transcode is set to. Those that are not smaller than what comes in are left out.
    #[serde(default)]
    pub rungs: Vec<u32>,
}

/// How it goes with a ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LadderState {
    /// Nothing is made now; it is tried again.
    Waiting,
    /// It is made as fast as media comes.
    Running,
    /// The machine does not keep up: segments were left out, and are gaps.
    Behind,
}

/// What ingest says of a ladder. Body of `PUT /channels/{id}/ladder/standing`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LadderStanding {
    /// How it goes.
    pub state: LadderState,
    /// Names of the tracks that are made.
    #[serde(default)]
    pub tracks: Vec<String>,
    /// Why nothing is made, or what is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The ladder of a channel, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChannelLadder {
    /// What was asked for.
    pub rungs: Vec<u32>,
    /// How it goes.
    pub state: LadderState,
    /// Names of the tracks that are made.
    pub tracks: Vec<String>,
    /// Why nothing is made, or what is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The first message to transcode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLadder {
    /// The channel, for the log.
    pub channel: Uuid,
    /// Length of a part, milliseconds.
    pub part_ms: u32,
    /// What comes.
    pub source: LiveTrack,
    /// As in [`LiveLadder`].
    pub rungs: Vec<u32>,
}

/// The first message from transcode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LadderTracks {
    /// The renditions, largest first. What follows names them by their places here.
    pub tracks: Vec<LiveTrack>,
}
