//! What live doors count: `/metrics`. A key is in none of it.

use flame_service_host::metrics::Metrics;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts};

/// Bounds of the time that a chunk waits, seconds.
const WAIT_BUCKETS_S: [f64; 10] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0, 10.0];

/// The measurements of all doors. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Figures {
    /// Publications that began.
    pub publications: IntCounter,
    /// Publications that go on.
    pub open: IntGauge,
    /// Publications that ended without their encoder wanting it, by reason.
    pub lost: IntCounterVec,
    /// Encoders that were sent away before they sent media, by reason.
    pub refused: IntCounterVec,
    /// Octets that came.
    pub received_bytes: IntCounter,
    /// Chunks that were handed to the connection to streaming.
    pub chunks: IntCounter,
    /// Segments that were dropped because streaming did not take them in time.
    pub dropped_segments: IntCounter,
    /// Ladders that were not made, or broke off, by reason.
    pub ladders_lost: IntCounterVec,
    /// Segments that renditions lack because transcode did not keep up.
    pub ladder_dropped_segments: IntCounter,
    /// Time from the arrival of the octets that made a chunk whole to its leaving.
    pub wait_seconds: Histogram,
}

// === impl Figures ===

impl Figures {
    /// Measurements that are shown with the service's others.
    ///
    /// # Panics
    /// If two have one name: a mistake in the program, found at its first start.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        let counter = |name, about| IntCounter::new(name, about).expect("the name is valid");
        let by_reason =
            |name, about| IntCounterVec::new(Opts::new(name, about), &["reason"]).expect("the name is valid");
        let wait = HistogramOpts::new(
            "live_chunk_wait_seconds",
            "Time from the arrival of the octets that make a chunk whole to its leaving for streaming",
        );
        let figures = Self {
            publications: counter("live_publications_total", "Publications that began"),
            open: IntGauge::new("live_publications_open", "Publications that go on").expect("the name is valid"),
            lost: by_reason("live_publications_lost_total", "Publications that ended against their encoder's will"),
            refused: by_reason("live_publishers_refused_total", "Encoders that were sent away before they sent media"),
            received_bytes: counter("live_received_bytes_total", "Octets that came from encoders"),
            chunks: counter("live_chunks_total", "Chunks that left for streaming"),
            dropped_segments: counter(
                "live_segments_dropped_total",
                "Segments that were dropped because streaming did not take them in time",
            ),
            ladders_lost: by_reason("live_ladders_lost_total", "Ladders that were not made, or broke off"),
            ladder_dropped_segments: counter(
                "live_ladder_segments_dropped_total",
                "Segments that renditions lack because transcode did not keep up",
            ),
            wait_seconds: Histogram::with_opts(wait.buckets(WAIT_BUCKETS_S.to_vec())).expect("the name is valid"),
        };
        metrics.register(figures.publications.clone());
        metrics.register(figures.open.clone());
        metrics.register(figures.lost.clone());
        metrics.register(figures.refused.clone());
        metrics.register(figures.received_bytes.clone());
        metrics.register(figures.chunks.clone());
        metrics.register(figures.dropped_segments.clone());
        metrics.register(figures.ladders_lost.clone());
        metrics.register(figures.ladder_dropped_segments.clone());
        metrics.register(figures.wait_seconds.clone());
        figures
    }
}
