//! The metadata database: assets, their versions and tracks.
//!
//! `POST /assets` · `POST /assets/import` (many) · `GET /assets` (list, search with `q`, `filter`, `sort`, several by `ids`) · `PATCH /assets` (several) · `GET /facets` · `GET /changes` · `GET /assets/{id}/provenance` · `GET|PATCH|DELETE /assets/{id}` ·
//! `GET /assets/{id}/standing` · `GET /assets/{id}/history` · `POST /assets/{id}/restore` · `PUT /assets/{id}/versions/{version}` · `PUT /assets/{id}/failure` ·
//! `GET /public/{id}` · `GET /assets/{id}/scores` · `PUT /assets/{id}/scores/{job}` ·
//! `PUT|DELETE /assets/{id}/subtitles/{subtitle}`.

mod batch;
mod feed;
mod history;
mod import;
mod provenance;
mod public;
mod query;
mod record;
mod scores;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::media::{Probe, SoundRole, Thumbnails, Track};
use crate::subtitles::Subtitle;

pub use batch::{AssetEdit, AssetEdits, BATCH_MAX, EditOutcome, EditOutcomes};
pub use feed::{ChangeNotice, ChangePage, ChangesQuery};
pub use history::{Action, Change, DeleteQuery, HISTORY_LIMIT_MAX, RestoreQuery, Standing, StandingState};
pub use import::{
    IMPORT_BODY_MAX_BYTES, IMPORT_CONTENT_TYPE, IMPORT_LINES_MAX, ImportOutcome, ImportOutcomes, ImportedAsset,
};
pub use provenance::{Deed, MadeVersion, Provenance, ProvenanceQuery, SAME_SOURCE_MAX};
pub use public::PublicAsset;
pub use query::{AssetQuery, FACETS_MAX, Facet, FacetQuery, FacetValue, Facets, FoundIn, Highlights, Matches, Piece};
pub use record::{Agent, Clip, Custom, GeoCoordinates, Place, PropertyValue, Record};
pub use scores::{FIGURES_MAX, Measure, NewScore, SCORES_KEPT_MAX, Score};

/// Where an asset stands between upload and playback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AssetState {
    /// In the catalogue; nothing has been packaged yet.
    Registered,
    /// At least one version can be played.
    Ready,
    /// Its conditioning failed; `error` says why. The source is kept.
    Failed,
}

/// How an asset's media is encrypted on its way to viewers; stored, it is in the clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum Encryption {
    /// Each segment as a whole: `AES-128` of HLS.
    #[serde(rename = "aes-128")]
    Aes128,
    /// The samples: `SAMPLE-AES` of HLS, which is `cbcs` of ISO/IEC 23001-7 in fragmented MP4.
    #[serde(rename = "sample-aes")]
    SampleAes,
}

/// The uploaded bytes that an asset was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Source {
    /// Key of the object in the store.
    pub key: String,
    /// The name that the uploader gave the file, if any.
    pub file_name: Option<String>,
    /// Length in bytes.
    pub size_bytes: u64,
    /// SHA-256 of the bytes, lower-case hex.
    pub sha256: String,
}

/// A playable packaging of an asset. All below a version is immutable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// The version's name in URLs: 12 lower-case hex digits.
    pub name: String,
    /// The conditioning job that made it.
    pub job_id: Option<Uuid>,
    /// The chain that the job ran.
    pub chain: String,
    /// The tracks, best video first, then audio.
    pub tracks: Vec<Track>,
    /// Its thumbnails, if it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbnails: Option<Thumbnails>,
    /// How exactly it was made, where a job made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditioning: Option<Conditioning>,
    /// When it was published.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// How exactly a version was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Conditioning {
    /// SHA-256 of the chain's document, lower-case hex.
    pub document_sha256: String,
    /// The values that were given to the chain's parameters.
    pub parameters: BTreeMap<String, String>,
    /// The encoders, as documents name them.
    pub encoders: Vec<String>,
    /// Versions of the programs and libraries that made it.
    pub tools: String,
}

/// An entry of the catalogue. `ETag` is `"<revision>"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Asset {
    /// Identifier; also the first path segment of its public media URLs.
    pub id: Uuid,
    /// The tenant that owns it.
    pub tenant: String,
    /// Title for people.
    pub title: String,
    /// Where it stands.
    pub state: AssetState,
    /// Why it failed, when it did.
    pub error: Option<String>,
    /// Its source.
    pub source: Source,
    /// What the probe measured.
    pub probe: Probe,
    /// Key of the poster in the object store, if the source has pictures.
    pub poster_key: Option<String>,
    /// Viewers need a signed URL (RFC 9246); a catalogue that does not say so protects nothing.
    #[serde(default)]
    pub protected: bool,
    /// How its media is encrypted on its way to viewers; absent where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// What was said of its sounds, over what the source says; the tracks of the version show it.
    #[serde(default)]
    pub sound_labels: Vec<SoundLabel>,
    /// What people say of it.
    #[serde(default, skip_serializing_if = "Record::is_empty")]
    pub record: Record,
    /// Fields of an experimenter's own.
    #[serde(default, skip_serializing_if = "Custom::is_empty")]
    #[schema(value_type = Object)]
    pub custom: Custom,
    /// The version that plays, newest; absent until one is published.
    pub version: Option<Version>,
    /// Its subtitles, in the order in which they were added.
    #[serde(default)]
    pub subtitles: Vec<Subtitle>,
    /// Counts up with every change.
    pub revision: u64,
    /// When it was registered.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
    /// When it was put into the trash, if it is there.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<OffsetDateTime>,
    /// Where the words that were searched for are, where that was asked for (`highlight`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub highlights: Option<Highlights>,
}

/// What somebody says of one audio stream of the source: it holds for the upload and for every version made of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SoundLabel {
    /// Which of the source's audio streams, from 0.
    pub sound: u32,
    /// Its language (BCP 47), if that is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// What it is for, if that is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<SoundRole>,
    /// Its title for people, if that is said: 1 to 100 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

// === impl SoundLabel ===

impl SoundLabel {
    /// `track` as the label that is of it says, if there is one.
    pub fn apply(labels: &[Self], track: &mut Track) {
        let Some(label) = track.source_sound.and_then(|sound| labels.iter().find(|label| label.sound == sound)) else {
            return;
        };
        let Self { sound: _, language, role, title } = label.clone();
        track.language = language.or(track.language.take());
        track.role = role.unwrap_or(track.role);
        track.title = title.or(track.title.take());
    }
}

/// Body of `POST /assets`. The caller chooses the id, so that a repeated call registers once: the same
/// id with the same source answers 200 with the asset as it is, with another source 409.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAsset {
    /// Identifier, a UUID (version 7 recommended).
    pub id: Uuid,
    /// Title, 1 to 500 characters.
    pub title: String,
    /// Its source.
    pub source: Source,
    /// What the probe measured.
    pub probe: Probe,
    /// Key of the poster.
    pub poster_key: Option<String>,
}

/// Body of `PATCH /assets/{id}` (RFC 7396 merge patch; absent fields stay). Needs `If-Match`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssetPatch {
    /// New title, 1 to 500 characters. `null` (RFC 7396: remove it) is refused: every asset has a title.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub title: Option<String>,
    /// Whether viewers need a signed URL from now on.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub protected: Option<bool>,
    /// How its media is encrypted from now on; `null`: it is not.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Encryption>)]
    pub encryption: Option<Option<Encryption>>,
    /// What is said of the sounds from now on, all of it: what is left out is as the source says it.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub sound_labels: Option<Vec<SoundLabel>>,
    /// What is said of it from now on: a merge patch of its record; `null` takes all of it away.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Record>)]
    pub record: Option<serde_json::Value>,
    /// A merge patch of the fields of an experimenter's own; `null` takes all of them away.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub custom: Option<serde_json::Value>,
}

fn not_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Body of `PUT /assets/{id}/versions/{version}`: publishes it and makes the asset `ready`. Idempotent;
/// the same name with other tracks is 409.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewVersion {
    /// The job that made it.
    pub job_id: Option<Uuid>,
    /// The chain that the job ran.
    pub chain: String,
    /// The tracks, best video first, then audio.
    pub tracks: Vec<Track>,
    /// Its thumbnails, if it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbnails: Option<Thumbnails>,
    /// How exactly it was made, where a job made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditioning: Option<Conditioning>,
}

/// Body of `PUT /assets/{id}/failure`: conditioning failed. An asset that already plays stays `ready`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Why, for people.
    pub reason: String,
}
