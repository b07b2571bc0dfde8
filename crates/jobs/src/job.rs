//! What may become of a job: every decision about its life. Pure; [`crate::queue`] carries the decisions out, each in
//! one transaction, so that two workers can never both be right.
//!
//! Work that leaves something elsewhere ([`Leaves::Objects`]) goes this way:
//!
//! ```text
//!            ┌───── interrupted, failed (tries left) ─────┐
//!            ▼                                            │
//! queued ──claim──► running ──commit──► publishing ──succeed──► succeeded
//!    │                 │ fail, no tries left  │ (again after an interruption)
//!    │                 ▼                      │
//!    │              failing ──close──► failed │
//!    └──cancel──► cancelling ──close──► cancelled
//! ```
//! A job that ends badly leaves nothing behind: `failing` and `cancelling` stand until its objects are gone and the
//! catalogue knows. What is committed has its tracks in the store, and is never encoded again: the bytes of a version
//! that may be published already must not change. So a cancellation that comes after the commit waits, and counts only
//! if the publication fails.
//!
//! Work that changes nothing but its own record ([`Leaves::Nothing`]) goes a shorter one: what was made twice gives the same, and
//! there is nothing to remove, so it ends at once.
//!
//! ```text
//! queued ──claim──► running ──succeed──► succeeded
//!    │  ▲              ├── fail, no tries left ──► failed
//!    │  └─ tries left ─┤
//!    └──── cancel ─────┴── lets go ──► cancelled
//! ```
//!
//! A lease is held by one owner, under a number that is never given twice; whoever comes with another number has lost
//! it. An interruption (a worker that stopped or died) is not held against the job, a failure is; both are bounded.

use std::time::Duration;

use flame_api::jobs::JobState;
use flame_media_child::protocol::Fault;
use thiserror::Error;

/// Where a job stands, in more detail than [`JobState`] tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Waits for a worker.
    Queued,
    /// A worker is at it.
    Running,
    /// What it makes is stored and noted; it is to be published.
    Publishing,
    /// Given up; its objects are to be removed.
    Failing,
    /// Cancelled; its objects are to be removed.
    Cancelling,
    /// Done. Final.
    Succeeded,
    /// Given up, and nothing is left. Final.
    Failed,
    /// Cancelled, and nothing is left. Final.
    Cancelled,
}

/// All that a decision about a job depends on. Times are microseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its phase.
    pub phase: Phase,
    /// Whether somebody wants it cancelled.
    pub cancel_requested: bool,
    /// Attempts begun.
    pub attempt: u32,
    /// Attempts that failed.
    pub failures: u32,
    /// It is not claimed before this.
    pub due_at_us: i64,
    /// Leases given so far; the number of the newest.
    pub lease_number: u64,
    /// Who holds it now.
    pub lease: Option<Lease>,
    /// Why it was not done so far.
    pub error: Option<String>,
}

/// Who holds a job, until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The owner, a worker process.
    pub owner: String,
    /// When everybody else may take it for dead.
    pub until_us: i64,
}

/// What happens to a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A worker takes it.
    Claim {
        /// The worker.
        owner: String,
    },
    /// The holder of a lease reports.
    Held {
        /// Number of its lease.
        number: u64,
        /// What it reports.
        report: Report,
    },
    /// The lease's time is over.
    Expire,
    /// The owner has started anew: what it held before, nobody works on.
    Restart {
        /// The owner.
        owner: String,
    },
    /// Somebody wants it cancelled.
    Cancel,
}

/// What the holder of a lease reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// It is at work.
    Alive,
    /// All that it makes is stored; from here on there is no way back.
    Commit,
    /// What it is for is done: published, as the worker asked or looked; or measured.
    Succeed,
    /// The attempt came to nothing.
    Fail {
        /// Whose fault it is.
        fault: Fault,
        /// What was tried, on what, and what went wrong.
        reason: String,
    },
    /// What it is for is gone: there is nothing to work for.
    Orphaned {
        /// How that was found.
        reason: String,
    },
    /// The worker stops; another one may go on.
    Interrupt,
    /// Nothing is left of a failed or cancelled job, and the catalogue knows.
    Close,
    /// That could not be done now.
    Postpone,
}

/// What bounds a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Life of a lease that is not renewed.
    pub lease: Duration,
    /// Failures after which a job is given up.
    pub failures_max: u32,
    /// Attempts after which it is given up, whatever ended them: a job that takes its worker down each time.
    pub attempts_max: u32,
    /// Pause after the first failure; it doubles with each further one.
    pub backoff: Duration,
    /// Longest pause.
    pub backoff_max: Duration,
    /// What is to be removed when a job ends badly.
    pub leaves: Leaves,
}

/// What work on a job leaves behind when it ends badly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaves {
    /// Nothing but its own record: it succeeds, fails and is cancelled at once.
    Nothing,
    /// Things elsewhere: it is committed before it succeeds, and closed when it does not.
    Objects {
        /// Pause before the removal of what is left is tried again.
        close_pause: Duration,
    },
}

/// An event that cannot happen to a job as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refused {
    /// Nothing happens to it any more.
    #[error("the job has ended")]
    Final,
    /// Another worker holds it, or it waits.
    #[error("the job is not to be claimed now")]
    NotClaimable,
    /// The lease is another's by now.
    #[error("the lease is lost")]
    LeaseLost,
    /// The lease still runs, or is another owner's.
    #[error("the lease is still held")]
    StillHeld,
    /// It is to be cancelled.
    #[error("the job is to be cancelled")]
    CancelRequested,
    /// A report that makes no sense in this phase.
    #[error("that cannot be reported of the job as it stands")]
    WrongPhase,
}

// === impl Phase ===

impl Phase {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Running,
        Self::Publishing,
        Self::Failing,
        Self::Cancelling,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Its word, as it is stored.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Publishing => "publishing",
            Self::Failing => "failing",
            Self::Cancelling => "cancelling",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// What callers are told. A job whose remains are being removed has not ended.
    #[must_use]
    pub fn state(self) -> JobState {
        match self {
            Self::Queued => JobState::Queued,
            Self::Running | Self::Publishing | Self::Failing | Self::Cancelling => JobState::Running,
            Self::Succeeded => JobState::Succeeded,
            Self::Failed => JobState::Failed,
            Self::Cancelled => JobState::Cancelled,
        }
    }

    /// Whether nothing more will happen.
    #[must_use]
    pub fn is_final(self) -> bool {
        self.state().is_final()
    }

    /// Whether all that is left to do is to remove what there is.
    #[must_use]
    pub fn is_closing(self) -> bool {
        matches!(self, Self::Failing | Self::Cancelling)
    }
}

// === impl Standing ===

impl Standing {
    /// A job that has just come.
    #[must_use]
    pub fn new(now_us: i64) -> Self {
        Self {
            phase: Phase::Queued,
            cancel_requested: false,
            attempt: 0,
            failures: 0,
            due_at_us: now_us,
            lease_number: 0,
            lease: None,
            error: None,
        }
    }

    /// What becomes of the job by `event` at `now_us`.
    ///
    /// # Errors
    /// [`Refused`]; the job stays as it is.
    pub fn after(&self, event: Event, now_us: i64, bounds: &Bounds) -> Result<Self, Refused> {
        if self.phase.is_final() {
            return Err(Refused::Final);
        }
        let after = match event {
            Event::Claim { owner } => self.claimed(owner, now_us, bounds)?,
            Event::Held { number, report } => self.reported(number, report, now_us, bounds)?,
            Event::Expire => match &self.lease {
                Some(lease) if lease.until_us <= now_us => self.interrupted(now_us, bounds),
                Some(_) | None => return Err(Refused::StillHeld),
            },
            Event::Restart { owner } => match &self.lease {
                Some(lease) if lease.owner == owner => self.interrupted(now_us, bounds),
                Some(_) | None => return Err(Refused::StillHeld),
            },
            Event::Cancel => self.cancelled(now_us),
        };
        Ok(after.settled(bounds.leaves))
    }

    /// Where nothing is left, nothing is closed.
    fn settled(self, leaves: Leaves) -> Self {
        let phase = match (leaves, self.phase) {
            (Leaves::Nothing, Phase::Failing) => Phase::Failed,
            (Leaves::Nothing, Phase::Cancelling) => Phase::Cancelled,
            (Leaves::Nothing | Leaves::Objects { .. }, phase) => phase,
        };
        Self { phase, ..self }
    }

    fn claimed(&self, owner: String, now_us: i64, bounds: &Bounds) -> Result<Self, Refused> {
        if self.lease.is_some() || self.due_at_us > now_us {
            return Err(Refused::NotClaimable);
        }
        let (phase, begins) = match self.phase {
            Phase::Queued => (Phase::Running, 1),
            Phase::Publishing => (Phase::Publishing, 1),
            Phase::Failing | Phase::Cancelling => (self.phase, 0),
            Phase::Running | Phase::Succeeded | Phase::Failed | Phase::Cancelled => return Err(Refused::NotClaimable),
        };
        Ok(Self {
            phase,
            attempt: self.attempt + begins,
            lease_number: self.lease_number + 1,
            lease: Some(Lease { owner, until_us: after_us(now_us, bounds.lease) }),
            ..self.clone()
        })
    }

    fn reported(&self, number: u64, report: Report, now_us: i64, bounds: &Bounds) -> Result<Self, Refused> {
        let Some(lease) = self.lease.as_ref().filter(|_| self.lease_number == number) else {
            return Err(Refused::LeaseLost);
        };
        let working = matches!(self.phase, Phase::Running | Phase::Publishing);
        match report {
            Report::Alive => {
                let lease = Lease { until_us: after_us(now_us, bounds.lease), ..lease.clone() };
                Ok(Self { lease: Some(lease), ..self.clone() })
            }
            Report::Commit if self.phase != Phase::Running || bounds.leaves == Leaves::Nothing => {
                Err(Refused::WrongPhase)
            }
            Report::Commit if self.cancel_requested => Err(Refused::CancelRequested),
            Report::Commit => Ok(Self { phase: Phase::Publishing, ..self.clone() }),
            // What was made before a cancellation was heard is as good as any.
            Report::Succeed if bounds.leaves == Leaves::Nothing => {
                Ok(Self { phase: Phase::Succeeded, error: None, ..self.freed(now_us) })
            }
            // Also when it was given up because the catalogue's answer did not come: the catalogue is right.
            Report::Succeed if self.phase == Phase::Publishing || self.phase.is_closing() => {
                Ok(Self { phase: Phase::Succeeded, lease: None, error: None, ..self.clone() })
            }
            Report::Fail { fault, reason } if working => Ok(self.failed(fault, reason, now_us, bounds)),
            Report::Orphaned { reason } if working => {
                Ok(Self { phase: Phase::Cancelling, error: Some(reason), ..self.freed(now_us) })
            }
            Report::Interrupt => Ok(self.interrupted(now_us, bounds)),
            Report::Close => match self.phase {
                Phase::Failing => Ok(Self { phase: Phase::Failed, lease: None, ..self.clone() }),
                Phase::Cancelling => Ok(Self { phase: Phase::Cancelled, lease: None, ..self.clone() }),
                Phase::Queued
                | Phase::Running
                | Phase::Publishing
                | Phase::Succeeded
                | Phase::Failed
                | Phase::Cancelled => Err(Refused::WrongPhase),
            },
            Report::Postpone => match bounds.leaves {
                Leaves::Objects { close_pause } if self.phase.is_closing() => {
                    Ok(self.freed(after_us(now_us, close_pause)))
                }
                Leaves::Objects { .. } | Leaves::Nothing => Err(Refused::WrongPhase),
            },
            Report::Succeed | Report::Fail { .. } | Report::Orphaned { .. } => Err(Refused::WrongPhase),
        }
    }

    fn failed(&self, fault: Fault, reason: String, now_us: i64, bounds: &Bounds) -> Self {
        let failures = self.failures + 1;
        let doubled = 2_u32.saturating_pow(failures - 1);
        let pause = bounds.backoff.saturating_mul(doubled).min(bounds.backoff_max);
        let again = match self.phase {
            Phase::Publishing => Phase::Publishing,
            Phase::Queued
            | Phase::Running
            | Phase::Failing
            | Phase::Cancelling
            | Phase::Succeeded
            | Phase::Failed
            | Phase::Cancelled => Phase::Queued,
        };
        let given_up = fault == Fault::Input || failures >= bounds.failures_max || self.attempt >= bounds.attempts_max;
        let (phase, due_at_us) = if self.cancel_requested {
            (Phase::Cancelling, now_us)
        } else if given_up {
            (Phase::Failing, now_us)
        } else {
            (again, after_us(now_us, pause))
        };
        Self { phase, failures, error: Some(reason), ..self.freed(due_at_us) }
    }

    /// Nobody works on it any more, and nobody says that it went wrong.
    fn interrupted(&self, now_us: i64, bounds: &Bounds) -> Self {
        let freed = self.freed(now_us);
        match self.phase {
            Phase::Running | Phase::Publishing if self.cancel_requested => Self { phase: Phase::Cancelling, ..freed },
            Phase::Running | Phase::Publishing if self.attempt >= bounds.attempts_max => {
                let last = self.error.as_ref().map(|error| format!("; before that: {error}")).unwrap_or_default();
                let error = format!("its worker stopped or died in each of {} attempts{last}", self.attempt);
                Self { phase: Phase::Failing, error: Some(error), ..freed }
            }
            Phase::Running => Self { phase: Phase::Queued, ..freed },
            Phase::Queued
            | Phase::Publishing
            | Phase::Failing
            | Phase::Cancelling
            | Phase::Succeeded
            | Phase::Failed
            | Phase::Cancelled => freed,
        }
    }

    fn cancelled(&self, now_us: i64) -> Self {
        let asked = Self { cancel_requested: true, ..self.clone() };
        match self.phase {
            Phase::Queued => Self { phase: Phase::Cancelling, due_at_us: now_us, ..asked },
            // Waits to publish again, after a publication that failed: nothing is under way.
            Phase::Publishing if self.lease.is_none() => Self { phase: Phase::Cancelling, due_at_us: now_us, ..asked },
            // Whoever works on it finds out, and lets go.
            Phase::Running | Phase::Publishing => asked,
            Phase::Failing | Phase::Cancelling | Phase::Succeeded | Phase::Failed | Phase::Cancelled => self.clone(),
        }
    }

    fn freed(&self, due_at_us: i64) -> Self {
        Self { lease: None, due_at_us, ..self.clone() }
    }
}

fn after_us(now_us: i64, pause: Duration) -> i64 {
    now_us.saturating_add(i64::try_from(pause.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
