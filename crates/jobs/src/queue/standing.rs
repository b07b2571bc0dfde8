//! Where a job stands, as columns. The rest of a row is its service's.

use time::OffsetDateTime;

use super::{StoreError, StoreResult};
use crate::job::{Lease, Phase, Standing};

/// What is selected beside the phase.
pub(super) const COLUMNS: &str = "seq, cancel_requested, attempt, failures, due_at_us, lease_number, lease_owner, lease_until_us, \
                                  error, created_at_us, started_at_us, finished_at_us";

/// The columns of a job that say where it stands. A service flattens them into its own row. Times are microseconds since the Unix
/// epoch.
#[derive(Debug, sqlx::FromRow)]
pub struct StandingRow {
    /// The order in which jobs were queued: workers take them and lists walk them by it.
    pub seq: i64,
    phase: String,
    cancel_requested: bool,
    /// Attempts begun.
    pub attempt: u32,
    failures: u32,
    due_at_us: i64,
    lease_number: i64,
    lease_owner: Option<String>,
    lease_until_us: Option<i64>,
    /// Why it was not done so far.
    pub error: Option<String>,
    created_at_us: i64,
    started_at_us: Option<i64>,
    finished_at_us: Option<i64>,
}

// === impl StandingRow ===

impl StandingRow {
    /// The phase.
    ///
    /// # Errors
    /// There is no such phase.
    pub fn phase(&self) -> StoreResult<Phase> {
        Phase::ALL.into_iter().find(|phase| phase.word() == self.phase).ok_or_else(|| damaged("a phase", &self.phase))
    }

    /// What decisions about the job depend on.
    ///
    /// # Errors
    /// A value that this release cannot have written.
    pub fn standing(&self) -> StoreResult<Standing> {
        let lease = self.lease_owner.clone().zip(self.lease_until_us);
        Ok(Standing {
            phase: self.phase()?,
            cancel_requested: self.cancel_requested,
            attempt: self.attempt,
            failures: self.failures,
            due_at_us: self.due_at_us,
            lease_number: u64::try_from(self.lease_number).map_err(|_| damaged("a lease", self.lease_number))?,
            lease: lease.map(|(owner, until_us)| Lease { owner, until_us }),
            error: self.error.clone(),
        })
    }

    /// When it was queued.
    ///
    /// # Errors
    /// It is no time.
    pub fn created_at(&self) -> StoreResult<OffsetDateTime> {
        moment(self.created_at_us)
    }

    /// When its first attempt began.
    ///
    /// # Errors
    /// It is no time.
    pub fn started_at(&self) -> StoreResult<Option<OffsetDateTime>> {
        self.started_at_us.map(moment).transpose()
    }

    /// When it came to its final state.
    ///
    /// # Errors
    /// It is no time.
    pub fn finished_at(&self) -> StoreResult<Option<OffsetDateTime>> {
        self.finished_at_us.map(moment).transpose()
    }
}

/// A time as it is stored: microseconds since the Unix epoch.
fn moment(micros: i64) -> StoreResult<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).map_err(|_| damaged("a time", micros))
}

/// Of a value that is not understood.
pub fn damaged(what: &'static str, value: impl ToString) -> StoreError {
    StoreError::Damaged { what, value: value.to_string() }
}
