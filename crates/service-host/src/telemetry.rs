//! What every service reports of itself, without code of its own: how it answers, and in which state it is.
//!
//! - One measurement called as the service: `response_time` (seconds), `request_size`, `response_size` (bytes), each the mean
//!   of the requests answered in the interval, with how many there were. Without requests: only that there were none.
//! - `endpoint_config`: how long the endpoint was in which state, looked at ten times a second.
//! - `cpu`, `mem`, `system`, `disk`, `diskio`, `net`: the machine, once for all services of the process.
//!
//! All carry the context tags. Points go to CLMC, by name through the router, or to a URL that takes line protocol. What
//! cannot be sent waits in a bounded buffer; a request never waits for its being measured.

mod machine;

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use axum::body::Bytes;
use flame_api::Client;
use flame_api::client::Transport;
use flame_telemetry::reporter::{Refusal, reporter};
use flame_telemetry::states::{ENDPOINT, LOOKS_PER_S, States};
use flame_telemetry::{Context, Point, Tag};
use prometheus::IntGauge;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::config::Span;
use crate::disk::DiskGuard;
use crate::metrics::Metrics;
use machine::Machine;

/// The name that measurements are sent to.
const COLLECTOR: &str = "clmc";
/// Time that one sending may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// `[host.telemetry]`: where a service reports to. Without the section it reports nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// Where line protocol is taken: `http://telegraf:8186/write`. Without it, CLMC is asked by name through the router.
    pub url: Option<Url>,
    /// The database; by default it is called as the service function chain (`FLAME_SFC`).
    pub database: Option<String>,
    /// The site that measurements are of, where the environment says none (`FLAME_LOCATION`); `local` by default.
    pub location: Option<String>,
    /// How often is reported.
    pub interval: Span,
    /// Points that wait while nobody takes them; beyond it the oldest go.
    pub buffer: usize,
}

/// The state of an endpoint, as FLAME's life cycle has it. Shared with whoever changes it.
#[derive(Debug, Clone)]
pub(crate) struct Stage(Arc<AtomicUsize>);

/// Requests that were answered since they were last reported.
#[derive(Debug, Clone, Default)]
pub struct Exchanges(Arc<Mutex<Sums>>);

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    count: u64,
    errors: u64,
    seconds: f64,
    seconds_max: f64,
    request_bytes: u64,
    response_bytes: u64,
    /// Answers whose length was known when they began.
    sized: u64,
}

/// What a service is to those who collect.
pub(crate) struct Reported {
    pub service: &'static str,
    /// The name that it is registered under.
    pub name: String,
    pub config: TelemetryConfig,
    pub client: Option<Client>,
    pub metrics: Metrics,
    pub stage: Stage,
    /// The disk that it keeps its data on.
    pub disk: Option<DiskGuard>,
}

// === impl TelemetryConfig ===

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { url: None, database: None, location: None, interval: Span(Duration::from_secs(10)), buffer: 10_000 }
    }
}

// === impl Stage ===

impl Default for Stage {
    fn default() -> Self {
        let stage = Self(Arc::default());
        stage.set("booting");
        stage
    }
}

impl Stage {
    /// The endpoint is in `state` from now on.
    pub fn set(&self, state: &str) {
        let number = ENDPOINT.iter().position(|name| *name == state);
        self.0.store(number.unwrap_or_default(), Ordering::Relaxed);
    }

    fn get(&self) -> &'static str {
        ENDPOINT.get(self.0.load(Ordering::Relaxed)).copied().unwrap_or(ENDPOINT[0])
    }
}

// === impl Exchanges ===

impl Exchanges {
    /// Counts a request that was answered, or was not. `response_bytes` is `None` where the length is not known.
    pub fn count(&self, status: u16, time: Duration, request_bytes: u64, response_bytes: Option<u64>) {
        let mut sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sums.count += 1;
        sums.errors += u64::from(status >= 500);
        sums.seconds += time.as_secs_f64();
        sums.seconds_max = sums.seconds_max.max(time.as_secs_f64());
        sums.request_bytes += request_bytes;
        if let Some(bytes) = response_bytes {
            sums.response_bytes += bytes;
            sums.sized += 1;
        }
    }

    /// Adds them to a point, and begins anew.
    #[allow(clippy::cast_precision_loss, reason = "means of counts")]
    fn report(&self, point: Point) -> Point {
        let sums = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mean = |sum: u64, count: u64| if count == 0 { 0.0 } else { sum as f64 / count as f64 };
        let point = point.field("requests", sums.count).field("errors", sums.errors);
        if sums.count == 0 {
            return point;
        }
        point
            .field("response_time", sums.seconds / sums.count as f64)
            .field("response_time_max", sums.seconds_max)
            .field("request_size", mean(sums.request_bytes, sums.count))
            .field("response_size", mean(sums.response_bytes, sums.sized))
    }
}

// === impl Reported ===

impl Reported {
    fn context(&self) -> Context {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Context::of(|variable| std::env::var(variable).ok())
            .or(Tag::Location, self.config.location.as_deref().unwrap_or("local"))
            .or(Tag::Server, &host)
            .or(Tag::Chain, "flame")
            .or(Tag::ChainInstance, "main")
            .or(Tag::Package, self.service)
            .or(Tag::Function, &self.name)
            .or(Tag::Endpoint, &self.name)
            .or(Tag::Tenant, crate::auth::DEFAULT_TENANT)
    }

    /// Reports every interval until `stop`, and once more then.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let context = self.context();
        let Self { service, config, client, metrics, stage, disk, .. } = self;
        let database =
            config.database.clone().or_else(|| context.get(Tag::Chain).map(str::to_owned)).unwrap_or_default();
        let request: Box<dyn Fn() -> RequestBuilder + Send + Sync> = match (config.url.clone(), client) {
            (Some(url), _) => {
                let http = Transport::default().http();
                Box::new(move || http.post(url.clone()))
            }
            (None, Some(client)) => Box::new(move || client.request(Method::POST, COLLECTOR, "write")),
            (None, None) => {
                return tracing::warn!(
                    service,
                    "[host.telemetry] has no `url`, and [host] no `router`: nothing is reported"
                );
            }
        };
        let gauges = ["sent", "dropped", "waiting"].map(|what| {
            let gauge = IntGauge::new(format!("telemetry_points_{what}"), format!("Points that were {what} so far"));
            let gauge = gauge.expect("the name is valid");
            metrics.register(gauge.clone());
            gauge
        });
        let (reporter, outbox) = reporter(config.buffer, config.interval.0);
        let began = Instant::now();
        let since_ns = move || i64::try_from(began.elapsed().as_nanos()).unwrap_or(i64::MAX);
        let states = Arc::new(Mutex::new(States::new(&ENDPOINT, stage.get(), 0)));
        let looking = {
            let (states, stage, stop) = (Arc::clone(&states), stage.clone(), stop.clone());
            async move {
                let mut tick = tokio::time::interval(Duration::from_secs(1) / LOOKS_PER_S);
                tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                while stop.run_until_cancelled(tick.tick()).await.is_some() {
                    states.lock().unwrap_or_else(PoisonError::into_inner).look(stage.get(), since_ns());
                }
            }
        };
        let collect = {
            let exchanges = metrics.exchanges().clone();
            let storage_bytes = disk.as_ref().and_then(DiskGuard::total_bytes);
            let mut machine = Machine::new(&context, config.interval.0, disk);
            move || {
                let now_ns = unix_ns();
                let mut states = states.lock().unwrap_or_else(PoisonError::into_inner);
                states.look(stage.get(), since_ns());
                let state = states.report(Point::new("endpoint_config", &context, now_ns));
                let counts = reporter.counts();
                let counts = [counts.sent, counts.dropped, counts.waiting as u64];
                gauges.iter().zip(counts).for_each(|(gauge, count)| gauge.set(count.cast_signed()));
                let mut points = machine.points(now_ns);
                points.push(exchanges.report(Point::new(service, &context, now_ns)));
                points.push(with_resources(state, storage_bytes));
                points
            }
        };
        let is_taken = Mutex::new(true);
        let ends = stop.clone();
        let send = |lines: Bytes| {
            let request = request().query(&[("db", database.as_str())]).timeout(DEADLINE).body(lines);
            let (is_taken, ends) = (&is_taken, &ends);
            async move {
                let outcome = taken(request).await;
                // Once when it begins to fail, and once when it is well again. At the end whoever takes them may have gone first.
                let was_taken =
                    std::mem::replace(&mut *is_taken.lock().unwrap_or_else(PoisonError::into_inner), outcome.is_ok());
                match &outcome {
                    Err((_, reason)) if was_taken && !ends.is_cancelled() => {
                        tracing::warn!(service, reason, "measurements are not taken; trying on")
                    }
                    Ok(()) if !was_taken => tracing::info!(service, "measurements are taken again"),
                    Ok(()) | Err(_) => {}
                }
                outcome.map_err(|(refusal, _)| refusal)
            }
        };
        tokio::join!(looking, outbox.run(collect, send, stop));
    }
}

async fn taken(request: RequestBuilder) -> Result<(), (Refusal, String)> {
    let answer = request.send().await.map_err(|error| (Refusal::Later, crate::problem::chain(&error)))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    // A collector that has not come up, or whose name nobody has registered yet, is a matter of time.
    let never = [StatusCode::BAD_REQUEST, StatusCode::PAYLOAD_TOO_LARGE, StatusCode::UNPROCESSABLE_ENTITY];
    let refusal = if never.contains(&status) { Refusal::Never } else { Refusal::Later };
    Err((refusal, status.to_string()))
}

/// What the endpoint has: processors, bytes of memory, bytes of its disk.
fn with_resources(point: Point, storage_bytes: Option<u64>) -> Point {
    let cpus = std::thread::available_parallelism().map_or(1, NonZero::get) as u64;
    let machine = rustix::system::sysinfo();
    #[allow(clippy::useless_conversion, reason = "the width of these differs by architecture")]
    let memory_bytes = u64::from(machine.totalram).saturating_mul(u64::from(machine.mem_unit));
    point.field("cpus", cpus).field("memory", memory_bytes).field("storage", storage_bytes.unwrap_or_default())
}

fn unix_ns() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
