//! Rows, and the values that they stand for.

use flame_api::quality::jobs::{ComparisonJob, GateVerdict, InspectionJob, Measuring};
use flame_jobs::queue::{StandingRow, StoreResult, damaged};
use sqlx::types::Json;
use uuid::Uuid;

use crate::verdict::{Asked, Found};

/// Selects whole jobs; the argument says which.
macro_rules! select_jobs {
    ($rest:literal) => {
        concat!(
            "SELECT seq, tenant, id, asked, state AS phase, cancel_requested, attempt, failures, due_at_us, lease_number, lease_owner, ",
            "lease_until_us, error, progress, result, gates, version, created_at_us, started_at_us, finished_at_us FROM jobs ",
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
    #[sqlx(flatten)]
    pub(super) standing: StandingRow,
    pub(super) tenant: String,
    id: String,
    pub(super) asked: Json<Asked>,
    progress: f64,
    result: Option<Json<Found>>,
    gates: Option<Json<Vec<GateVerdict>>>,
    pub(super) version: Option<String>,
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

    /// What callers are told.
    pub(super) fn record(self) -> StoreResult<Record> {
        let gates = self.gates.map(|gates| gates.0);
        let standing = Measuring {
            id: self.id.parse().map_err(|_| damaged("an id", &self.id))?,
            tenant: self.tenant,
            state: self.standing.phase()?.state(),
            progress: self.progress,
            attempt: self.standing.attempt,
            passed: gates.as_ref().map(|gates| gates.iter().all(|gate| gate.passed)),
            gates: gates.unwrap_or_default(),
            created_at: self.standing.created_at()?,
            started_at: self.standing.started_at()?,
            finished_at: self.standing.finished_at()?,
            error: self.standing.error,
        };
        let found = self.result.map(|result| result.0);
        Ok(Record { seq: self.standing.seq, standing, asked: self.asked.0, found })
    }
}
