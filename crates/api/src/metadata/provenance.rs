//! Where the bytes that viewers get came from.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Score, Source, Version};
use crate::media::Probe;
use crate::subtitles::Subtitle;

/// The most assets of the same source that are named.
pub const SAME_SOURCE_MAX: usize = 100;

/// What became of a source, from its bytes to what is played, and what else was made of the same bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Provenance {
    /// The asset.
    pub asset_id: Uuid,
    /// Its title.
    pub title: String,
    /// The bytes that it was made from.
    pub source: Source,
    /// What the probe measured of them.
    pub probe: Probe,
    /// Who brought them in, and when.
    pub registered: Deed,
    /// What was made of them: every version that is kept, newest first. A segment is of a track of one of them.
    pub versions: Vec<MadeVersion>,
    /// What was measured of them, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<Score>,
    /// Texts that were added.
    pub subtitles: Vec<Subtitle>,
    /// Other assets of the tenant whose source is the same bytes, newest first, at most 100.
    pub same_source: Vec<Uuid>,
}

/// A version, and how it came to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MadeVersion {
    /// The version: its job, its chain, and what is recorded of how exactly it was made.
    #[serde(flatten)]
    pub version: Version,
    /// Whether it is the one that plays now.
    pub plays: bool,
    /// Who published it, and when.
    pub published: Deed,
}

/// Who did something, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Deed {
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Whose credential did it; absent where the history does not reach that far back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// Query of `GET /assets/{id}/provenance`: of which bytes, where that is known from a URL that was played.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ProvenanceQuery {
    /// Only this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Only this track of the versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track: Option<String>,
}
