//! What the service measures of its work.

use std::time::Duration;

use flame_api::transcode::JobState;
use flame_service_host::metrics::Metrics as HostMetrics;
use prometheus::{Counter, IntCounterVec, IntGaugeVec, Opts};

/// The measurements.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    jobs: IntGaugeVec,
    attempts: IntCounterVec,
    media_seconds: Counter,
    encoding_seconds: Counter,
    stored_bytes: Counter,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AttemptEnd {
    Succeeded,
    Failed,
    Interrupted,
    Orphaned,
    LeaseLost,
}

// === impl Metrics ===

impl Metrics {
    /// Adds them to those of the host.
    pub(crate) fn new(host: &HostMetrics) -> Self {
        let valid = "the name is valid";
        let counter = |name: &str, help: &str| Counter::new(name, help).expect(valid);
        let metrics = Self {
            jobs: IntGaugeVec::new(Opts::new("jobs", "Jobs by state"), &["state"]).expect(valid),
            attempts: IntCounterVec::new(Opts::new("attempts_total", "Attempts by how they ended"), &["end"])
                .expect(valid),
            media_seconds: counter("media_seconds_total", "Seconds of source that were encoded"),
            encoding_seconds: counter("encoding_seconds_total", "Seconds that encoding them took"),
            stored_bytes: counter("stored_bytes_total", "Bytes of tracks that were stored"),
        };
        host.register(metrics.jobs.clone());
        host.register(metrics.attempts.clone());
        host.register(metrics.media_seconds.clone());
        host.register(metrics.encoding_seconds.clone());
        host.register(metrics.stored_bytes.clone());
        metrics
    }

    pub(crate) fn set_jobs(&self, counts: &[(JobState, u64)]) {
        let states = [JobState::Queued, JobState::Running, JobState::Succeeded, JobState::Failed, JobState::Cancelled];
        for state in states {
            let count = counts.iter().find(|(of, _)| *of == state).map_or(0, |(_, count)| *count);
            let label = match state {
                JobState::Queued => "queued",
                JobState::Running => "running",
                JobState::Succeeded => "succeeded",
                JobState::Failed => "failed",
                JobState::Cancelled => "cancelled",
            };
            self.jobs.with_label_values(&[label]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    pub(crate) fn attempt_ended(&self, end: AttemptEnd) {
        let label = match end {
            AttemptEnd::Succeeded => "succeeded",
            AttemptEnd::Failed => "failed",
            AttemptEnd::Interrupted => "interrupted",
            AttemptEnd::Orphaned => "orphaned",
            AttemptEnd::LeaseLost => "lease_lost",
        };
        self.attempts.with_label_values(&[label]).inc();
    }

    pub(crate) fn encoded(&self, media: Duration, took: Duration) {
        self.media_seconds.inc_by(media.as_secs_f64());
        self.encoding_seconds.inc_by(took.as_secs_f64());
    }

    #[allow(clippy::cast_precision_loss, reason = "sizes are far below 2^52 bytes")]
    pub(crate) fn stored(&self, size_bytes: u64) {
        self.stored_bytes.inc_by(size_bytes as f64);
    }
}
