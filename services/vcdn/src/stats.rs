//! What was asked for and how it was answered, by asset and in sum. Counters only; nobody waits for them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

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

/// The counters of one name's assets, bounded: when there are too many, those that were asked for least recently are counted
/// together from then on.
#[derive(Debug)]
pub(crate) struct Assets {
    max: usize,
    known: RwLock<HashMap<Box<str>, Known>>,
    /// How many assets were seen for the first time: the clock that says which was asked for last.
    seen: AtomicU64,
    others: Arc<AssetCounters>,
    /// What has no place any more and is still counted at, by answers on their way and by what is kept.
    retired: Mutex<Vec<Arc<AssetCounters>>>,
}

#[derive(Debug)]
struct Known {
    counters: Arc<AssetCounters>,
    asked_at: AtomicU64,
}

/// The share of the bound that makes room at once, as a divisor: looking for the oldest ones costs a look at all.
const GO_AT_ONCE: usize = 16;

/// What the assets beyond the bound are listed as.
pub(crate) const OTHERS: &str = "(others)";

/// The asset that a path belongs to: its first segment.
pub(crate) fn asset(path: &str) -> &str {
    path.trim_start_matches('/').split(['/', '?']).next().unwrap_or_default()
}

// === impl Assets ===

impl Assets {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            known: RwLock::default(),
            seen: AtomicU64::new(0),
            others: Arc::default(),
            retired: Mutex::default(),
        }
    }

    /// The counters of the asset that `path` belongs to.
    pub(crate) fn of(&self, path: &str) -> Arc<AssetCounters> {
        let asset = asset(path);
        if let Some(counters) = self.known(asset) {
            return counters;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= self.max && !known.contains_key(asset) {
            self.make_room(&mut known);
        }
        let asked_at = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
        let fresh = || Known { counters: Arc::default(), asked_at: AtomicU64::new(asked_at) };
        Arc::clone(&known.entry(asset.into()).or_insert_with(fresh).counters)
    }

    /// The counters of an asset that anybody says that he watches: they are its own only if it was asked for.
    pub(crate) fn of_said(&self, path: &str) -> Arc<AssetCounters> {
        self.known(asset(path)).unwrap_or_else(|| Arc::clone(&self.others))
    }

    fn known(&self, asset: &str) -> Option<Arc<AssetCounters>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let Known { counters, asked_at } = known.get(asset)?;
        let now = self.seen.load(Ordering::Relaxed);
        // Mostly it is there already, and a write would take the line from other threads.
        if asked_at.load(Ordering::Relaxed) != now {
            asked_at.store(now, Ordering::Relaxed);
        }
        Some(Arc::clone(counters))
    }

    /// Counts those together that were asked for least recently.
    fn make_room(&self, known: &mut HashMap<Box<str>, Known>) {
        let mut oldest: Vec<_> =
            known.iter().map(|(asset, one)| (one.asked_at.load(Ordering::Relaxed), asset.clone())).collect();
        oldest.sort_unstable();
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = oldest.into_iter().take((self.max / GO_AT_ONCE).max(1));
        retired.extend(gone.filter_map(|(_, asset)| known.remove(&asset)).map(|gone| gone.counters));
        self.absorb_retired(&mut retired);
    }

    /// Adds to the others what nobody counts at any more.
    fn absorb_retired(&self, retired: &mut Vec<Arc<AssetCounters>>) {
        retired.retain(|one| {
            let is_over = Arc::strong_count(one) == 1;
            if is_over {
                self.others.absorb(one);
            }
            !is_over
        });
    }

    /// All figures, those with the most bytes sent first.
    pub(crate) fn list(&self) -> Vec<(String, Figures, Option<Viewing>)> {
        let read = |asset: &str, counters: &AssetCounters| (asset.to_owned(), counters.read(), counters.viewing.read());
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<_> = known.iter().map(|(asset, one)| read(asset, &one.counters)).collect();
        drop(known);
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        self.absorb_retired(&mut retired);
        let all = AssetCounters::default();
        retired.iter().chain([&self.others]).for_each(|one| all.absorb(one));
        drop(retired);
        let others = read(OTHERS, &all);
        if others.1 != Figures::default() || others.2.is_some() {
            list.push(others);
        }
        list.sort_by(|a, b| b.1.sent_bytes.cmp(&a.1.sent_bytes).then_with(|| a.0.cmp(&b.0)));
        list
    }
}

// === impl AssetCounters ===

impl AssetCounters {
    /// Adds what `other` counted.
    fn absorb(&self, other: &Self) {
        let Figures { hits, misses, collapsed, stale, passed, errors, abandoned, sent_bytes, fetched_bytes, fetches } =
            other.read();
        for (counter, value) in [
            (&self.hits, hits),
            (&self.misses, misses),
            (&self.collapsed, collapsed),
            (&self.stale, stale),
            (&self.passed, passed),
            (&self.errors, errors),
            (&self.abandoned, abandoned),
            (&self.sent_bytes, sent_bytes),
            (&self.fetched_bytes, fetched_bytes),
            (&self.fetches, fetches),
        ] {
            counter.fetch_add(value, Ordering::Relaxed);
        }
        self.viewing.absorb(&other.viewing);
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_do_not_take_the_counters_of_what_is_watched() {
        let assets = Assets::new(64);
        for stranger in 0..1000 {
            assets.of(&format!("/film/{stranger}.m4s")).hits.fetch_add(1, Ordering::Relaxed);
            assets.of(&format!("/scan-{stranger}/x")).errors.fetch_add(1, Ordering::Relaxed);
            assets.of_said(&format!("/said-{stranger}/")).viewing.damaged(1);
        }
        assets.of("/late/1.m4s").hits.fetch_add(1, Ordering::Relaxed);
        let list = assets.list();
        let hits = |asset: &str| list.iter().find(|(name, ..)| name == asset).map(|(_, figures, _)| figures.hits);
        assert_eq!((hits("film"), hits("late")), (Some(1000), Some(1)), "{list:?}");
        assert!(list.len() <= 65 && !list.iter().any(|(name, ..)| name.starts_with("said-")), "{list:?}");
        let (mut sum, mut damaged) = (Figures::default(), 0);
        for (_, figures, viewing) in &list {
            sum.add(figures);
            damaged += viewing.as_ref().map_or(0, |viewing| viewing.damaged);
        }
        assert_eq!((sum.hits, sum.errors, damaged), (1001, 1000, 1000), "nothing that was counted is lost");
    }

    #[test]
    fn what_is_counted_after_its_place_is_gone_is_counted_with_the_others() {
        let assets = Assets::new(2);
        let (one, _other) = (assets.of("/a"), assets.of("/b"));
        assets.of("/c").hits.fetch_add(1, Ordering::Relaxed);
        let hits = || -> Vec<_> { assets.list().into_iter().map(|(name, figures, _)| (name, figures.hits)).collect() };
        one.hits.fetch_add(2, Ordering::Relaxed);
        assert!(hits().contains(&(OTHERS.to_owned(), 2)), "{:?}", hits());
        drop(one);
        for _ in 0..2 {
            assert!(hits().contains(&(OTHERS.to_owned(), 2)) && hits().contains(&("c".to_owned(), 1)), "{:?}", hits());
        }
    }
}
