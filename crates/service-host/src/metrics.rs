//! `/metrics` for Prometheus: requests by route and status, times, and what a service adds itself.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

use crate::telemetry::Exchanges;

/// The bounds of the request time histogram, seconds.
const TIME_BUCKETS_S: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// Labels whose counters a thread has at hand: of few routes most requests are.
const AT_HAND: usize = 8;

/// Tells the measurements of one service in this process from those of another.
static MADE: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// So that a request looks nothing up that other threads look up, too.
    static COUNTERS: RefCell<Vec<Counters>> = const { RefCell::new(Vec::new()) };
}

/// Where requests of the same labels are counted.
struct Counters {
    of: u64,
    method: String,
    route: String,
    status: u16,
    requests: IntCounter,
    times: Histogram,
}

/// The measurements of one service.
#[derive(Debug, Clone)]
pub struct Metrics {
    number: u64,
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
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let metrics = Self { number, registry, requests, times, open, exchanges: Exchanges::default() };
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
        COUNTERS.with_borrow_mut(|known| {
            let is_it = |one: &Counters| {
                one.of == self.number && one.status == status && one.route == route && one.method == method
            };
            let at = known.iter().position(is_it).unwrap_or_else(|| {
                if known.len() >= AT_HAND {
                    known.remove(0);
                }
                known.push(self.counters(method, route, status));
                known.len() - 1
            });
            known[at].requests.inc();
            known[at].times.observe(seconds);
        });
    }

    fn counters(&self, method: &str, route: &str, status: u16) -> Counters {
        let requests = self.requests.with_label_values(&[method, route, &status.to_string()]);
        let times = self.times.with_label_values(&[method, route]);
        Counters { of: self.number, method: method.to_owned(), route: route.to_owned(), status, requests, times }
    }

    /// The text that Prometheus scrapes.
    #[must_use]
    pub fn text(&self) -> String {
        let mut buffer = Vec::new();
        let written = TextEncoder::new().encode(&self.registry.gather(), &mut buffer);
        written.map_or_else(|error| format!("# {error}\n"), |()| String::from_utf8_lossy(&buffer).into_owned())
    }
}
