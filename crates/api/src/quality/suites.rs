//! What runs of suites found, kept by the quality service, so that a gate is seen over time: `GET /suites` · `POST|GET /suite-runs`.
//!
//! A suite is run where its clips are (`flame quality test`); the service keeps what is told, and measures nothing for it.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::jobs::GateVerdict;

/// Longest name of a suite or a case, characters.
pub const NAME_MAX_CHARS: usize = 100;
/// Most cases of a run.
pub const CASES_MAX: usize = 500;
/// Longest run as JSON, bytes. Of each tenant `suites.suites_max` times `suites.runs_max` of them are kept.
pub const RUN_MAX_BYTES: usize = 256 * 1024;
/// Longest sentence about a case, characters.
pub const SAID_MAX_CHARS: usize = 500;

/// What became of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CaseOutcome {
    /// It is as it must be.
    Passed,
    /// A gate does not hold.
    Failed,
    /// Nothing can be said.
    NotMeasured,
}

/// A case of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CaseResult {
    /// Its name in the suite; several pairs of files of one case are told apart by theirs.
    pub case: String,
    /// What became of it.
    pub outcome: CaseOutcome,
    /// How long it took, seconds.
    pub time_s: f64,
    /// Whether it is a control: it is as it must be where one of its gates does not hold.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub must_fail: bool,
    /// What became of it in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub said: String,
    /// What its gates say, and what holding it against the suite's baseline says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateVerdict>,
}

/// Body of `POST /suite-runs`. The caller chooses the id, so that a repeated call notes once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSuiteRun {
    /// Identifier, a UUID (version 7 recommended).
    pub id: Uuid,
    /// The suite's name.
    pub suite: String,
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    pub begun_at: OffsetDateTime,
    /// How long it took, seconds.
    pub time_s: f64,
    /// What ran it: `flame 0.1.0`.
    pub tool: String,
    /// Its cases, in the suite's order.
    pub cases: Vec<CaseResult>,
}

/// A run of a suite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SuiteRun {
    /// What it found.
    #[serde(flatten)]
    pub run: NewSuiteRun,
    /// When the service was told.
    #[serde(with = "time::serde::rfc3339")]
    pub received_at: OffsetDateTime,
}

/// A suite of which runs are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SuiteSummary {
    /// Its name.
    pub suite: String,
    /// Runs that are kept.
    pub runs: u64,
    /// When the service was told of the newest one.
    #[serde(with = "time::serde::rfc3339")]
    pub last_at: OffsetDateTime,
    /// Cases of that one that passed.
    pub passed: u64,
    /// Cases of it that failed.
    pub failed: u64,
    /// Cases of it of which nothing can be said.
    pub not_measured: u64,
}

/// Query of `GET /suite-runs`, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SuiteRunQuery {
    /// The suite.
    pub suite: String,
    /// `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Items wanted, 1 to 200 (default 50); no page is longer than 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}
