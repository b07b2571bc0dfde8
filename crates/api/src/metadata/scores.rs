//! What was measured of an asset's media.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::quality::jobs::GateVerdict;

/// Scores that are kept of an asset; of more, the oldest go.
pub const SCORES_KEPT_MAX: u32 = 100;
/// Most figures of a score.
pub const FIGURES_MAX: usize = 128;

/// How media were measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// Against a reference.
    Comparison,
    /// Without one.
    Inspection,
}

/// Body of `PUT /assets/{id}/scores/{job}`: what a job of the quality service has measured. Frame by frame it stays with that
/// service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewScore {
    /// How it was measured.
    pub measure: Measure,
    /// What was measured, in the words of the quality service: `ID/v720`.
    pub media: String,
    /// The version that it was of; absent of what no version is, as a source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The track of that version; absent where all of it was measured as it plays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track: Option<String>,
    /// What it was compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The figures, as gates call them: `vmaf.p5`, `loudness.integrated`.
    pub figures: BTreeMap<String, f64>,
    /// What the gates of the job say.
    #[serde(default)]
    pub gates: Vec<GateVerdict>,
    /// The tools that measured, for people.
    pub tools: String,
    /// When it was measured.
    #[serde(with = "time::serde::rfc3339")]
    pub measured_at: OffsetDateTime,
}

/// What was measured of an asset's media.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Score {
    /// The job of the quality service.
    pub job_id: Uuid,
    /// What it found.
    #[serde(flatten)]
    pub score: NewScore,
}
