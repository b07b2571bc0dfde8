//! What anybody may know of an asset that anybody may play: `GET /public/{id}`.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Record;

/// What is shown beside a player. Nothing of it says who owns the asset, where its bytes lie, or what fields an experimenter gave it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PublicAsset {
    /// Identifier; also the first path segment of its public media URLs.
    pub id: Uuid,
    /// Title for people.
    pub title: String,
    /// What people say of it.
    #[serde(default, skip_serializing_if = "Record::is_empty")]
    pub record: Record,
    /// How long it is, milliseconds.
    pub duration_ms: u64,
    /// Width of its pictures as they are shown, pixels; absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Their height, pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// The version that plays.
    pub version: String,
    /// Languages of its subtitles (BCP 47), in the order in which they were added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subtitles: Vec<String>,
    /// When it last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}
