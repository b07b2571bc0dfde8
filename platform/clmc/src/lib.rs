//! CLMC, cross-layer management and control: takes the measurements of all endpoints, keeps a bounded window of them, and
//! answers questions.
//!
//! It speaks as InfluxDB 1.x does, so that Telegraf, Grafana and the client libraries of others work with it unchanged; where
//! more than a window is needed, a real store takes its place. It measures nothing itself but what it does.
//!
//! Reading order: [`config`], `intake` (what a body of lines says), `series`, `store`, `keeper` and `forward` (other stores are told
//! the same), then `query`, `alerts` and `graph`, and `http`, which speaks.

mod alerts;
pub mod config;
mod forward;
mod graph;
mod http;
mod intake;
mod keeper;
mod query;
mod series;
mod store;

pub use config::Config;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use flame_service_host::{Host, Routes, Running, StartError};
use prometheus::{IntCounter, IntGauge};
use tokio::sync::Semaphore;

use alerts::{Alerts, Messenger};
use config::{QueryConfig, WriteConfig};
use forward::{Forward, Tally};
use graph::Graph;
use keeper::Keeper;
use store::Store;

/// The service's name, where nothing else is configured.
const NAME: &str = "clmc";
/// How often what is too old is looked for, and figures are set.
const TIDY_EVERY: Duration = Duration::from_secs(30);

/// What handlers share. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Clmc {
    store: Store,
    keeper: Keeper,
    graph: Graph,
    alerts: Alerts,
    write: Arc<WriteConfig>,
    query: Arc<QueryConfig>,
    writing: Arc<Semaphore>,
    asking: Arc<Semaphore>,
    accepted: IntCounter,
    rejected: IntCounter,
}

/// Opens the store, and serves.
pub async fn start(config: Config) -> Result<Running, StartError> {
    let mut host = Host::bind(NAME, &config.host).await?;
    let settings = config.store.clone();
    let opened = tokio::task::spawn_blocking(move || Store::open(&settings)).await;
    let store = opened.map_err(|error| open(Box::new(error)))?.map_err(|error| open(Box::new(error)))?;
    host.guard_disk(config.store.folder.clone());
    let (folder, settings) = (config.store.folder.clone(), config.alerts.clone());
    let opened = tokio::task::spawn_blocking(move || Alerts::open(folder, settings)).await;
    let alerts = opened.map_err(|error| open(Box::new(error)))?.map_err(|error| open(Box::new(error)))?;
    let count = |name: &str, about: &str| {
        let counter = IntCounter::new(name, about).expect("the name is valid");
        host.metrics().register(counter.clone());
        counter
    };
    let gauge = |name: &str, about: &str| {
        let gauge = IntGauge::new(name, about).expect("the name is valid");
        host.metrics().register(gauge.clone());
        gauge
    };
    let graph = Graph::open(config.graph.clone());
    let graph =
        graph.map_err(|error| StartError::Open { service: NAME, what: "site file", source: Box::new(error) })?;
    let tally = Tally {
        sent: count("forward_points_sent_total", "Points that stores outside were told"),
        dropped: count(
            "forward_points_dropped_total",
            "Points that stores outside were not told: there was no room, or they refused",
        ),
        waiting: gauge("forward_bytes_waiting", "Bytes of lines that wait for stores outside"),
    };
    let forwards: Vec<Forward> = config.forward.iter().map(|one| Forward::new(one.clone(), tally.clone())).collect();
    let keeper = Keeper::new(store.clone(), forwards.clone());
    let clmc = Clmc {
        store: store.clone(),
        keeper: keeper.clone(),
        graph: graph.clone(),
        alerts: alerts.clone(),
        writing: Arc::new(Semaphore::new(config.write.at_once)),
        asking: Arc::new(Semaphore::new(config.query.at_once)),
        accepted: count("points_accepted_total", "Points that were taken"),
        rejected: count("points_rejected_total", "Points and lines that were refused"),
        write: Arc::new(config.write),
        query: Arc::new(config.query),
    };
    let messenger = Messenger {
        client: host.client(),
        delivered: count("alert_messages_delivered_total", "Messages of alerts that were taken"),
        given_up: count("alert_messages_given_up_total", "Messages of alerts that nobody took"),
    };
    let gauges = [
        gauge("store_databases", "Databases"),
        gauge("store_series", "Series of all databases"),
        gauge("store_bytes", "Bytes of points on disk"),
    ];
    for forward in forwards {
        host.spawn("forward", move |stop| forward.run(stop));
    }
    let read_again = graph.clone();
    host.on_reload(move || read_again.reload());
    host.spawn("graph", move |stop| graph.write(keeper, stop));
    let watched = store.clone();
    host.spawn("alerts", move |stop| alerts.watch(watched, messenger, stop));
    host.spawn("tidy", move |stop| async move {
        while stop.run_until_cancelled(tokio::time::sleep(TIDY_EVERY)).await.is_some() {
            let store = store.clone();
            let figures = tokio::task::spawn_blocking(move || {
                store.tidy(now_ns());
                store.figures()
            });
            if let Ok(figures) = figures.await {
                let counts = [figures.databases as u64, figures.series as u64, figures.bytes];
                gauges.iter().zip(counts).for_each(|(gauge, count)| gauge.set(count.cast_signed()));
            }
        }
    });
    let (private, public) = http::routes(clmc);
    Ok(host.serve(Routes { private, public }))
}

fn open(source: Box<dyn std::error::Error + Send + Sync>) -> StartError {
    StartError::Open { service: NAME, what: "store", source }
}

/// Nanoseconds since 1970.
pub(crate) fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
