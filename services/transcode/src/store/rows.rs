//! Rows, and the values that they stand for.

use std::collections::BTreeMap;

use flame_api::media::{Probe, Thumbnails, Track};
use flame_api::metadata::Conditioning;
use flame_api::transcode::{Job, JobState, StageProgress, StageState};
use flame_jobs::http::Shown;
use flame_jobs::job::Phase;
use flame_jobs::queue::{StandingRow, StoreResult, damaged};
use sqlx::types::Json;
use uuid::Uuid;

use crate::version;

/// Selects whole jobs; the argument says which.
macro_rules! select_jobs {
    ($rest:literal) => {
        concat!(
            "SELECT seq, tenant, id, chain, asset_id, source_key, probe, phase, cancel_requested, attempt, failures, ",
            "due_at_us, lease_number, lease_owner, lease_until_us, error, progress, stage, tracks, thumbnails, ",
            "created_at_us, started_at_us, finished_at_us, document, parameters, stages, conditioning FROM jobs ",
            $rest
        )
    };
}
pub(super) use select_jobs;

/// One row of [`select_jobs`].
#[derive(Debug, sqlx::FromRow)]
pub(super) struct JobRow {
    #[sqlx(flatten)]
    pub(super) standing: StandingRow,
    pub(super) tenant: String,
    id: String,
    pub(super) chain: String,
    asset_id: String,
    pub(super) source_key: String,
    pub(super) probe: Json<Probe>,
    progress: f64,
    stage: String,
    pub(super) tracks: Option<Json<Vec<Track>>>,
    pub(super) thumbnails: Option<Json<Thumbnails>>,
    pub(super) document: Option<String>,
    pub(super) parameters: Json<BTreeMap<String, String>>,
    pub(super) stages: Option<Json<Vec<StageProgress>>>,
    pub(super) conditioning: Option<Json<Conditioning>>,
}

// === impl JobRow ===

impl JobRow {
    pub(super) fn id(&self) -> StoreResult<Uuid> {
        uuid(&self.id)
    }

    pub(super) fn asset_id(&self) -> StoreResult<Uuid> {
        uuid(&self.asset_id)
    }

    /// What callers are told.
    pub(super) fn job(self) -> StoreResult<Job> {
        Ok(self.shown()?.job)
    }

    /// What callers are told, and under which number.
    pub(super) fn shown(self) -> StoreResult<Shown<Job>> {
        let id = self.id()?;
        let phase = self.standing.phase()?;
        let published = phase == Phase::Succeeded;
        let job = Job {
            id,
            asset_id: self.asset_id()?,
            tenant: self.tenant,
            chain: self.chain,
            parameters: self.parameters.0,
            state: phase.state(),
            progress: self.progress,
            stage: self.stage,
            stages: ended(self.stages.map(|stages| stages.0).unwrap_or_default(), phase.state()),
            attempt: self.standing.attempt,
            version: published.then(|| version::of_job(id)),
            tracks: self.tracks.filter(|_| published).map(|tracks| tracks.0).unwrap_or_default(),
            created_at: self.standing.created_at()?,
            started_at: self.standing.started_at()?,
            finished_at: self.standing.finished_at()?,
            error: self.standing.error,
        };
        Ok(Shown { seq: self.standing.seq, state: job.state, job })
    }
}

/// The stages of a job in `state`: when it has ended, none is under way any more, also where nobody was left to say so.
fn ended(mut stages: Vec<StageProgress>, state: JobState) -> Vec<StageProgress> {
    let end = match state {
        JobState::Queued | JobState::Running => return stages,
        JobState::Cancelled => StageState::Cancelled,
        // What was not told of it before it was found to play.
        JobState::Succeeded => StageState::Done,
        JobState::Failed => StageState::Failed,
    };
    stages.iter_mut().filter(|stage| stage.state.is_under_way()).for_each(|stage| stage.state = end);
    stages
}

fn uuid(text: &str) -> StoreResult<Uuid> {
    text.parse().map_err(|_| damaged("an id", text))
}
