//! What the surrogate's link carries: answers take turns, so that all together never send more than they are told to.
//!
//! A small surrogate at the edge shares its link with others. Where `uplink.rate` says how much of it is its own, an answer whose turn
//! has not come waits before its first byte, in the order of coming. Its time to the first byte then says how crowded it is,
//! to players, to the router, and to CLMC. One that would wait too long is refused at once, so that the router asks another surrogate.
//!
//! Bodies whose length is not known when they begin take no turn. Who leaves while it waits has had its turn.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use flame_service_host::Failure;
use tokio::time::Instant;

use crate::answer::Answer;
use crate::config::UplinkConfig;

/// The link of all fronts together.
#[derive(Debug)]
pub(crate) struct Uplink {
    rate_bytes_per_s: u64,
    wait_max: Duration,
    began: Instant,
    /// When all that was let go is sent, counted from `began`.
    free_at: Mutex<Duration>,
}

/// A turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// It begins then, and the link is free again then.
    At(Duration, Duration),
    /// It would have to wait for so long, which is too long.
    Late(Duration),
}

// === impl Uplink ===

impl Uplink {
    /// The link, where it is bounded.
    pub fn of(config: &UplinkConfig) -> Option<Self> {
        let rate_bytes_per_s = config.rate?.0.max(1);
        let (began, free_at) = (Instant::now(), Mutex::default());
        Some(Self { rate_bytes_per_s, wait_max: config.wait.0, began, free_at })
    }

    /// Waits for the turn of an answer; a refusal where that would take too long.
    pub async fn turn(&self, answer: Answer) -> Answer {
        let bytes = answer.content.length().unwrap_or_default();
        if bytes == 0 {
            return answer;
        }
        let now = self.began.elapsed();
        let turn = {
            let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = turn(*free_at, now, bytes, self.rate_bytes_per_s, self.wait_max);
            if let Turn::At(_, free) = turn {
                *free_at = free;
            }
            turn
        };
        match turn {
            Turn::At(begins, _) => {
                tokio::time::sleep_until(self.began + begins).await;
                answer
            }
            Turn::Late(wait) => {
                let detail =
                    format!("the link is busy for another {} ms, which is longer than anybody waits", wait.as_millis());
                let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).max(1);
                let failure = Failure::unavailable(detail, seconds);
                Answer::failure(failure, answer.cache_status).await
            }
        }
    }
}

/// When `bytes` may go that come at `now`, on a link that is busy until `free_at`.
fn turn(free_at: Duration, now: Duration, bytes: u64, rate_bytes_per_s: u64, wait_max: Duration) -> Turn {
    let begins = free_at.max(now);
    let wait = begins - now;
    if wait > wait_max {
        return Turn::Late(wait);
    }
    let ns = u128::from(bytes) * 1_000_000_000 / u128::from(rate_bytes_per_s.max(1));
    let takes = Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX));
    Turn::At(begins, begins.saturating_add(takes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WAIT_MAX: Duration = Duration::from_millis(500);

    proptest! {
        #[test]
        fn the_link_never_carries_more_than_it_may_and_nobody_waits_too_long(
            rate in 1000u64..10_000_000,
            asked in prop::collection::vec((0u64..300, 1u64..2_000_000), 1..60),
        ) {
            let (mut free_at, mut now) = (Duration::ZERO, Duration::ZERO);
            // When each began, and its bytes.
            let mut sent: Vec<(Duration, u64)> = Vec::new();
            for (after_ms, bytes) in asked {
                now += Duration::from_millis(after_ms);
                match turn(free_at, now, bytes, rate, WAIT_MAX) {
                    Turn::At(begins, free) => {
                        prop_assert!(begins >= now && begins - now <= WAIT_MAX && free >= begins);
                        // A link that is free keeps nobody waiting.
                        prop_assert!(free_at > now || begins == now);
                        free_at = free;
                        sent.push((begins, bytes));
                    }
                    Turn::Late(wait) => prop_assert!(wait > WAIT_MAX && wait == free_at - now),
                }
            }
            // From any beginning to any later one: no more than the link carries in that time.
            for (at, (from, _)) in sent.iter().enumerate() {
                let mut bytes = 0;
                for (to, next) in &sent[at..] {
                    let may = (to.as_secs_f64() - from.as_secs_f64()) * rate as f64;
                    prop_assert!(bytes as f64 <= may + 1.0, "{bytes} bytes before {to:?}, may be {may}");
                    bytes += next;
                }
            }
        }
    }
}
