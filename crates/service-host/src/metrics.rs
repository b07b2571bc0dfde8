//! `/metrics` for Prometheus: requests by route and status, times, and what a service adds itself.

use prometheus::{Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

use crate::telemetry::Exchanges;

/// The bounds of the request time histogram, seconds.
const TIME_BUCKETS_S: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// The measurements of one service.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    times: HistogramVec,
    open: IntGauge,
    exchanges: Exchanges,
}

// === impl Metrics ===

impl Metrics {
    /// The measurements of `service`, all carrying the label `service`.
    #[must_use]
    pub fn new(service: &str) -> Self {
        let labels = [("service".to_owned(), service.to_owned())].into();
        let registry = Registry::new_custom(Some("flame".to_owned()), Some(labels)).expect("the prefix is valid");
        let requests = IntCounterVec::new(
            Opts::new("http_requests_total", "Requests answered, by method, route and status"),
            &["method", "route", "status"],
        )
        .expect("the name is valid");
        let times = HistogramVec::new(
            HistogramOpts::new("http_request_seconds", "Time from request head to response head")
                .buckets(TIME_BUCKETS_S.to_vec()),
            &["method", "route"],
        )
        .expect("the name is valid");
        let open = IntGauge::new("http_requests_open", "Requests in work").expect("the name is valid");
        let metrics = Self { registry, requests, times, open, exchanges: Exchanges::default() };
        metrics.register(metrics.requests.clone());
        metrics.register(metrics.times.clone());
        metrics.register(metrics.open.clone());
        metrics
    }

    /// Adds a measurement of the service's own (prefix `flame_` and label `service` are added).
    ///
    /// # Panics
    /// If two measurements have one name: a mistake in the program, found at its first start.
    pub fn register(&self, collector: impl prometheus::core::Collector + 'static) {
        self.registry.register(Box::new(collector)).expect("every measurement has a name of its own");
    }

    /// Requests answered, as they are reported: for those that a service answers on a listener of its own.
    #[must_use]
    pub fn exchanges(&self) -> &Exchanges {
        &self.exchanges
    }

    pub(crate) fn open(&self) -> &IntGauge {
        &self.open
    }

    pub(crate) fn answered(&self, method: &str, route: &str, status: u16, seconds: f64) {
        self.requests.with_label_values(&[method, route, &status.to_string()]).inc();
        self.times.with_label_values(&[method, route]).observe(seconds);
    }

    /// The text that Prometheus scrapes.
    #[must_use]
    pub fn text(&self) -> String {
        let mut buffer = Vec::new();
        let written = TextEncoder::new().encode(&self.registry.gather(), &mut buffer);
        written.map_or_else(|error| format!("# {error}\n"), |()| String::from_utf8_lossy(&buffer).into_owned())
    }
}
