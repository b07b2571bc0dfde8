//! What may become of a job: every decision about its life. Pure; [`crate::store`] carries the decisions out, each in one
//! transaction, so that two workers can never both be right.
//!
//! ```text
//!            ┌──── interrupted, failed (tries left) ────┐
//!            ▼                                          │
//! queued ──claim──► running ──────────────────────────── ┤
//!    │                 ├── succeed ──► succeeded
//!    │                 ├── fail, no tries left ──► failed
//!    └──── cancel ─────┴── lets go ──► cancelled
//! ```
//! A measurement changes nothing but its own record, so a job that ends badly leaves nothing behind, and one that is made twice
//! gives the same.
//!
//! A lease is held by one owner, under a number that is never given twice; whoever comes with another number has lost it. An
//! interruption (a worker that stopped or died) is not held against the job, a failure is; both are bounded.

use std::time::Duration;

use flame_api::quality::jobs::MeasuringState as State;
use flame_media_child::protocol::Fault;
use thiserror::Error;

/// All that a decision about a job depends on. Times are microseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Where it stands.
    pub state: State,
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
    /// It was measured.
    Succeed,
    /// The attempt came to nothing.
    Fail {
        /// Whose fault it is.
        fault: Fault,
        /// What was tried, on what, and what went wrong.
        reason: String,
    },
    /// The worker lets go: it stops, or was told that the job is cancelled.
    Interrupt,
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
}

// === impl Standing ===

impl Standing {
    /// A job that has just come.
    #[must_use]
    pub fn new(now_us: i64) -> Self {
        Self {
            state: State::Queued,
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
        if self.state.is_final() {
            return Err(Refused::Final);
        }
        match event {
            Event::Claim { owner } => self.claimed(owner, now_us, bounds),
            Event::Held { number, report } => self.reported(number, report, now_us, bounds),
            Event::Expire => match &self.lease {
                Some(lease) if lease.until_us <= now_us => Ok(self.interrupted(now_us, bounds)),
                Some(_) | None => Err(Refused::StillHeld),
            },
            Event::Restart { owner } => match &self.lease {
                Some(lease) if lease.owner == owner => Ok(self.interrupted(now_us, bounds)),
                Some(_) | None => Err(Refused::StillHeld),
            },
            Event::Cancel => {
                let asked = Self { cancel_requested: true, ..self.clone() };
                // Whoever works on it finds out, and lets go.
                Ok(if self.lease.is_some() { asked } else { Self { state: State::Cancelled, ..asked } })
            }
        }
    }

    fn claimed(&self, owner: String, now_us: i64, bounds: &Bounds) -> Result<Self, Refused> {
        if self.lease.is_some() || self.due_at_us > now_us || self.state != State::Queued {
            return Err(Refused::NotClaimable);
        }
        Ok(Self {
            state: State::Running,
            attempt: self.attempt + 1,
            lease_number: self.lease_number + 1,
            lease: Some(Lease { owner, until_us: after_us(now_us, bounds.lease) }),
            ..self.clone()
        })
    }

    fn reported(&self, number: u64, report: Report, now_us: i64, bounds: &Bounds) -> Result<Self, Refused> {
        let Some(lease) = self.lease.as_ref().filter(|_| self.lease_number == number) else {
            return Err(Refused::LeaseLost);
        };
        match report {
            Report::Alive => {
                let lease = Lease { until_us: after_us(now_us, bounds.lease), ..lease.clone() };
                Ok(Self { lease: Some(lease), ..self.clone() })
            }
            // What was measured before the cancellation was heard is as good as any.
            Report::Succeed => Ok(Self { state: State::Succeeded, error: None, ..self.freed(now_us) }),
            Report::Fail { fault, reason } => Ok(self.failed(fault, reason, now_us, bounds)),
            Report::Interrupt => Ok(self.interrupted(now_us, bounds)),
        }
    }

    fn failed(&self, fault: Fault, reason: String, now_us: i64, bounds: &Bounds) -> Self {
        let failures = self.failures + 1;
        let doubled = 2_u32.saturating_pow(failures - 1);
        let pause = bounds.backoff.saturating_mul(doubled).min(bounds.backoff_max);
        let given_up = fault == Fault::Input || failures >= bounds.failures_max || self.attempt >= bounds.attempts_max;
        let (state, due_at_us) = if self.cancel_requested {
            (State::Cancelled, now_us)
        } else if given_up {
            (State::Failed, now_us)
        } else {
            (State::Queued, after_us(now_us, pause))
        };
        Self { state, failures, error: Some(reason), ..self.freed(due_at_us) }
    }

    /// Nobody works on it any more, and nobody says that it went wrong.
    fn interrupted(&self, now_us: i64, bounds: &Bounds) -> Self {
        let freed = self.freed(now_us);
        if self.cancel_requested {
            return Self { state: State::Cancelled, ..freed };
        }
        if self.attempt >= bounds.attempts_max {
            let last = self.error.as_ref().map(|error| format!("; before that: {error}")).unwrap_or_default();
            let error = format!("its worker stopped or died in each of {} attempts{last}", self.attempt);
            return Self { state: State::Failed, error: Some(error), ..freed };
        }
        Self { state: State::Queued, ..freed }
    }

    fn freed(&self, due_at_us: i64) -> Self {
        Self { lease: None, due_at_us, ..self.clone() }
    }
}

fn after_us(now_us: i64, pause: Duration) -> i64 {
    now_us.saturating_add(i64::try_from(pause.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds {
        lease: Duration::from_secs(30),
        failures_max: 3,
        attempts_max: 5,
        backoff: Duration::from_secs(2),
        backoff_max: Duration::from_secs(5),
    };

    fn event() -> impl Strategy<Value = Event> {
        let owner = || proptest::sample::select(vec!["one".to_owned(), "two".to_owned()]);
        let fault = proptest::sample::select(vec![Fault::Input, Fault::Environment]);
        let report = prop_oneof![
            Just(Report::Alive),
            Just(Report::Succeed),
            fault.prop_map(|fault| Report::Fail { fault, reason: "why".to_owned() }),
            Just(Report::Interrupt),
        ];
        prop_oneof![
            3 => owner().prop_map(|owner| Event::Claim { owner }),
            5 => (0_u64..7, report).prop_map(|(number, report)| Event::Held { number, report }),
            1 => Just(Event::Expire),
            1 => owner().prop_map(|owner| Event::Restart { owner }),
            1 => Just(Event::Cancel),
        ]
    }

    proptest! {
        /// Whatever happens in whatever order: one holder at a time, numbers that are never given twice, bounds that hold, and
        /// ends that are ends.
        #[test]
        fn a_job_is_always_in_order(events in proptest::collection::vec((event(), 0_i64..40_000_000), 0..60)) {
            let (mut job, mut now_us) = (Standing::new(0), 0);
            for (event, later_us) in events {
                now_us += later_us;
                let before = job.clone();
                let Ok(after) = before.after(event.clone(), now_us, &BOUNDS) else { continue };
                prop_assert!(!before.state.is_final(), "{:?} after {:?}", event, before);
                prop_assert_eq!(after.lease.is_some(), after.state == State::Running);
                prop_assert!(after.attempt <= BOUNDS.attempts_max && after.failures <= BOUNDS.failures_max);
                match &event {
                    Event::Claim { .. } => {
                        prop_assert!(before.lease.is_none() && before.due_at_us <= now_us);
                        prop_assert_eq!(after.lease_number, before.lease_number + 1);
                    }
                    Event::Held { number, .. } => prop_assert_eq!(*number, before.lease_number),
                    Event::Expire => prop_assert!(before.lease.is_some_and(|lease| lease.until_us <= now_us)),
                    Event::Restart { owner } => prop_assert!(before.lease.is_some_and(|lease| lease.owner == *owner)),
                    Event::Cancel => prop_assert!(after.cancel_requested),
                }
                // Whoever wants it cancelled gets that, or what was measured already.
                if before.cancel_requested && after.lease.is_none() {
                    prop_assert!(matches!(after.state, State::Cancelled | State::Succeeded), "{:?}", after);
                }
                job = after;
            }
        }
    }

    #[test]
    fn pauses_grow_to_their_bound_and_a_fault_of_the_media_is_final() {
        let fail = |job: &Standing, fault, now_us| {
            let job = job.after(Event::Claim { owner: "one".to_owned() }, now_us, &BOUNDS).expect("it can be claimed");
            let report = Report::Fail { fault, reason: "why".to_owned() };
            job.after(Event::Held { number: job.lease_number, report }, now_us, &BOUNDS).expect("it is held")
        };
        let first = fail(&Standing::new(0), Fault::Environment, 0);
        let second = fail(&first, Fault::Environment, first.due_at_us);
        assert_eq!((first.due_at_us, second.due_at_us - first.due_at_us), (2_000_000, 4_000_000));
        assert_eq!(fail(&second, Fault::Environment, second.due_at_us).state, State::Failed);
        assert_eq!(fail(&Standing::new(0), Fault::Input, 0).state, State::Failed);
    }
}
