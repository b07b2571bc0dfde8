//! What live channels measure: `/metrics`. No key is in it; channels are few, and one that ends or rests is in it no more.

use flame_service_host::metrics::Metrics;
use prometheus::{IntCounter, IntGauge, IntGaugeVec, Opts};

use super::channel::Channel;

/// The measurements. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    clock_ppm: IntGaugeVec,
    correction_ms: IntGaugeVec,
    /// Whether this instance owns the channels that it shares with others.
    pub(super) is_owner: IntGauge,
    /// Tracks that are being stored.
    pub(super) keepers: IntGauge,
    /// Attempts to take the channels back that failed.
    pub(super) failed_takeovers: IntCounter,
}

// === impl Figures ===

impl Figures {
    /// Adds them to those of the host.
    pub(crate) fn new(host: &Metrics) -> Self {
        let of_channel =
            |name, about| IntGaugeVec::new(Opts::new(name, about), &["channel"]).expect("the name is valid");
        let figures = Self {
            clock_ppm: of_channel("live_clock_drift_ppm", "How much faster the encoder's clock is, parts per million"),
            correction_ms: of_channel(
                "live_clock_correction_milliseconds",
                "What is added to media times to have the wall's, milliseconds",
            ),
            is_owner: IntGauge::new(
                "live_owner",
                "1 where this instance owns the live channels that it shares with others",
            )
            .expect("the name is valid"),
            keepers: IntGauge::new("live_keepers", "Tracks of live channels that are being stored")
                .expect("the name is valid"),
            failed_takeovers: IntCounter::new(
                "live_takeovers_failed_total",
                "Attempts to take live channels back from the store that failed, and are tried again",
            )
            .expect("the name is valid"),
        };
        host.register(figures.clock_ppm.clone());
        host.register(figures.correction_ms.clone());
        host.register(figures.is_owner.clone());
        host.register(figures.keepers.clone());
        host.register(figures.failed_takeovers.clone());
        figures
    }

    /// Says what is known of the clock of who sends to a channel.
    pub(super) fn clock(&self, channel: &Channel) {
        let Some(clock) = channel.clock.shown() else { return };
        let id = channel.id.to_string();
        self.clock_ppm.with_label_values(&[id.as_str()]).set(clock.ppm);
        self.correction_ms.with_label_values(&[id.as_str()]).set(clock.correction_ms);
    }

    /// Nobody sends to it.
    pub(super) fn rests(&self, channel: &Channel) {
        let id = channel.id.to_string();
        // Where nothing was known there is nothing to remove.
        let _ = self.clock_ppm.remove_label_values(&[id.as_str()]);
        let _ = self.correction_ms.remove_label_values(&[id.as_str()]);
    }
}
