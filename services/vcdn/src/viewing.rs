//! How viewers fare, by asset: what their players report (CMCD), added up. Bounded: sessions are remembered up to a number, and
//! assets share the bound of all counters. Apart from assets it is counted whose word weighs how much, which is what sites are judged by.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use flame_api::vcdn::Viewing;
use quick_cache::UnitWeighter;
use quick_cache::sync::Cache;

use crate::rules::cmcd::{Report, Speaker, Voices};
use crate::shelf::count;

/// A session counts once in so long.
const WINDOW_MS: u64 = 4_000;

/// What the players of one asset report.
#[derive(Debug, Default)]
pub(crate) struct ViewingCounters {
    reports: AtomicU64,
    damaged: AtomicU64,
    sessions: AtomicU64,
    starved_sessions: AtomicU64,
    starvations: AtomicU64,
    rebuffering: AtomicU64,
    errors: AtomicU64,
    throughput_kbps: Mean,
    bitrate_kbps: Mean,
    buffer_ms: Mean,
    start_delay_ms: Mean,
}

/// Sum and number.
#[derive(Debug, Default)]
struct Mean {
    sum: AtomicU64,
    number: AtomicU64,
}

/// Sessions that are remembered: one that is forgotten and comes back counts as another.
#[derive(Debug)]
pub(crate) struct Sessions {
    known: Cache<u64, Arc<AtomicBool>, UnitWeighter>,
    voices: Mutex<Voices>,
    began: Instant,
}

// === impl Sessions ===

impl Sessions {
    /// So many are remembered, and of one address so many are heard at a time.
    pub(crate) fn new(max: usize, of_an_address: u32) -> Self {
        let voices = Mutex::new(Voices::new(of_an_address));
        Self { known: Cache::new(max), voices, began: Instant::now() }
    }

    /// Sessions that were heard, and those of them that complained.
    pub(crate) fn voices(&self) -> (u64, u64) {
        self.voices.lock().unwrap_or_else(PoisonError::into_inner).counted()
    }

    fn hear(&self, report: &Report, address: Option<IpAddr>) {
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let speaker = Speaker { session: report.session.as_deref(), address };
        // Nothing under the lock panics half-way.
        let mut voices = self.voices.lock().unwrap_or_else(PoisonError::into_inner);
        voices.hear(now_ms, WINDOW_MS, speaker, report.complains());
    }

    /// Adds a report on `asset` to `counters`, that somebody at `address` makes.
    pub(crate) fn note(&self, asset: &str, report: &Report, address: Option<IpAddr>, counters: &ViewingCounters) {
        self.hear(report, address);
        count(&counters.reports, 1);
        count(&counters.starvations, report.is_starved.into());
        count(&counters.rebuffering, report.is_rebuffering.into());
        count(&counters.errors, report.is_error.into());
        counters.throughput_kbps.add(report.throughput_kbps);
        counters.bitrate_kbps.add(report.bitrate_kbps);
        counters.buffer_ms.add(report.buffer_ms);
        counters.start_delay_ms.add(report.start_delay_ms);
        let Some(session) = &report.session else { return };
        let mut hasher = DefaultHasher::new();
        (asset, session).hash(&mut hasher);
        let key = hasher.finish();
        let was_starved = self.known.get(&key).unwrap_or_else(|| {
            count(&counters.sessions, 1);
            let fresh = Arc::new(AtomicBool::new(false));
            self.known.insert(key, Arc::clone(&fresh));
            fresh
        });
        if (report.is_starved || report.is_rebuffering) && !was_starved.swap(true, Ordering::Relaxed) {
            count(&counters.starved_sessions, 1);
        }
    }
}

// === impl ViewingCounters ===

impl ViewingCounters {
    /// Adds what `other` counted.
    pub(crate) fn absorb(&self, other: &Self) {
        let Self {
            reports,
            damaged,
            sessions,
            starved_sessions,
            starvations,
            rebuffering,
            errors,
            throughput_kbps,
            ..
        } = other;
        for (counter, value) in [
            (&self.reports, reports),
            (&self.damaged, damaged),
            (&self.sessions, sessions),
            (&self.starved_sessions, starved_sessions),
            (&self.starvations, starvations),
            (&self.rebuffering, rebuffering),
            (&self.errors, errors),
        ] {
            count(counter, value.load(Ordering::Relaxed));
        }
        self.throughput_kbps.absorb(throughput_kbps);
        self.bitrate_kbps.absorb(&other.bitrate_kbps);
        self.buffer_ms.absorb(&other.buffer_ms);
        self.start_delay_ms.absorb(&other.start_delay_ms);
    }

    /// Notes text that is no report.
    pub(crate) fn damaged(&self, reports: u64) {
        count(&self.damaged, reports);
    }

    /// The figures; `None` where no player ever said anything.
    pub(crate) fn read(&self) -> Option<Viewing> {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let viewing = Viewing {
            reports: get(&self.reports),
            damaged: get(&self.damaged),
            sessions: get(&self.sessions),
            starved_sessions: get(&self.starved_sessions),
            starvations: get(&self.starvations),
            rebuffering: get(&self.rebuffering),
            errors: get(&self.errors),
            throughput_kbps: self.throughput_kbps.read(),
            bitrate_kbps: self.bitrate_kbps.read(),
            buffer_ms: self.buffer_ms.read(),
            start_delay_ms: self.start_delay_ms.read(),
        };
        (viewing.reports + viewing.damaged > 0).then_some(viewing)
    }
}

// === impl Mean ===

impl Mean {
    fn add(&self, value: Option<u64>) {
        // A player that is out of its mind must not drown the others.
        if let Some(value) = value.filter(|value| *value < 1 << 32) {
            count(&self.sum, value);
            count(&self.number, 1);
        }
    }

    fn absorb(&self, other: &Self) {
        count(&self.sum, other.sum.load(Ordering::Relaxed));
        count(&self.number, other.number.load(Ordering::Relaxed));
    }

    fn read(&self) -> Option<u64> {
        self.sum.load(Ordering::Relaxed).checked_div(self.number.load(Ordering::Relaxed))
    }
}
