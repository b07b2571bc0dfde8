//! Content conditioning: chains, and the durable jobs that run them.
//!
//! `GET /chains` · `POST /jobs` · `GET /jobs` (list) · `GET /jobs/{id}` · `GET /jobs/{id}/events` (SSE: event `job`,
//! data [`Job`], at most four a second, ends with the job) · `POST /jobs/{id}/cancel`.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::media::{Probe, Track};

/// Where a job stands. `Succeeded`, `Failed` and `Cancelled` are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Waits for a worker.
    Queued,
    /// A worker holds its lease.
    Running,
    /// Its version is published.
    Succeeded,
    /// It was given up; `error` says why.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
}

impl JobState {
    /// Whether nothing more will happen to the job.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// Body of `POST /jobs`. The caller chooses the id, so that a repeated call queues once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewJob {
    /// Identifier, a UUID (version 7 recommended).
    pub id: Uuid,
    /// The chain: `ladder`.
    pub chain: String,
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
    /// The asset that it conditions.
    pub asset_id: Uuid,
    /// Where it stands.
    pub state: JobState,
    /// Done so far, 0 to 1.
    pub progress: f64,
    /// What it is doing, for people: `fetching the source`, `encoding`, `storing`, `publishing`.
    pub stage: String,
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
}
