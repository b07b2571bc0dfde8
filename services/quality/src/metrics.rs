//! What the service measures of its work.

use std::time::Duration;

use flame_service_host::metrics::Metrics as HostMetrics;
use prometheus::Counter;

/// The measurements.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    /// Of jobs and attempts.
    pub(crate) jobs: flame_jobs::metrics::Metrics,
    measuring_seconds: Counter,
}

// === impl Metrics ===

impl Metrics {
    /// Adds them to those of the host.
    pub(crate) fn new(host: &HostMetrics) -> Self {
        let valid = "the name is valid";
        let metrics = Self {
            jobs: flame_jobs::metrics::Metrics::new(host),
            measuring_seconds: Counter::new("measuring_seconds_total", "Seconds that successful attempts took")
                .expect(valid),
        };
        host.register(metrics.measuring_seconds.clone());
        metrics
    }

    pub(crate) fn measured(&self, took: Duration) {
        self.measuring_seconds.inc_by(took.as_secs_f64());
    }
}
