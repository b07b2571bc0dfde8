//! When an answer is later than it should be, and how much may be asked twice.
//!
//! A request that waits longer than answers behind its name hardly ever take is sent to a second endpoint; the first
//! answer wins. What is asked again, late or broken, is paid from a token bucket: a share of the requests earns it, and
//! time a trickle, so that a service that is slow or failing as a whole is not buried under copies. Only the caller knows
//! which requests are safe to repeat.
//!
//! Some requests *wait*: their endpoint holds them until there is something to answer. How long that takes says nothing
//! of how it does, and a second endpoint would only be held, too.

use std::time::Duration;

use crate::health::Latency;
use crate::table::Moment;

/// Answers that must be known before their latency is trusted.
const SEEN_MIN: u32 = 8;
/// Before, this many times the shortest wait is used.
const UNKNOWN_FACTOR: u32 = 5;
/// Parts of a token that are counted.
const TOKEN: u64 = 1000;
/// An empty bucket is full after so long without any request.
const FILL_MS: u64 = 10_000;

/// How late is late, and how many requests are repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Shortest wait before a second endpoint is asked.
    pub hedge_min: Duration,
    /// Longest wait.
    pub hedge_max: Duration,
    /// Repeated requests of a hundred, in the long run.
    pub repeat_percent: u8,
    /// Repeated requests in a burst; as many are earned again in ten seconds without any request.
    pub burst: u16,
}

/// What is known of all requests behind one name at one site.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pace {
    latency: Latency,
    /// Parts of tokens that are missing in the bucket.
    missing: u64,
    filled: Moment,
}

/// Kinds of files that are sent in parts while they are made.
const PARTED: [&str; 9] = ["m4s", "mp4", "m4v", "m4a", "cmfv", "cmfa", "ts", "aac", "vtt"];

/// Whether a request for `path_and_query` may wait at its endpoint: a blocking reload of a playlist (`_HLS_msn`, RFC 8216bis
/// section 6.2.5.2), or a part of a segment, which clients ask for when it is only announced (`EXT-X-PRELOAD-HINT`, section
/// 4.4.5.3). A part is told by its name, of which the segment's and the part's number are the end: `9.2.m4s`.
#[must_use]
pub fn is_wait(path_and_query: &str) -> bool {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    if query.split('&').any(|field| field.split('=').next() == Some("_HLS_msn")) {
        return true;
    }
    let mut from_behind = path.rsplit('/').next().unwrap_or_default().rsplitn(3, '.');
    let (kind, part, segment) = (from_behind.next(), from_behind.next(), from_behind.next());
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    kind.is_some_and(|kind| PARTED.contains(&kind))
        && part.is_some_and(is_number)
        && segment.is_some_and(|segment| segment.ends_with(|last: char| last.is_ascii_digit()))
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self { hedge_min: ms(20), hedge_max: ms(1000), repeat_percent: 20, burst: 100 }
    }
}

// === impl Pace ===

impl Pace {
    /// A request came: it earns its share of a repeat. How long its answer may take until a second endpoint is asked.
    pub fn asked(&mut self, limits: &Limits, now: Moment) -> Duration {
        self.fill(limits, now);
        self.missing = self.missing.saturating_sub(u64::from(limits.repeat_percent) * TOKEN / 100);
        let late =
            if self.latency.seen() < SEEN_MIN { limits.hedge_min * UNKNOWN_FACTOR } else { self.latency.ceiling() };
        late.max(limits.hedge_min).min(limits.hedge_max)
    }

    /// An answer took so long.
    pub fn answered(&mut self, took: Duration) {
        self.latency.observe(took);
    }

    /// Pays for a repeat; `false` where there is nothing left to pay with.
    pub fn spend(&mut self, limits: &Limits, now: Moment) -> bool {
        self.fill(limits, now);
        let is_paid = self.missing + TOKEN <= u64::from(limits.burst) * TOKEN;
        if is_paid {
            self.missing += TOKEN;
        }
        is_paid
    }

    /// The same for a step of a search: half of the bucket is left for repeats, so one asset that fails everywhere takes nobody's
    /// retries away.
    pub fn spend_on_search(&mut self, limits: &Limits, now: Moment) -> bool {
        self.fill(limits, now);
        let is_paid = self.missing + TOKEN <= u64::from(limits.burst) * TOKEN / 2;
        if is_paid {
            self.missing += TOKEN;
        }
        is_paid
    }

    /// How long answers take on average; `None` before the first.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        self.latency.mean()
    }

    fn fill(&mut self, limits: &Limits, now: Moment) {
        let waited_ms = u64::try_from(now.0.saturating_sub(self.filled.0).as_millis()).unwrap_or(u64::MAX);
        let earned = waited_ms.saturating_mul(u64::from(limits.burst) * TOKEN) / FILL_MS;
        if earned > 0 {
            // Less than a whole millisecond waits for the next time.
            self.filled = self.filled + Duration::from_millis(waited_ms);
            self.missing = self.missing.saturating_sub(earned);
        }
    }
}
