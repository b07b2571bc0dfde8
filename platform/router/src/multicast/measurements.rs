//! What multicast does, for `/metrics`.

use flame_api::router::MulticastCounts;
use flame_multicast::Summary;
use flame_service_host::metrics::Metrics;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts};

/// Bounds of the group size histogram, routers.
const SIZES: [f64; 7] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];

#[derive(Debug, Clone)]
pub(super) struct Measurements {
    sizes: Histogram,
    bodies: IntCounter,
    symbols: IntCounterVec,
    unicast: IntCounter,
    saved: IntCounter,
    members: IntCounterVec,
}

// === impl Measurements ===

impl Measurements {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let counter = |name: &str, help: &str| IntCounter::new(name, help).expect("the name is valid");
        let labelled = |name: &str, help: &str, label: &str| {
            IntCounterVec::new(Opts::new(name, help), &[label]).expect("the name is valid")
        };
        let sizes = HistogramOpts::new("multicast_group_size", "Routers that one answer went to, at most at once");
        let measurements = Self {
            sizes: Histogram::with_opts(sizes.buckets(SIZES.to_vec())).expect("the name is valid"),
            bodies: counter("multicast_body_bytes_total", "Octets of answers that went to groups, each counted once"),
            symbols: labelled("multicast_symbols_total", "Symbols sent to groups, by kind", "kind"),
            unicast: counter("multicast_unicast_bytes_total", "Octets of these answers that went by unicast"),
            saved: counter(
                "multicast_saved_bytes_total",
                "Octets that were not sent once more to each other router of a group",
            ),
            members: labelled("multicast_members_total", "Routers in groups, by what became of them", "end"),
        };
        metrics.register(measurements.sizes.clone());
        metrics.register(measurements.bodies.clone());
        metrics.register(measurements.symbols.clone());
        metrics.register(measurements.unicast.clone());
        metrics.register(measurements.saved.clone());
        metrics.register(measurements.members.clone());
        measurements
    }

    /// Counts a transfer that is over.
    pub(super) fn ended(&self, summary: &Summary) {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        self.sizes.observe(summary.members_max as f64);
        self.bodies.inc_by(summary.body_bytes);
        self.symbols.with_label_values(&["source"]).inc_by(summary.source_symbols);
        self.symbols.with_label_values(&["repair"]).inc_by(summary.repair_symbols);
        self.unicast.inc_by(summary.unicast_bytes);
        // Repair is little beside the body, and counted above.
        let others = count(summary.members).saturating_sub(1);
        self.saved.inc_by(others.saturating_mul(summary.body_bytes).saturating_sub(summary.unicast_bytes));
        self.members.with_label_values(&["joined"]).inc_by(count(summary.members));
        self.members.with_label_values(&["fell-back"]).inc_by(count(summary.fell_back));
        self.members.with_label_values(&["dismissed"]).inc_by(count(summary.dismissed));
    }

    pub(super) fn counts(&self) -> MulticastCounts {
        MulticastCounts {
            answers: self.sizes.get_sample_count(),
            members: self.members.with_label_values(&["joined"]).get(),
            body_bytes: self.bodies.get(),
            saved_bytes: self.saved.get(),
        }
    }
}
