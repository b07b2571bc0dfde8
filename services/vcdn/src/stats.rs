//! What was asked for and how it was answered, by asset and in sum. Counters only; nobody waits for them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use flame_api::vcdn::{Figures, Viewing};
use flame_service_host::metrics::Metrics;
use prometheus::{IntGaugeVec, Opts};

use crate::Surrogate;
use crate::viewing::ViewingCounters;

/// Counters of one asset (the first segment of a path) behind one name.
#[derive(Debug, Default)]
pub(crate) struct AssetCounters {
    pub hits: AtomicU64,
    pub misses: AtomicU64,
    pub collapsed: AtomicU64,
    pub stale: AtomicU64,
    pub passed: AtomicU64,
    pub errors: AtomicU64,
    pub abandoned: AtomicU64,
    pub sent_bytes: AtomicU64,
    pub fetched_bytes: AtomicU64,
    pub fetches: AtomicU64,
    /// What its viewers' players report.
    pub viewing: ViewingCounters,
}

/// The counters of one name's assets, bounded: the first ones get their own, the rest share one.
#[derive(Debug)]
pub(crate) struct Assets {
    max: usize,
    known: RwLock<HashMap<Box<str>, Arc<AssetCounters>>>,
    others: Arc<AssetCounters>,
}

/// What the assets beyond the bound are listed as.
pub(crate) const OTHERS: &str = "(others)";

/// The asset that a path belongs to: its first segment.
pub(crate) fn asset(path: &str) -> &str {
    path.trim_start_matches('/').split(['/', '?']).next().unwrap_or_default()
}

// === impl Assets ===

impl Assets {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, known: RwLock::default(), others: Arc::default() }
    }

    /// The counters of the asset that `path` belongs to.
    pub(crate) fn of(&self, path: &str) -> Arc<AssetCounters> {
        let asset = asset(path);
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(counters) = known.get(asset) {
            return Arc::clone(counters);
        }
        drop(known);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= self.max && !known.contains_key(asset) {
            return Arc::clone(&self.others);
        }
        Arc::clone(known.entry(asset.into()).or_default())
    }

    /// All figures, those with the most bytes sent first.
    pub(crate) fn list(&self) -> Vec<(String, Figures, Option<Viewing>)> {
        let read = |asset: &str, counters: &AssetCounters| (asset.to_owned(), counters.read(), counters.viewing.read());
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<_> = known.iter().map(|(asset, counters)| read(asset, counters)).collect();
        drop(known);
        let others = read(OTHERS, &self.others);
        if others.1 != Figures::default() || others.2.is_some() {
            list.push(others);
        }
        list.sort_by(|a, b| b.1.sent_bytes.cmp(&a.1.sent_bytes).then_with(|| a.0.cmp(&b.0)));
        list
    }
}

// === impl AssetCounters ===

impl AssetCounters {
    pub(crate) fn read(&self) -> Figures {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            hits: get(&self.hits),
            misses: get(&self.misses),
            collapsed: get(&self.collapsed),
            stale: get(&self.stale),
            passed: get(&self.passed),
            errors: get(&self.errors),
            abandoned: get(&self.abandoned),
            sent_bytes: get(&self.sent_bytes),
            fetched_bytes: get(&self.fetched_bytes),
            fetches: get(&self.fetches),
        }
    }
}

/// The same figures where they are scraped.
#[derive(Debug)]
pub(crate) struct Gauges {
    requests: IntGaugeVec,
    bytes: IntGaugeVec,
    kept: IntGaugeVec,
    fills: IntGaugeVec,
}

// === impl Gauges ===

impl Gauges {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let vec = |name: &str, help: &str, labels: &[&str]| {
            let vec = IntGaugeVec::new(Opts::new(name, help), labels).expect("the name is valid");
            metrics.register(vec.clone());
            vec
        };
        Self {
            requests: vec(
                "vcdn_requests",
                "Requests since the start, by tenant and how they were answered",
                &["tenant", "answer"],
            ),
            bytes: vec(
                "vcdn_bytes",
                "Bytes of bodies since the start, by tenant and direction",
                &["tenant", "direction"],
            ),
            kept: vec("vcdn_kept", "What is kept now, by tenant, tier and unit", &["tenant", "tier", "unit"]),
            fills: vec("vcdn_fills", "Fills that run, by tenant", &["tenant"]),
        }
    }

    pub(crate) fn set(&self, surrogate: &Surrogate) {
        for (tenant, shelf) in surrogate.shelves.iter() {
            let mut sum = Figures::default();
            shelf.assets.list().iter().for_each(|(_, figures, _)| sum.add(figures));
            let set = |vec: &IntGaugeVec, labels: &[&str], value: u64| {
                vec.with_label_values(labels).set(i64::try_from(value).unwrap_or(i64::MAX));
            };
            for (answer, value) in [
                ("hit", sum.hits),
                ("miss", sum.misses),
                ("collapsed", sum.collapsed),
                ("stale", sum.stale),
                ("pass", sum.passed),
                ("error", sum.errors),
                ("abandoned", sum.abandoned),
                ("fetch", sum.fetches),
            ] {
                set(&self.requests, &[tenant, answer], value);
            }
            set(&self.bytes, &[tenant, "sent"], sum.sent_bytes);
            set(&self.bytes, &[tenant, "fetched"], sum.fetched_bytes);
            let [memory_objects, memory_bytes, disk_objects, disk_bytes] = shelf.size();
            set(&self.kept, &[tenant, "memory", "objects"], memory_objects);
            set(&self.kept, &[tenant, "memory", "bytes"], memory_bytes);
            set(&self.kept, &[tenant, "disk", "objects"], disk_objects);
            set(&self.kept, &[tenant, "disk", "bytes"], disk_bytes);
            set(&self.kept, &[tenant, "filling", "bytes"], shelf.filling_bytes());
            set(&self.fills, &[tenant], shelf.filling() as u64);
        }
    }
}
