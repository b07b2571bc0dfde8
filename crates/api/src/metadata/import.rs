//! Many assets in one call: `POST /assets/import`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Asset, Custom, Encryption, NewAsset, Record, SoundLabel, Source, Version};
use crate::media::Probe;
use crate::problem::Problem;
use crate::subtitles::Subtitle;

/// The most lines of one call.
pub const IMPORT_LINES_MAX: usize = 200;
/// The longest body of one call, bytes.
pub const IMPORT_BODY_MAX_BYTES: usize = 2 * 1024 * 1024;
/// The media type of the body: a JSON object a line.
pub const IMPORT_CONTENT_TYPE: &str = "application/x-ndjson";

/// A line of `POST /assets/import`: a whole asset, whose objects are in the store already. What the catalogue says by itself (tenant, state,
/// revision, times) is not among it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportedAsset {
    /// Identifier, a UUID (version 7 recommended).
    pub id: Uuid,
    /// Title, 1 to 500 characters.
    pub title: String,
    /// Its source.
    pub source: Source,
    /// What the probe measured.
    pub probe: Probe,
    /// Key of the poster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poster_key: Option<String>,
    /// Whether viewers need a signed URL.
    #[serde(default)]
    pub protected: bool,
    /// How its media is encrypted on its way to viewers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// What is said of its sounds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sound_labels: Vec<SoundLabel>,
    /// What people say of it.
    #[serde(default, skip_serializing_if = "Record::is_empty")]
    pub record: Record,
    /// Fields of an experimenter's own.
    #[serde(default, skip_serializing_if = "Custom::is_empty")]
    #[schema(value_type = Object)]
    pub custom: Custom,
    /// Its subtitles; when they were added is when they are imported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subtitles: Vec<Subtitle>,
    /// The version that plays; when it was published is when it is imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
}

/// What became of the lines, in their order; blank ones are none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ImportOutcomes {
    /// One for each.
    pub items: Vec<ImportOutcome>,
}

/// What became of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ImportOutcome {
    /// Its number in the body, from 1; blank lines count.
    pub line: usize,
    /// 201: registered; 200: the catalogue has it, and it stays as it is; 409: the id stands for something else; 422: it does not fit.
    pub status: u16,
    /// The asset that is registered, or that the catalogue has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    /// Why not, where it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

// === impl ImportedAsset ===

impl ImportedAsset {
    /// What of it `POST /assets` takes.
    #[must_use]
    pub fn registration(&self) -> NewAsset {
        NewAsset {
            id: self.id,
            title: self.title.clone(),
            source: self.source.clone(),
            probe: self.probe.clone(),
            poster_key: self.poster_key.clone(),
        }
    }
}

impl From<Asset> for ImportedAsset {
    /// An asset as it was exported, without what the catalogue says by itself.
    fn from(asset: Asset) -> Self {
        Self {
            id: asset.id,
            title: asset.title,
            source: asset.source,
            probe: asset.probe,
            poster_key: asset.poster_key,
            protected: asset.protected,
            encryption: asset.encryption,
            sound_labels: asset.sound_labels,
            record: asset.record,
            custom: asset.custom,
            subtitles: asset.subtitles,
            version: asset.version,
        }
    }
}
