//! What the service measures of its work.

use std::time::Duration;

use flame_api::quality::jobs::MeasuringState;
use flame_service_host::metrics::Metrics as HostMetrics;
use prometheus::{Counter, IntCounterVec, IntGaugeVec, Opts};

/// The measurements.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    jobs: IntGaugeVec,
    attempts: IntCounterVec,
    measuring_seconds: Counter,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AttemptEnd {
    Succeeded,
    Failed,
    Interrupted,
    LeaseLost,
}

// === impl Metrics ===

impl Metrics {
    /// Adds them to those of the host.
    pub(crate) fn new(host: &HostMetrics) -> Self {
        let valid = "the name is valid";
        let metrics = Self {
            jobs: IntGaugeVec::new(Opts::new("jobs", "Jobs by state"), &["state"]).expect(valid),
            attempts: IntCounterVec::new(Opts::new("attempts_total", "Attempts by how they ended"), &["end"])
                .expect(valid),
            measuring_seconds: Counter::new("measuring_seconds_total", "Seconds that successful attempts took")
                .expect(valid),
        };
        host.register(metrics.jobs.clone());
        host.register(metrics.attempts.clone());
        host.register(metrics.measuring_seconds.clone());
        metrics
    }

    pub(crate) fn set_jobs(&self, counts: &[(MeasuringState, u64)]) {
        for state in MeasuringState::ALL {
            let count = counts.iter().find(|(of, _)| *of == state).map_or(0, |(_, count)| *count);
            self.jobs.with_label_values(&[state.word()]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    pub(crate) fn attempt_ended(&self, end: AttemptEnd) {
        let label = match end {
            AttemptEnd::Succeeded => "succeeded",
            AttemptEnd::Failed => "failed",
            AttemptEnd::Interrupted => "interrupted",
            AttemptEnd::LeaseLost => "lease_lost",
        };
        self.attempts.with_label_values(&[label]).inc();
    }

    pub(crate) fn measured(&self, took: Duration) {
        self.measuring_seconds.inc_by(took.as_secs_f64());
    }
}
