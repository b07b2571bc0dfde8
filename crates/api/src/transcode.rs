//! Content conditioning: chains, and the durable jobs that run them.
//!
//! `GET /chains` · `GET /chains/{name}` · `POST /chains/check` · `GET /encoders` · `POST /jobs` · `GET /jobs` (list) · `GET /jobs/{id}` · `GET /jobs/{id}/events` (SSE: event `job`,
//! data [`Job`], at most four a second, ends with the job) · `POST /jobs/{id}/cancel`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

pub use crate::jobs::JobState;
use crate::media::{Probe, Track};

/// Body of `POST /jobs`. The caller chooses the id, so that a repeated call queues once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewJob {
    /// Identifier, a UUID (version 7 recommended).
    pub id: Uuid,
    /// The chain: `ladder`, or the name that `document` gives itself.
    pub chain: String,
    /// The chain's document (YAML or JSON), if it is not one that the service knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// Values for the chain's parameters; what is not named keeps its default. Those of its stages are named `stage.parameter`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// The asset to condition.
    pub asset_id: Uuid,
    /// Key of its source in the object store.
    pub source_key: String,
    /// What the probe measured: the ladder is planned from it.
    pub probe: Probe,
}

/// A conditioning job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// Identifier.
    pub id: Uuid,
    /// The tenant that owns it.
    pub tenant: String,
    /// The chain.
    pub chain: String,
    /// The values that were given to its parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// The asset that it conditions.
    pub asset_id: Uuid,
    /// Where it stands.
    pub state: JobState,
    /// Done so far, 0 to 1.
    pub progress: f64,
    /// What it is doing, for people: `fetching the source`, `encoding`, `storing`, `publishing`.
    pub stage: String,
    /// The stages of its chain in the current or last attempt; none before the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageProgress>,
    /// Attempts begun, the current one included.
    pub attempt: u32,
    /// Why the last attempt failed, if one did.
    pub error: Option<String>,
    /// The version it published, once it has.
    pub version: Option<String>,
    /// The tracks of that version.
    pub tracks: Vec<Track>,
    /// When it was queued.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When its first attempt began.
    #[serde(with = "time::serde::rfc3339::option")]
    pub started_at: Option<OffsetDateTime>,
    /// When it came to its final state.
    #[serde(with = "time::serde::rfc3339::option")]
    pub finished_at: Option<OffsetDateTime>,
}

/// How far a stage of a job is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StageProgress {
    /// Its name in the chain.
    pub name: String,
    /// Its type: `encode-video`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it stands.
    pub state: StageState,
    /// Done so far, 0 to 1.
    pub progress: f64,
    /// When it began.
    #[serde(with = "time::serde::rfc3339::option")]
    pub started_at: Option<OffsetDateTime>,
    /// When it ended.
    #[serde(with = "time::serde::rfc3339::option")]
    pub finished_at: Option<OffsetDateTime>,
    /// What was measured of its output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateResult>,
    /// What of its output was made before, of the same source by the same parameters, and was taken again: names of tracks,
    /// or `thumbnails`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reused: Vec<String>,
}

/// Where a stage of a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StageState {
    /// It has not begun.
    Waiting,
    /// It is under way.
    Running,
    /// Its output is measured.
    Checking,
    /// It is done.
    Done,
    /// Its output did not pass, or the attempt failed while it was under way.
    Failed,
    /// The job was cancelled while it was under way.
    Cancelled,
}

// === impl StageState ===

impl StageState {
    /// Whether something is being done.
    #[must_use]
    pub fn is_under_way(self) -> bool {
        matches!(self, Self::Running | Self::Checking)
    }
}

/// What a gate has said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GateResult {
    /// The track.
    pub track: String,
    /// The bound: `psnr_y.p5 >= 30`.
    pub gate: String,
    /// What was measured.
    pub measured: f64,
    /// Whether the bound is kept.
    pub passed: bool,
}

/// Query of `GET /jobs`, newest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct JobQuery {
    /// Only jobs in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<JobState>,
    /// Only jobs of this asset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset_id: Option<Uuid>,
    /// `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Items wanted, 1 to 200 (default 50).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// A chain that this service can run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Chain {
    /// Its name: `ladder`.
    pub name: String,
    /// What it does, for people.
    pub description: String,
    /// What can be set when it is run.
    #[serde(default)]
    pub parameters: Vec<ChainParameter>,
}

/// What can be set when a chain is run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChainParameter {
    /// Its name.
    pub name: String,
    /// Its value; the default, unless another was asked for.
    pub value: String,
    /// What it does, for people.
    pub description: String,
}

/// A chain with all its stages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChainDetail {
    /// Its name.
    pub name: String,
    /// What it does, for people.
    pub description: String,
    /// What can be set when it is run.
    pub parameters: Vec<ChainParameter>,
    /// Its stages, each after those that feed it.
    pub stages: Vec<ChainStage>,
    /// The document.
    pub document: String,
}

/// A stage of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChainStage {
    /// Its name.
    pub name: String,
    /// Its type: `encode-video`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The stages that feed it.
    pub inputs: Vec<String>,
    /// What its output must pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<String>,
}

/// Body of `POST /chains/check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChainCheck {
    /// The document (YAML or JSON).
    pub document: String,
    /// Values for its parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
}

/// An encoder that chains can name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Encoder {
    /// Its name in documents: `x264`.
    pub name: String,
    /// What it makes: `h264`.
    pub codec: String,
    /// Whether it is installed where media is encoded.
    pub installed: bool,
    /// GStreamer's element: `x264enc`.
    pub element: String,
    /// Debian's package that has it.
    pub package: String,
}
