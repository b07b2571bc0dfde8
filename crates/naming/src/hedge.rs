//! When an answer is later than it should be, and how much may be asked twice.
//!
//! A request that waits longer than answers behind its name hardly ever take is sent to a second endpoint; the first
//! answer wins. What is asked again, late or broken, is paid from a token bucket: a share of the requests earns it, and
//! time a trickle, so that a service that is slow or failing as a whole is not buried under copies. Only the caller knows
//! which requests are safe to repeat.

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
