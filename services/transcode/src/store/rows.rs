//! Rows, and the values that they stand for.

use std::collections::BTreeMap;

use flame_api::media::{Probe, Thumbnails, Track};
use flame_api::metadata::Conditioning;
use flame_api::transcode::{Job, StageProgress};
use sqlx::sqlite::SqliteConnection;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{StoreError, StoreResult};
use crate::job::{Lease, Phase, Standing};
use crate::stage::{Progress, Stage};
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
    pub(super) seq: i64,
    pub(super) tenant: String,
    id: String,
    pub(super) chain: String,
    asset_id: String,
    pub(super) source_key: String,
    pub(super) probe: Json<Probe>,
    phase: String,
    cancel_requested: bool,
    attempt: u32,
    failures: u32,
    due_at_us: i64,
    lease_number: i64,
    lease_owner: Option<String>,
    lease_until_us: Option<i64>,
    error: Option<String>,
    progress: f64,
    stage: String,
    pub(super) tracks: Option<Json<Vec<Track>>>,
    pub(super) thumbnails: Option<Json<Thumbnails>>,
    created_at_us: i64,
    started_at_us: Option<i64>,
    finished_at_us: Option<i64>,
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

    /// What decisions about the job depend on.
    pub(super) fn standing(&self) -> StoreResult<Standing> {
        let lease = self.lease_owner.clone().zip(self.lease_until_us);
        Ok(Standing {
            phase: phase(&self.phase)?,
            cancel_requested: self.cancel_requested,
            attempt: self.attempt,
            failures: self.failures,
            due_at_us: self.due_at_us,
            lease_number: u64::try_from(self.lease_number).map_err(|_| damaged("a lease", self.lease_number))?,
            lease: lease.map(|(owner, until_us)| Lease { owner, until_us }),
            error: self.error.clone(),
        })
    }

    /// What callers are told.
    pub(super) fn job(self) -> StoreResult<Job> {
        let id = self.id()?;
        let phase = phase(&self.phase)?;
        let published = phase == Phase::Succeeded;
        Ok(Job {
            id,
            asset_id: self.asset_id()?,
            tenant: self.tenant,
            chain: self.chain,
            parameters: self.parameters.0,
            state: phase.state(),
            progress: self.progress,
            stage: self.stage,
            stages: self.stages.map(|stages| stages.0).unwrap_or_default(),
            attempt: self.attempt,
            error: self.error,
            version: published.then(|| version::of_job(id)),
            tracks: self.tracks.filter(|_| published).map(|tracks| tracks.0).unwrap_or_default(),
            created_at: moment(self.created_at_us)?,
            started_at: self.started_at_us.map(moment).transpose()?,
            finished_at: self.finished_at_us.map(moment).transpose()?,
        })
    }
}

/// Writes what has become of the job `seq`.
pub(super) async fn write_standing(
    connection: &mut SqliteConnection,
    seq: i64,
    after: &Standing,
    now_us: i64,
) -> StoreResult<()> {
    let stage = Stage::of(after);
    sqlx::query(
        "UPDATE jobs SET phase = ?2, cancel_requested = ?3, attempt = ?4, failures = ?5, due_at_us = ?6, \
         lease_number = ?7, lease_owner = ?8, lease_until_us = ?9, error = ?10, stage = ?11, \
         progress = coalesce(?12, progress), \
         started_at_us = CASE WHEN ?4 > 0 THEN coalesce(started_at_us, ?13) END, \
         finished_at_us = CASE WHEN ?14 THEN ?13 END WHERE seq = ?1",
    )
    .bind(seq)
    .bind(phase_word(after.phase))
    .bind(after.cancel_requested)
    .bind(after.attempt)
    .bind(after.failures)
    .bind(after.due_at_us)
    .bind(i64::try_from(after.lease_number).unwrap_or(i64::MAX))
    .bind(after.lease.as_ref().map(|lease| lease.owner.as_str()))
    .bind(after.lease.as_ref().map(|lease| lease.until_us))
    .bind(&after.error)
    .bind(stage.words())
    .bind(Progress::start(stage).of_whole())
    .bind(now_us)
    .bind(after.phase.is_final())
    .execute(connection)
    .await?;
    Ok(())
}

/// The word of a phase, as it is stored.
pub(super) fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Queued => "queued",
        Phase::Running => "running",
        Phase::Publishing => "publishing",
        Phase::Failing => "failing",
        Phase::Cancelling => "cancelling",
        Phase::Succeeded => "succeeded",
        Phase::Failed => "failed",
        Phase::Cancelled => "cancelled",
    }
}

fn phase(word: &str) -> StoreResult<Phase> {
    Phase::ALL.into_iter().find(|phase| phase_word(*phase) == word).ok_or_else(|| damaged("a phase", word))
}

fn uuid(text: &str) -> StoreResult<Uuid> {
    text.parse().map_err(|_| damaged("an id", text))
}

fn moment(micros: i64) -> StoreResult<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).map_err(|_| damaged("a time", micros))
}

pub(super) fn damaged(what: &'static str, value: impl ToString) -> StoreError {
    StoreError::Damaged { what, value: value.to_string() }
}
