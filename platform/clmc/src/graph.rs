//! The graph: the network ([`network`]), and the time from every place in it to every endpoint and back ([`round_trip`]).
//!
//! Both are pure; this file is the thin part. It reads the site file and what the store has of the last minute: latencies
//! (`network_delays` with the tags `source` and `target` and the field `delay`, `network` with the same tags and the field
//! `latency`, both in milliseconds, one way), and every measurement that has what FLAME asks of one for this. It never
//! measures anything.

pub mod network;
pub mod round_trip;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use flame_api::clmc::{NetworkGraph, NodeKind, RoundTrip};
use flame_naming::site::{SiteError, Sites};
use flame_service_host::auth::DEFAULT_TENANT;
use flame_service_host::problem::chain;
use flame_telemetry::Value;
use flame_telemetry::line::Line;
use tokio_util::sync::CancellationToken;

use crate::config::GraphConfig;
use crate::keeper::Keeper;
use crate::now_ns;
use crate::series::{Column, Series, Tags};
use crate::store::{ScanError, Selection, Store, StoreError};
use network::{Measured, Network};
use round_trip::{Answered, Endpoint, FIELDS, TooMany, WEIGHT, Wanted};

/// The measurement that round-trip times are written as.
pub const MEASUREMENT: &str = "round_trip";
/// Measurements of latencies, and the field of each, in milliseconds.
const LATENCIES: [(&str, &str); 2] = [("network", "latency"), ("network_delays", "delay")];

/// What it is made of. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Graph {
    config: Arc<GraphConfig>,
    sites: Arc<RwLock<Arc<Sites>>>,
}

/// Why the site file is not used.
#[derive(Debug, thiserror::Error)]
pub enum SitesError {
    /// It cannot be read.
    #[error("{} cannot be read", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What happened.
        #[source]
        source: std::io::Error,
    },
    /// It is wrong.
    #[error("{} cannot be used", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: SiteError,
    },
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// There is no such database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is stored was not read.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// There is too much to look at.
    #[error(transparent)]
    TooMany(#[from] TooMany),
}

/// The network, and who answered how.
struct State {
    network: Network,
    endpoints: BTreeMap<Endpoint, Answered>,
}

// === impl Graph ===

impl Graph {
    /// Reads the site file, if there is one.
    pub fn open(config: GraphConfig) -> Result<Self, SitesError> {
        let sites = read_sites(config.sites.as_deref())?;
        Ok(Self { config: Arc::new(config), sites: Arc::new(RwLock::new(Arc::new(sites))) })
    }

    /// Reads the site file again; one that is wrong changes nothing.
    pub fn reload(&self) -> Result<(), String> {
        let sites = read_sites(self.config.sites.as_deref()).map_err(|error| chain(&error))?;
        *self.sites.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(sites);
        Ok(())
    }

    /// The network as the chain of `database` meets with it.
    pub fn network(&self, store: &Store, tenant: &str, database: &str) -> Result<NetworkGraph, GraphError> {
        Ok(self.state(store, tenant, database, now_ns())?.network.shown())
    }

    /// Round-trip times of the pairs that are wanted.
    pub fn round_trips(
        &self,
        store: &Store,
        tenant: &str,
        database: &str,
        wanted: &Wanted,
    ) -> Result<Vec<RoundTrip>, GraphError> {
        let State { network, endpoints } = self.state(store, tenant, database, now_ns())?;
        Ok(round_trip::round_trips(&network, &endpoints, wanted, self.config.pairs)?)
    }

    /// Writes all round-trip times of all databases every interval, until `stop`.
    pub async fn write(self, keeper: Keeper, stop: CancellationToken) {
        if self.config.interval.0 == Duration::ZERO {
            return stop.cancelled().await;
        }
        let mut tick = tokio::time::interval(self.config.interval.0);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            let (graph, keeper) = (self.clone(), keeper.clone());
            let written = tokio::task::spawn_blocking(move || graph.write_once(&keeper)).await;
            if let Err(error) = written {
                tracing::error!(error = chain(&error), "round-trip times were not written");
            }
        }
    }

    fn write_once(&self, keeper: &Keeper) {
        for (tenant, database) in keeper.store().all() {
            let now_ns = now_ns();
            let trips = self.round_trips(keeper.store(), &tenant, &database, &Wanted::default());
            let written = trips.and_then(|trips| {
                let lines: Vec<_> = trips.iter().map(|trip| (line(trip), now_ns)).collect();
                if lines.is_empty() {
                    Ok(())
                } else {
                    Ok(keeper.write(&tenant, &database, &lines, now_ns).map(drop)?)
                }
            });
            if let Err(error) = written {
                tracing::warn!(error = chain(&error), database, "round-trip times were not written");
            }
        }
    }

    fn state(&self, store: &Store, tenant: &str, database: &str, now_ns: i64) -> Result<State, GraphError> {
        let window_ns = i64::try_from(self.config.window.0.as_nanos()).unwrap_or(i64::MAX);
        let read = |tenant: &str, database: &str, measurement: &str, fields: &[&str]| {
            let fields: BTreeSet<String> = fields.iter().map(|name| (*name).to_owned()).collect();
            let every = |_: &Tags| true;
            let selection = Selection {
                measurement,
                series: &every,
                fields: Some(&fields),
                from_ns: now_ns.saturating_sub(window_ns),
                to_ns: now_ns,
            };
            store.read(tenant, database, selection, (now_ns, self.config.values_max))
        };
        // Says whether there is such a database.
        let measurements = store.measurements(tenant, database)?;
        let mut measured = Vec::new();
        let places = [(DEFAULT_TENANT, self.config.database.as_str()), (tenant, database)];
        // What the chain itself measured holds; it is read once where it is both.
        let places = if places[0] == places[1] { &places[1..] } else { &places[..] };
        for (tenant, database) in places.iter().copied() {
            for (measurement, field) in LATENCIES {
                for series in read(tenant, database, measurement, &[field])? {
                    measured.extend(latency(&series, field));
                }
            }
        }
        let mut endpoints: BTreeMap<Endpoint, Answered> = BTreeMap::new();
        for measurement in measurements {
            let shape = store.shape(tenant, database, &measurement)?.unwrap_or_default();
            if !FIELDS.iter().all(|field| shape.fields.contains_key(*field)) {
                continue;
            }
            let [time, request, response] = FIELDS;
            for series in read(tenant, database, &measurement, &[time, request, response, WEIGHT])? {
                endpoints.entry(Endpoint::of(&measurement, &series.tags)).or_default().add(&series.columns);
            }
        }
        let sites = Arc::clone(&self.sites.read().unwrap_or_else(PoisonError::into_inner));
        let mut network = Network::new(&sites, &measured);
        for location in endpoints.keys().filter_map(Endpoint::location) {
            network.place(location, NodeKind::Location);
        }
        Ok(State { network, endpoints })
    }
}

fn read_sites(path: Option<&Path>) -> Result<Sites, SitesError> {
    let Some(path) = path.map(Path::to_path_buf) else { return Ok(Sites::default()) };
    match std::fs::read_to_string(&path) {
        Ok(text) => text.parse().map_err(|source| SitesError::Content { path, source }),
        Err(source) => Err(SitesError::File { path, source }),
    }
}

/// The mean latency of a series, where its tags say between what.
fn latency(series: &Series, field: &str) -> Option<Measured> {
    let (source, target) = (series.tags.get("source")?, series.tags.get("target")?);
    Measured::new(source, target, mean(series.columns.get(field)?)?)
}

#[allow(clippy::cast_precision_loss, reason = "a mean of counts that a window bounds")]
fn mean(column: &Column) -> Option<f64> {
    let numbers: Vec<f64> = column.iter().filter_map(|(_, value)| value.number()).collect();
    (!numbers.is_empty()).then(|| numbers.iter().sum::<f64>() / numbers.len() as f64)
}

/// A round-trip time as a point.
fn line(trip: &RoundTrip) -> Line<'_> {
    let own = [("service", trip.service.as_str()), ("source", trip.source.as_str())];
    let context = trip.tags.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let tags = context.chain(own).filter(|(_, value)| !value.is_empty());
    let fields = [
        ("forward_ms", trip.forward_ms),
        ("response_ms", trip.response_ms),
        ("back_ms", trip.back_ms),
        ("round_trip_ms", trip.round_trip_ms),
        ("transfer_ms", trip.transfer_ms),
    ];
    Line {
        measurement: Cow::Borrowed(MEASUREMENT),
        tags: tags.map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value))).collect(),
        fields: fields.map(|(name, value)| (Cow::Borrowed(name), Value::Float(value))).into(),
        time: None,
    }
}
