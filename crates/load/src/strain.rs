//! Whether the generator itself is the bottleneck: then what it measures says more of it than of what it asks.
//!
//! Judged by two things that no server can cause: how late its own clock rings, and how much of the machine it takes itself.

use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::ledger::Spread;

/// How often the clock is to ring.
const TICK: Duration = Duration::from_millis(20);
/// Times of lateness that are kept; then every other one goes, and every other one is noted from then on.
const KEPT_MAX: usize = 4096;
/// A clock that rings later than this in 5 of 100 times measures itself.
const LATE_MAX_MS: f64 = 25.0;
/// A generator that takes more than this of all processors has none left to measure with.
const OWN_SHARE_MAX: f64 = 0.7;
/// The kernel's unit of processor time (proc(5): `sysconf(_SC_CLK_TCK)`, 100 on Linux).
const TICKS_PER_S: f64 = 100.0;

/// How the generator did.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Strain {
    /// How late its clock rang, milliseconds.
    pub late_ms: Spread,
    /// What it took of all processors, 0 to 1.
    pub own_share: f64,
}

// === impl Strain ===

impl Strain {
    /// Why the generator is the bottleneck, if it is.
    #[must_use]
    pub fn verdict(&self) -> Option<String> {
        if self.own_share > OWN_SHARE_MAX {
            let percent = self.own_share * 100.0;
            return Some(format!(
                "the generator took {percent:.0} % of all processors: run it elsewhere, or with fewer viewers"
            ));
        }
        if self.late_ms.p95 > LATE_MAX_MS {
            let late_ms = self.late_ms.p95;
            return Some(format!(
                "the generator's own clock rang {late_ms:.0} ms late (p95): the machine is busy, and the times below are too long by as much"
            ));
        }
        None
    }

    /// Watches the generator until `stop`.
    pub async fn watch(stop: CancellationToken) -> Self {
        let (began, before_s) = (Instant::now(), own_time_s());
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut late_ms, mut every, mut seen) = (Vec::new(), 1u64, 0u64);
        let mut due = Instant::now();
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let now = Instant::now();
            if seen.is_multiple_of(every) {
                late_ms.push(now.saturating_duration_since(due).as_secs_f64() * 1000.0);
            }
            if late_ms.len() >= KEPT_MAX {
                let mut at = 0;
                late_ms.retain(|_| {
                    at += 1;
                    at % 2 == 0
                });
                every *= 2;
            }
            (seen, due) = (seen + 1, now + TICK);
        }
        let cpus = std::thread::available_parallelism()
            .map_or(1.0, |count| f64::from(u32::try_from(count.get()).unwrap_or(1)));
        let wall_s = began.elapsed().as_secs_f64().max(0.001);
        let own_share = before_s.zip(own_time_s()).map_or(0.0, |(before, after)| (after - before) / wall_s / cpus);
        Self { late_ms: Spread::of(late_ms), own_share }
    }
}

/// Processor time of this process, seconds (proc(5), `/proc/self/stat`, fields 14 and 15).
fn own_time_s() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let (user, system) = (fields.next()?.parse::<f64>().ok()?, fields.next()?.parse::<f64>().ok()?);
    Some((user + system) / TICKS_PER_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_generator_that_has_no_time_left_says_so() {
        let calm = Strain { late_ms: Spread { p95: 2.0, ..Spread::default() }, own_share: 0.3 };
        assert_eq!(calm.verdict(), None);
        assert!(Strain { own_share: 0.9, ..calm }.verdict().unwrap().contains("90 %"));
        let late = Strain { late_ms: Spread { p95: 80.0, ..Spread::default() }, ..calm };
        assert!(late.verdict().unwrap().contains("80 ms late"));
        // On a runtime of one thread that somebody holds up, the clock rings late.
        let stop = CancellationToken::new();
        let hold = async {
            for _ in 0..8 {
                tokio::task::yield_now().await;
                let until = std::time::Instant::now() + Duration::from_millis(60);
                while std::time::Instant::now() < until {}
                tokio::time::timeout(Duration::from_millis(1), std::future::pending::<()>()).await.ok();
            }
            stop.cancel();
        };
        let (strain, ()) = tokio::join!(Strain::watch(stop.clone()), hold);
        assert!(strain.late_ms.max > 30.0 && strain.verdict().is_some(), "{strain:?}");
    }
}
