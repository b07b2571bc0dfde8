//! Where the media of a channel comes from, where no encoder brings it: ingest fetches it by itself.
//!
//! `POST /channels/{id}/source/publications`: ingest begins to send, and needs no key for it · `PUT /channels/{id}/source/standing`:
//! it says how that goes, for people to read.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::LiveTrack;

/// What is fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// An HLS playlist, by its URL: followed while it goes on. One that has an end is played once, in real time.
    Pull(String),
    /// An asset of this system, in real time and over and over again.
    Loop(Uuid),
}

/// How it goes with a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SourceState {
    /// Nothing comes of it now; it is tried again.
    Waiting,
    /// Its media is fetched and sent on.
    Playing,
    /// It said that nothing more comes.
    Over,
}

/// What ingest says of a source. Body of `PUT /channels/{id}/source/standing`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceStanding {
    /// How it goes.
    pub state: SourceState,
    /// Why nothing comes of it, or what is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The source of a channel, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChannelSource {
    /// What is fetched.
    pub from: Source,
    /// How it goes.
    pub state: SourceState,
    /// Why nothing comes of it, or what is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Body of `POST /channels/{id}/source/publications`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSourcePublication {
    /// What will be sent; at least one, names differ.
    pub tracks: Vec<LiveTrack>,
}
