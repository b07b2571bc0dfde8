//! Subtitles of an asset: what the catalogue knows of each, and what ingest says to who brings them.
//!
//! ingest: `POST /assets/{id}/subtitles` · metadata: `PUT|DELETE /assets/{id}/subtitles/{subtitle}`; they are listed in the
//! asset itself.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

/// What subtitles are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SubtitleRole {
    /// What is said, in another language.
    #[default]
    Subtitle,
    /// What is said and heard, for those who do not hear.
    Caption,
    /// What is to be read even when subtitles are off: signs, and languages that the listener does not know.
    Forced,
}

/// Subtitles of an asset, in one language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Subtitle {
    /// Its name in URLs: 12 lower-case hex digits that follow from language, role and text.
    pub id: String,
    /// Language (BCP 47), in its canonical form.
    pub language: String,
    /// What it is for.
    pub role: SubtitleRole,
    /// Name for people; players show the language otherwise.
    pub title: Option<String>,
    /// Whether players show it unless the viewer chooses otherwise; one of an asset at most.
    pub default: bool,
    /// Key of the WebVTT object in the store.
    pub key: String,
    /// Length of that in bytes.
    pub size_bytes: u64,
    /// SHA-256 of that, lower-case hex.
    pub sha256: String,
    /// Texts in it.
    pub cues: u64,
    /// When it was added.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// Body of `PUT /assets/{id}/subtitles/{subtitle}`: lists subtitles that are stored. Repeating it is safe; under the same name
/// another title, default or key takes the place of the former.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSubtitle {
    /// Language (BCP 47).
    pub language: String,
    /// What it is for.
    pub role: SubtitleRole,
    /// Name for people.
    pub title: Option<String>,
    /// Whether players show it unless the viewer chooses otherwise; then no other of the asset is.
    pub default: bool,
    /// Key of the WebVTT object in the store, below `{tenant}/subtitles/{asset}/`.
    pub key: String,
    /// Length of that in bytes.
    pub size_bytes: u64,
    /// SHA-256 of that, lower-case hex.
    pub sha256: String,
    /// Texts in it.
    pub cues: u64,
}

/// Query of ingest's `POST /assets/{id}/subtitles`, whose body is the file: WebVTT, SubRip or TTML.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SubtitleQuery {
    /// Language (BCP 47); needed where the file does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// What it is for (default `subtitle`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<SubtitleRole>,
    /// Name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Whether players show it unless the viewer chooses otherwise (default `false`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<bool>,
}

/// Answer to that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AddedSubtitle {
    /// As it is listed now.
    pub subtitle: Subtitle,
    /// What of the file was left out or changed; the first hundred.
    pub warnings: Vec<SubtitleWarning>,
}

/// Something that whoever brought the file should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubtitleWarning {
    /// Line of the file, from 1.
    pub line: u64,
    /// What.
    pub text: String,
}

// === impl SubtitleRole ===

impl SubtitleRole {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Subtitle, Self::Caption, Self::Forced];

    /// The word for it in URLs, JSON and databases.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Subtitle => "subtitle",
            Self::Caption => "caption",
            Self::Forced => "forced",
        }
    }
}
