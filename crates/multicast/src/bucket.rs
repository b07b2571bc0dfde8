//! How fast a link may be filled: a token bucket, whose rate is halved when members lose much and recovers after.
//!
//! It never looks at a clock: time is given to it.

use std::time::Duration;

/// What a bucket holds at most: so much time's worth, since timers wake up a millisecond late.
const BURST: Duration = Duration::from_millis(4);
/// A bucket holds at least two datagrams.
const BURST_MIN_BYTES: f64 = 3000.0;
/// The rate is not halved again within this time: the members of one group notice the same congestion.
const HALVING_PAUSE: Duration = Duration::from_millis(200);
/// Time after a halving in which the rate comes back to what is configured.
const RECOVERY: Duration = Duration::from_secs(10);
/// The rate never falls below this share of what is configured.
const RATE_MIN_SHARE: f64 = 1.0 / 64.0;

/// A token bucket.
#[derive(Debug, Clone)]
pub struct Bucket {
    full_bytes_per_s: f64,
    /// Share of the full rate right after the last halving.
    share: f64,
    halved: Option<Duration>,
    level_bytes: f64,
    filled: Duration,
}

// === impl Bucket ===

impl Bucket {
    /// A full bucket; `rate_bps` in bits a second.
    #[must_use]
    pub fn new(rate_bps: u64, now: Duration) -> Self {
        let full_bytes_per_s = (rate_bps.max(8) as f64) / 8.0;
        let mut bucket = Self { full_bytes_per_s, share: 1.0, halved: None, level_bytes: 0.0, filled: now };
        bucket.level_bytes = bucket.burst_bytes();
        bucket
    }

    /// Takes `bytes` out; where they are not there yet, says how long to wait before they are sent.
    pub fn take(&mut self, bytes: usize, now: Duration) -> Option<Duration> {
        let rate = self.bytes_per_s(now);
        let passed = now.saturating_sub(self.filled).as_secs_f64();
        self.filled = self.filled.max(now);
        self.level_bytes = (self.level_bytes + passed * rate).min(self.burst_bytes()) - bytes as f64;
        (self.level_bytes < 0.0).then(|| Duration::from_secs_f64(-self.level_bytes / rate))
    }

    /// Halves the rate, unless that was done a moment ago.
    pub fn halve(&mut self, now: Duration) -> bool {
        if self.halved.is_some_and(|halved| now.saturating_sub(halved) < HALVING_PAUSE) {
            return false;
        }
        self.share = (self.share_at(now) / 2.0).max(RATE_MIN_SHARE);
        self.halved = Some(now);
        true
    }

    /// The rate at `now`, in bits a second.
    #[must_use]
    pub fn rate_bps(&self, now: Duration) -> u64 {
        (self.bytes_per_s(now) * 8.0) as u64
    }

    fn bytes_per_s(&self, now: Duration) -> f64 {
        self.full_bytes_per_s * self.share_at(now)
    }

    fn share_at(&self, now: Duration) -> f64 {
        let Some(halved) = self.halved else { return 1.0 };
        let back = now.saturating_sub(halved).as_secs_f64() / RECOVERY.as_secs_f64();
        (self.share + back * (1.0 - self.share)).min(1.0)
    }

    fn burst_bytes(&self) -> f64 {
        (self.full_bytes_per_s * BURST.as_secs_f64()).max(BURST_MIN_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_more_than_the_rate_and_one_burst_goes_out(rate_bps in 10_000u64..1_000_000_000, sizes in prop::collection::vec((1usize..1500, 0u64..5000), 1..300)) {
            let mut bucket = Bucket::new(rate_bps, Duration::ZERO);
            let burst = bucket.burst_bytes();
            let (mut now, mut sent) = (Duration::ZERO, 0.0);
            for (bytes, pause_us) in sizes {
                now += Duration::from_micros(pause_us);
                now += bucket.take(bytes, now).unwrap_or_default();
                sent += bytes as f64;
                let allowed = burst + rate_bps as f64 / 8.0 * now.as_secs_f64();
                prop_assert!(sent <= allowed + 1.0, "{sent} of {allowed}");
            }
        }
    }

    #[test]
    fn it_halves_once_for_one_congestion_and_recovers() {
        let mut bucket = Bucket::new(8_000_000, Duration::ZERO);
        let at = Duration::from_millis;
        assert!(bucket.halve(at(0)) && !bucket.halve(at(100)));
        assert_eq!(bucket.rate_bps(at(0)), 4_000_000);
        assert!(bucket.halve(at(200)));
        assert!(bucket.rate_bps(at(200)) < 2_100_000);
        assert_eq!(bucket.rate_bps(at(20_000)), 8_000_000);
        for round in 0..100 {
            bucket.halve(at(200 * round));
        }
        assert!(bucket.rate_bps(at(20_000)) >= 8_000_000 / 64);
    }
}
