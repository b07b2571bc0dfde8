//! What became of an asset, change by change: who, when, what, and what it was before.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};

/// The most changes one page of a history may hold: each may be as large as an asset's record.
pub const HISTORY_LIMIT_MAX: u32 = 50;

/// What kind of change it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It came into the catalogue.
    Registered,
    /// Somebody edited it.
    Edited,
    /// A version was published; `detail` is its name.
    Published,
    /// Conditioning failed; `detail` says why.
    Failed,
    /// Subtitles were listed or changed; `detail` is their name.
    SubtitleListed,
    /// Subtitles were taken away; `detail` is their name.
    SubtitleUnlisted,
    /// It was put into the trash.
    Deleted,
    /// It was taken out of the trash.
    Restored,
    /// It is gone for good; what was noted before this is gone with it.
    Erased,
}

/// One change of an asset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// The asset's revision after it.
    pub revision: u64,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Whose credential did it; `loopback` where none was needed.
    pub by: String,
    /// What kind of change.
    pub action: Action,
    /// What it was about, where that is no edit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What was edited, as a merge patch (RFC 7396).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub change: Option<serde_json::Value>,
    /// The merge patch that takes it back: what it was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub undo: Option<serde_json::Value>,
}

/// What an id stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StandingState {
    /// For nothing, and it never has.
    Free,
    /// For an asset.
    Present,
    /// For an asset that is in the trash.
    Trashed,
    /// For one that is gone for good: what lies below its id in the object store is deleted.
    Deleted,
}

/// What an id stands for, or stood for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Standing {
    /// What it is.
    pub state: StandingState,
    /// Where the asset's source is or was; absent for another tenant's, and where an older release deleted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_key: Option<String>,
}

/// Query of `DELETE /assets/{id}`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeleteQuery {
    /// Whether it is to be gone for good at once, and not kept in the trash.
    #[serde(default)]
    pub erase: bool,
}

/// Query of `POST /assets/{id}/restore`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RestoreQuery {
    /// The revision whose edited fields it gets again; absent: it comes out of the trash as it is. Needs `If-Match`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
}
