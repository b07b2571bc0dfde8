//! What is done with something kept of which nobody knows whether it was purged, while upstream cannot be asked.
//!
//! It is asked for again before it is used. Where that came to nothing, the next viewers do not wait for the same: what is fresh by its
//! own word is used, and asked for again beside it from time to time, until there is an answer. An origin that is away is away for
//! all that is behind a front; one that failed for one thing may still answer for others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::UnitWeighter;
use quick_cache::sync::Cache;

use crate::object::UnixMs;

/// How long nobody asks after it came to nothing.
const REST_MS: u64 = 3000;
/// Keys that are remembered; one that is not is asked for, and waited for.
const REMEMBERED: usize = 10_000;

/// What asking gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gave {
    /// An answer.
    Answer,
    /// A fault of the service.
    Fault,
    /// Nothing: it is away.
    Nothing,
}

/// What to do with something that is doubted, and fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doubted {
    /// Ask before it is used.
    Ask,
    /// Use it, and ask beside it.
    UseAndAsk,
    /// Use it.
    Use,
}

/// What came of asking behind one front.
#[derive(Debug)]
pub(crate) struct Vain {
    all: Next,
    keys: Cache<Arc<str>, Arc<Next>, UnitWeighter>,
}

/// From when on (Unix milliseconds) it is asked again; 0 while asking is of use.
#[derive(Debug, Default)]
struct Next(AtomicU64);

// === impl Vain ===

impl Vain {
    pub(crate) fn new() -> Self {
        Self { all: Next::default(), keys: Cache::new(REMEMBERED) }
    }

    /// What to do with what is kept under `key`.
    pub(crate) fn turn(&self, key: &str, now: UnixMs) -> Doubted {
        match self.all.turn(now) {
            Doubted::Ask => self.keys.get(key).map_or(Doubted::Ask, |next| next.turn(now)),
            turn => turn,
        }
    }

    /// Takes note of what asking `gave` for `key`.
    pub(crate) fn note(&self, key: &Arc<str>, gave: Gave, now: UnixMs) {
        if gave == Gave::Nothing {
            // What comes to nothing meanwhile puts nothing off: somebody asks each time that it is due.
            let _ = self.all.0.compare_exchange(0, now.plus_ms(REST_MS).0, Ordering::Relaxed, Ordering::Relaxed);
        } else {
            self.all.0.store(0, Ordering::Relaxed);
        }
        match gave {
            Gave::Answer if self.keys.is_empty() => {}
            Gave::Answer => drop(self.keys.remove(key)),
            Gave::Fault | Gave::Nothing => {
                self.keys.insert(Arc::clone(key), Arc::new(Next(AtomicU64::new(now.plus_ms(REST_MS).0))));
            }
        }
    }
}

// === impl Next ===

impl Next {
    /// Whoever comes first when it is time asks, for all.
    fn turn(&self, now: UnixMs) -> Doubted {
        let next = self.0.load(Ordering::Relaxed);
        if next == 0 {
            return Doubted::Ask;
        }
        let later = now.plus_ms(REST_MS).0;
        let is_first =
            now.0 >= next && self.0.compare_exchange(next, later, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if is_first { Doubted::UseAndAsk } else { Doubted::Use }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_asking_came_to_nothing_one_asks_from_time_to_time_and_nobody_waits() {
        let (vain, at) = (Vain::new(), |ms: u64| UnixMs(1_000_000 + ms));
        let [a, b]: [Arc<str>; 2] = ["a".into(), "b".into()];
        assert_eq!(vain.turn(&a, at(0)), Doubted::Ask);
        vain.note(&a, Gave::Nothing, at(0));
        assert_eq!([vain.turn(&a, at(1)), vain.turn(&b, at(1))], [Doubted::Use; 2], "it is away for all");
        vain.note(&b, Gave::Nothing, at(REST_MS - 1));
        let turns = [0, 1, 2].map(|_| vain.turn(&b, at(REST_MS)));
        assert_eq!(turns, [Doubted::UseAndAsk, Doubted::Use, Doubted::Use], "one asks");
        // It is back: what was asked for in vain is asked for beside it, the rest before it is used.
        vain.note(&b, Gave::Answer, at(REST_MS + 1));
        assert_eq!(
            [vain.turn(&a, at(REST_MS + 1)), vain.turn(&b, at(REST_MS + 1))],
            [Doubted::UseAndAsk, Doubted::Ask]
        );
        vain.note(&a, Gave::Answer, at(REST_MS + 2));
        assert_eq!(vain.turn(&a, at(REST_MS + 2)), Doubted::Ask);
        // A fault is one thing's.
        vain.note(&a, Gave::Fault, at(REST_MS + 3));
        assert_eq!([vain.turn(&a, at(REST_MS + 3)), vain.turn(&b, at(REST_MS + 3))], [Doubted::Use, Doubted::Ask]);
    }
}
