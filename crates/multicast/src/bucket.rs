//! How fast a link may be filled: a token bucket, whose rate is halved when members lose much and recovers after.
//!
//! On a busy machine whoever fills the link wakes up late, later than the bucket is deep. What the link could have carried
//! meanwhile is not lost: it is made up for, a little at a time, so that never more goes out than the rate allowed since
//! the beginning, and never much faster. A longer gap is a pause, after which nothing is made up for.
//!
//! It never looks at a clock: time is given to it.

use std::time::Duration;

/// What a bucket holds at most: so much time's worth, since timers wake up a millisecond late.
const BURST: Duration = Duration::from_millis(4);
/// A bucket holds at least two datagrams.
const BURST_MIN_BYTES: f64 = 3000.0;
/// Longest gap in which whoever fills the link was only late.
const LATE_MAX: Duration = Duration::from_millis(25);
/// What is made up for at most, as time at the full rate.
const OWED_MAX: Duration = Duration::from_millis(50);
/// By so much faster it is made up for.
const MAKING_UP: f64 = 1.0 / 8.0;
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
    /// What the link could have carried while nobody was awake to send it.
    owed_bytes: f64,
}

// === impl Bucket ===

impl Bucket {
    /// A full bucket; `rate_bps` in bits a second.
    #[must_use]
    pub fn new(rate_bps: u64, now: Duration) -> Self {
        let full_bytes_per_s = (rate_bps.max(8) as f64) / 8.0;
        let mut bucket =
            Self { full_bytes_per_s, share: 1.0, halved: None, level_bytes: 0.0, filled: now, owed_bytes: 0.0 };
        bucket.level_bytes = bucket.burst_bytes();
        bucket
    }

    /// Takes `bytes` out; where they are not there yet, says how long to wait before they are sent.
    pub fn take(&mut self, bytes: usize, now: Duration) -> Option<Duration> {
        let rate = self.bytes_per_s(now);
        let passed = now.saturating_sub(self.filled).as_secs_f64();
        self.filled = self.filled.max(now);
        let (level, burst) = (self.level_bytes + passed * rate, self.burst_bytes());
        let over = (level - burst).max(0.0);
        self.owed_bytes = if over > rate * LATE_MAX.as_secs_f64() {
            0.0
        } else {
            (self.owed_bytes + over).min(rate * OWED_MAX.as_secs_f64())
        };
        let level = level.min(burst);
        let made_up = self.owed_bytes.min(passed * rate * MAKING_UP).min(burst - level);
        self.owed_bytes -= made_up;
        self.level_bytes = level + made_up - bytes as f64;
        (self.level_bytes < 0.0).then(|| Duration::from_secs_f64(-self.level_bytes / rate))
    }

    /// Halves the rate, unless that was done a moment ago.
    pub fn halve(&mut self, now: Duration) -> bool {
        if self.halved.is_some_and(|halved| now.saturating_sub(halved) < HALVING_PAUSE) {
            return false;
        }
        self.share = (self.share_at(now) / 2.0).max(RATE_MIN_SHARE);
        self.halved = Some(now);
        self.owed_bytes = 0.0;
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

    /// Octets that go out in a second by who wakes up so much late after each pause, and every tenth time much later.
    fn sent_in_a_second(late: Duration, much_later: Duration) -> f64 {
        let mut bucket = Bucket::new(80_000_000, Duration::ZERO);
        let (mut now, mut sent, mut pauses) = (Duration::ZERO, 0.0, 0);
        while now < Duration::from_secs(1) {
            if let Some(pause) = bucket.take(10_000, now) {
                pauses += 1;
                now += pause + if pauses % 10 == 0 { much_later } else { late };
            }
            sent += 10_000.0;
        }
        sent
    }

    #[test]
    fn what_late_wakes_lost_is_made_up_for_and_a_pause_is_not() {
        let ms = Duration::from_millis;
        let full = 10_000_000.0;
        assert!(sent_in_a_second(ms(1), ms(6)) > full * 0.99, "{}", sent_in_a_second(ms(1), ms(6)));
        // After a pause as much goes out at once as at the beginning, and then no more than the rate.
        let mut bucket = Bucket::new(80_000_000, Duration::ZERO);
        while bucket.take(10_000, ms(0)).is_none() {}
        let (mut now, mut sent) = (ms(500), 0.0);
        while now < ms(600) {
            now += bucket.take(10_000, now).unwrap_or_default();
            sent += 10_000.0;
        }
        assert!(sent <= full * 0.1 + bucket.burst_bytes() + 10_000.0, "{sent}");
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
