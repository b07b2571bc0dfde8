//! What the service measures of its work.

use std::time::Duration;

use flame_service_host::metrics::Metrics as HostMetrics;
use prometheus::{Counter, IntCounter, IntCounterVec, IntGauge, Opts};

/// The measurements.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    /// Of jobs and attempts.
    pub(crate) jobs: flame_jobs::metrics::Metrics,
    media_seconds: Counter,
    encoding_seconds: Counter,
    stored_bytes: Counter,
    reused: IntCounter,
    /// Chunks that were encoded.
    pub(crate) chunks: IntCounter,
}

/// The measurements of live ladders. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct LiveMetrics {
    begun: IntCounter,
    open: IntGauge,
    /// By reason.
    pub(crate) refused: IntCounterVec,
}

/// One that is being made, until it is dropped.
#[derive(Debug)]
pub(crate) struct Open(IntGauge);

// === impl Metrics ===

impl Metrics {
    /// Adds them to those of the host.
    pub(crate) fn new(host: &HostMetrics) -> Self {
        let valid = "the name is valid";
        let counter = |name: &str, help: &str| Counter::new(name, help).expect(valid);
        let metrics = Self {
            jobs: flame_jobs::metrics::Metrics::new(host),
            media_seconds: counter("media_seconds_total", "Seconds of source that were encoded"),
            encoding_seconds: counter("encoding_seconds_total", "Seconds that encoding them took"),
            stored_bytes: counter("stored_bytes_total", "Bytes of tracks that were stored"),
            reused: IntCounter::new("reused_total", "Tracks, and thumbnails, that were taken again and not made anew")
                .expect(valid),
            chunks: IntCounter::new("chunks_total", "Chunks of pictures that were encoded").expect(valid),
        };
        host.register(metrics.media_seconds.clone());
        host.register(metrics.encoding_seconds.clone());
        host.register(metrics.stored_bytes.clone());
        host.register(metrics.reused.clone());
        host.register(metrics.chunks.clone());
        metrics
    }

    pub(crate) fn encoded(&self, media: Duration, took: Duration) {
        self.media_seconds.inc_by(media.as_secs_f64());
        self.encoding_seconds.inc_by(took.as_secs_f64());
    }

    pub(crate) fn reused(&self, outputs: usize) {
        self.reused.inc_by(u64::try_from(outputs).unwrap_or(0));
    }

    #[allow(clippy::cast_precision_loss, reason = "sizes are far below 2^52 bytes")]
    pub(crate) fn stored(&self, size_bytes: u64) {
        self.stored_bytes.inc_by(size_bytes as f64);
    }
}

// === impl LiveMetrics ===

impl LiveMetrics {
    /// Adds them to those of the host.
    pub(crate) fn new(host: &HostMetrics) -> Self {
        let valid = "the name is valid";
        let refused = Opts::new("live_ladders_refused_total", "Live ladders that were not made, by reason");
        let metrics = Self {
            begun: IntCounter::new("live_ladders_total", "Live ladders that were begun").expect(valid),
            open: IntGauge::new("live_ladders_open", "Live ladders that are being made").expect(valid),
            refused: IntCounterVec::new(refused, &["reason"]).expect(valid),
        };
        host.register(metrics.begun.clone());
        host.register(metrics.open.clone());
        host.register(metrics.refused.clone());
        metrics
    }

    /// One more is being made.
    pub(crate) fn open(&self) -> Open {
        self.begun.inc();
        self.open.inc();
        Open(self.open.clone())
    }
}

// === impl Open ===

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
