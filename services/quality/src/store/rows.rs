//! Rows, and the values that they stand for.

use flame_api::quality::jobs::{ComparisonJob, GateVerdict, InspectionJob, Measuring, MeasuringState};
use sqlx::sqlite::SqliteConnection;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{StoreError, StoreResult};
use crate::job::{Lease, Standing};
use crate::verdict::{Asked, Found};

/// Selects whole jobs; the argument says which.
macro_rules! select_jobs {
    ($rest:literal) => {
        concat!(
            "SELECT seq, tenant, id, asked, state, cancel_requested, attempt, failures, due_at_us, lease_number, lease_owner, ",
            "lease_until_us, error, progress, result, gates, created_at_us, started_at_us, finished_at_us FROM jobs ",
            $rest
        )
    };
}
pub(super) use select_jobs;

/// The kinds of jobs: each has ids of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A comparison with a reference.
    Comparison,
    /// An inspection without one.
    Inspection,
}

/// A job as its owner sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The number under which its changes are told and its files lie.
    pub seq: i64,
    /// How far it is.
    pub standing: Measuring,
    /// What was asked for.
    pub asked: Asked,
    /// What was measured, once it was.
    pub found: Option<Found>,
}

/// One row of [`select_jobs`].
#[derive(Debug, sqlx::FromRow)]
pub(super) struct JobRow {
    pub(super) seq: i64,
    pub(super) tenant: String,
    id: String,
    pub(super) asked: Json<Asked>,
    state: String,
    cancel_requested: bool,
    attempt: u32,
    failures: u32,
    due_at_us: i64,
    lease_number: i64,
    lease_owner: Option<String>,
    lease_until_us: Option<i64>,
    error: Option<String>,
    progress: f64,
    result: Option<Json<Found>>,
    gates: Option<Json<Vec<GateVerdict>>>,
    created_at_us: i64,
    started_at_us: Option<i64>,
    finished_at_us: Option<i64>,
}

// === impl Kind ===

impl Kind {
    /// Its word, as it is stored.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Comparison => "comparison",
            Self::Inspection => "inspection",
        }
    }

    pub(super) fn of(asked: &Asked) -> Self {
        match asked {
            Asked::Comparison(_) => Self::Comparison,
            Asked::Inspection(_) => Self::Inspection,
        }
    }
}

// === impl Record ===

impl Record {
    /// As a comparison; `None` if it is none.
    #[must_use]
    pub fn comparison(self) -> Option<ComparisonJob> {
        let Asked::Comparison(asked) = self.asked else { return None };
        let result = match self.found {
            Some(Found::Comparison(found)) => Some(*found),
            Some(Found::Inspection(_)) | None => None,
        };
        let (reference, distorted, metrics) = (asked.reference, asked.distorted, asked.metrics);
        Some(ComparisonJob { standing: self.standing, reference, distorted, metrics, result })
    }

    /// As an inspection; `None` if it is none.
    #[must_use]
    pub fn inspection(self) -> Option<InspectionJob> {
        let Asked::Inspection(asked) = self.asked else { return None };
        let result = match self.found {
            Some(Found::Inspection(found)) => Some(*found),
            Some(Found::Comparison(_)) | None => None,
        };
        Some(InspectionJob { standing: self.standing, media: asked.media, result })
    }
}

// === impl JobRow ===

impl JobRow {
    pub(super) fn id(&self) -> StoreResult<Uuid> {
        self.id.parse().map_err(|_| damaged("an id", &self.id))
    }

    /// What decisions about the job depend on.
    pub(super) fn standing(&self) -> StoreResult<Standing> {
        let lease = self.lease_owner.clone().zip(self.lease_until_us);
        Ok(Standing {
            state: state(&self.state)?,
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
    pub(super) fn record(self) -> StoreResult<Record> {
        let gates = self.gates.map(|gates| gates.0);
        let standing = Measuring {
            id: self.id.parse().map_err(|_| damaged("an id", &self.id))?,
            tenant: self.tenant,
            state: state(&self.state)?,
            progress: self.progress,
            attempt: self.attempt,
            error: self.error,
            passed: gates.as_ref().map(|gates| gates.iter().all(|gate| gate.passed)),
            gates: gates.unwrap_or_default(),
            created_at: moment(self.created_at_us)?,
            started_at: self.started_at_us.map(moment).transpose()?,
            finished_at: self.finished_at_us.map(moment).transpose()?,
        };
        Ok(Record { seq: self.seq, standing, asked: self.asked.0, found: self.result.map(|result| result.0) })
    }
}

/// Writes what has become of the job `seq`.
pub(super) async fn write_standing(
    connection: &mut SqliteConnection,
    seq: i64,
    after: &Standing,
    now_us: i64,
) -> StoreResult<()> {
    // An attempt begins anew; one that ended well is done.
    let progress = match after.state {
        MeasuringState::Queued | MeasuringState::Running => Some(0.0),
        MeasuringState::Succeeded => Some(1.0),
        MeasuringState::Failed | MeasuringState::Cancelled => None,
    };
    let progress = progress.filter(|_| after.state != MeasuringState::Running || !after.cancel_requested);
    sqlx::query(
        "UPDATE jobs SET state = ?2, cancel_requested = ?3, attempt = ?4, failures = ?5, due_at_us = ?6, lease_number = ?7, \
         lease_owner = ?8, lease_until_us = ?9, error = ?10, progress = coalesce(?11, progress), \
         started_at_us = CASE WHEN ?4 > 0 THEN coalesce(started_at_us, ?12) END, \
         finished_at_us = CASE WHEN ?13 THEN ?12 END WHERE seq = ?1",
    )
    .bind(seq)
    .bind(after.state.word())
    .bind(after.cancel_requested)
    .bind(after.attempt)
    .bind(after.failures)
    .bind(after.due_at_us)
    .bind(i64::try_from(after.lease_number).unwrap_or(i64::MAX))
    .bind(after.lease.as_ref().map(|lease| lease.owner.as_str()))
    .bind(after.lease.as_ref().map(|lease| lease.until_us))
    .bind(&after.error)
    .bind(progress)
    .bind(now_us)
    .bind(after.state.is_final())
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) fn state(word: &str) -> StoreResult<MeasuringState> {
    MeasuringState::ALL.into_iter().find(|state| state.word() == word).ok_or_else(|| damaged("a state", word))
}

fn moment(micros: i64) -> StoreResult<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).map_err(|_| damaged("a time", micros))
}

pub(super) fn damaged(what: &'static str, value: impl ToString) -> StoreError {
    StoreError::Damaged { what, value: value.to_string() }
}
