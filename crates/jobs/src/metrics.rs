//! What is measured of every service's jobs.

use flame_api::jobs::JobState;
use flame_service_host::metrics::Metrics as HostMetrics;
use prometheus::{IntCounterVec, IntGaugeVec, Opts};

/// The measurements.
#[derive(Debug, Clone)]
pub struct Metrics {
    jobs: IntGaugeVec,
    attempts: IntCounterVec,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptEnd {
    /// What was asked for is done.
    Succeeded,
    /// It came to nothing.
    Failed,
    /// It was told to end.
    Interrupted,
    /// What it was for is gone.
    Orphaned,
    /// Another worker has the job.
    LeaseLost,
}

// === impl Metrics ===

impl Metrics {
    /// Adds them to those of the host.
    #[must_use]
    pub fn new(host: &HostMetrics) -> Self {
        let valid = "the name is valid";
        let metrics = Self {
            jobs: IntGaugeVec::new(Opts::new("jobs", "Jobs by state"), &["state"]).expect(valid),
            attempts: IntCounterVec::new(Opts::new("attempts_total", "Attempts by how they ended"), &["end"])
                .expect(valid),
        };
        host.register(metrics.jobs.clone());
        host.register(metrics.attempts.clone());
        metrics
    }

    /// Sets how many jobs are in each state; in those that are not named there is none.
    pub fn set_jobs(&self, counts: &[(JobState, u64)]) {
        for state in JobState::ALL {
            let count = counts.iter().find(|(of, _)| *of == state).map_or(0, |(_, count)| *count);
            self.jobs.with_label_values(&[state.word()]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Counts an attempt.
    pub fn attempt_ended(&self, end: AttemptEnd) {
        let label = match end {
            AttemptEnd::Succeeded => "succeeded",
            AttemptEnd::Failed => "failed",
            AttemptEnd::Interrupted => "interrupted",
            AttemptEnd::Orphaned => "orphaned",
            AttemptEnd::LeaseLost => "lease_lost",
        };
        self.attempts.with_label_values(&[label]).inc();
    }
}
