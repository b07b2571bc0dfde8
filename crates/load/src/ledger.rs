//! What all viewers met with: requests, starts, stalls, switches in; percentiles out, for all of it or a part of the time.
//!
//! It holds a bounded number of requests. What comes beyond is counted, and has no part in the percentiles; how many those are is
//! said.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// Requests whose times are kept: 16 bytes each.
pub const KEPT_MAX: usize = 1_000_000;
/// Starts and stalls that are kept.
const EVENTS_MAX: usize = 200_000;
/// Reasons of failures that are told apart; further ones are counted as [`OTHER`].
const REASONS_MAX: usize = 32;
const OTHER: &str = "other";

/// What all viewers met with. Times are milliseconds from the beginning.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    requests: Vec<Request>,
    /// Requests beyond those that are kept.
    unkept: u64,
    failures: Vec<(u64, &'static str)>,
    failed: u64,
    events: Vec<(u64, Event)>,
    bytes: u64,
    there: u64,
}

/// A request that was answered.
#[derive(Debug, Clone, Copy)]
struct Request {
    at_ms: u32,
    /// To the head of the answer, microseconds.
    head_us: u32,
    /// To its last byte.
    whole_us: u32,
    bytes: u32,
}

#[derive(Debug, Clone, Copy)]
enum Event {
    /// It plays, after so many milliseconds.
    Started(u64),
    /// It stalled for so long.
    Stalled(u64),
    /// Another rendition.
    Switched,
    /// It played for so long.
    Played(u64),
}

/// What it came to.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Figures {
    /// Requests that were answered as they should be.
    pub requests: u64,
    /// Requests that were not.
    pub failed: u64,
    /// Why, as far as they are told apart.
    pub reasons: BTreeMap<String, u64>,
    /// Bytes of bodies.
    pub bytes: u64,
    /// Time to the head of an answer, milliseconds.
    pub head_ms: Spread,
    /// Time to the last byte, milliseconds.
    pub whole_ms: Spread,
    /// Time from the wish to the first picture, milliseconds.
    pub startup_ms: Spread,
    /// How often players stalled.
    pub stalls: u64,
    /// How long, all together, milliseconds.
    pub stalled_ms: u64,
    /// How long moving pictures were seen, all viewers together, milliseconds.
    pub played_ms: u64,
    /// Changes of rendition.
    pub switches: u64,
    /// Requests that were counted and whose times were not kept.
    pub unkept: u64,
}

/// How values are spread.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Spread {
    /// How many there are.
    pub count: u64,
    /// The middle one.
    pub p50: f64,
    /// The one that 95 of 100 do not exceed.
    pub p95: f64,
    /// The greatest.
    pub max: f64,
}

// === impl Ledger ===

impl Ledger {
    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an answer: when it was asked for, the time to its head and to its end, and the bytes of its body.
    pub fn answered(&self, at_ms: u64, head_us: u64, whole_us: u64, bytes: u64) {
        let small = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let mut book = self.book();
        book.bytes += bytes;
        if book.requests.len() >= KEPT_MAX {
            book.unkept += 1;
            return;
        }
        book.requests.push(Request {
            at_ms: small(at_ms),
            head_us: small(head_us),
            whole_us: small(whole_us),
            bytes: small(bytes),
        });
    }

    /// Notes a request that failed, and why.
    pub fn failed(&self, at_ms: u64, reason: &'static str) {
        let mut book = self.book();
        book.failed += 1;
        if book.failures.len() < EVENTS_MAX {
            book.failures.push((at_ms, reason));
        }
    }

    /// Notes that a viewer sees the first picture, `startup_ms` after the wish.
    pub fn started(&self, at_ms: u64, startup_ms: u64) {
        self.event(at_ms, Event::Started(startup_ms));
    }

    /// Notes that a player stood still for `stalled_ms`.
    pub fn stalled(&self, at_ms: u64, stalled_ms: u64) {
        self.event(at_ms, Event::Stalled(stalled_ms));
    }

    /// Notes that a viewer has another rendition from now on.
    pub fn switched(&self, at_ms: u64) {
        self.event(at_ms, Event::Switched);
    }

    /// Notes that a viewer who leaves has seen `played_ms`.
    pub fn played(&self, at_ms: u64, played_ms: u64) {
        self.event(at_ms, Event::Played(played_ms));
    }

    fn event(&self, at_ms: u64, event: Event) {
        let mut book = self.book();
        if book.events.len() < EVENTS_MAX {
            book.events.push((at_ms, event));
        }
    }

    /// One more viewer is there, or (`false`) one less.
    pub fn came(&self, comes: bool) {
        let mut book = self.book();
        book.there = if comes { book.there + 1 } else { book.there.saturating_sub(1) };
    }

    /// Viewers who are there now.
    #[must_use]
    pub fn there(&self) -> u64 {
        self.book().there
    }

    /// When the first request was asked, of those from `from_ms` on, whose head took `head_ms` or longer.
    #[must_use]
    pub fn first_slow(&self, from_ms: u64, head_ms: f64) -> Option<u64> {
        let book = self.book();
        let slow = book
            .requests
            .iter()
            .filter(|request| u64::from(request.at_ms) >= from_ms && f64::from(request.head_us) / 1000.0 >= head_ms);
        slow.map(|request| u64::from(request.at_ms)).min()
    }

    /// What came of what was asked, and happened, from `from_ms` to before `to_ms`.
    #[must_use]
    pub fn between(&self, from_ms: u64, to_ms: u64) -> Figures {
        let book = self.book();
        let within = |at_ms: u64| (from_ms..to_ms).contains(&at_ms);
        let requests: Vec<&Request> = book.requests.iter().filter(|one| within(u64::from(one.at_ms))).collect();
        let ms = |of: fn(&Request) -> u32| Spread::of(requests.iter().map(|one| f64::from(of(one)) / 1000.0).collect());
        let mut figures = Figures {
            requests: requests.len() as u64,
            bytes: requests.iter().map(|one| u64::from(one.bytes)).sum(),
            head_ms: ms(|one| one.head_us),
            whole_ms: ms(|one| one.whole_us),
            ..Figures::default()
        };
        for (_, reason) in book.failures.iter().filter(|(at_ms, _)| within(*at_ms)) {
            figures.failed += 1;
            let known = figures.reasons.len() < REASONS_MAX || figures.reasons.contains_key(*reason);
            *figures.reasons.entry(if known { *reason } else { OTHER }.to_owned()).or_default() += 1;
        }
        let mut startups = Vec::new();
        for (_, event) in book.events.iter().filter(|(at_ms, _)| within(*at_ms)) {
            match event {
                #[allow(clippy::cast_precision_loss, reason = "milliseconds of a start fit")]
                Event::Started(ms) => startups.push(*ms as f64),
                Event::Stalled(ms) => {
                    (figures.stalls, figures.stalled_ms) = (figures.stalls + 1, figures.stalled_ms + ms)
                }
                Event::Switched => figures.switches += 1,
                Event::Played(ms) => figures.played_ms += ms,
            }
        }
        figures.startup_ms = Spread::of(startups);
        figures
    }

    /// What all of it came to.
    #[must_use]
    pub fn whole(&self) -> Figures {
        let figures = self.between(0, u64::MAX);
        let book = self.book();
        let (requests, failed) = (figures.requests + book.unkept, book.failed);
        Figures { requests, failed, bytes: book.bytes, unkept: book.unkept, ..figures }
    }
}

// === impl Spread ===

impl Spread {
    /// Of these values, in any order.
    #[must_use]
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "places within a list"
    )]
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        // The nearest rank: a value that was there.
        let at = |share: f64| {
            let rank = (values.len() as f64 * share).ceil() as usize;
            values.get(rank.saturating_sub(1)).copied().unwrap_or_default()
        };
        Self { count: values.len() as u64, p50: at(0.5), p95: at(0.95), max: at(1.0) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_percentile_is_a_value_that_so_many_do_not_exceed(values in prop::collection::vec(0.0f64..1e6, 1..200)) {
            let spread = Spread::of(values.clone());
            for (value, share) in [(spread.p50, 0.5), (spread.p95, 0.95), (spread.max, 1.0)] {
                prop_assert!(values.contains(&value));
                let upto = values.iter().filter(|one| **one <= value).count() as f64;
                let below = values.iter().filter(|one| **one < value).count() as f64;
                let wanted = share * values.len() as f64;
                prop_assert!(upto >= wanted && below < wanted, "{value}: {below} below, {upto} up to it, of {}", values.len());
            }
        }
    }

    #[test]
    fn parts_of_the_time_add_up_to_the_whole() {
        let ledger = Ledger::default();
        for at in 0..100 {
            ledger.answered(at * 10, at * 1000, at * 2000, 100);
        }
        ledger.failed(500, "503");
        ledger.stalled(999, 70);
        let (first, second, whole) = (ledger.between(0, 500), ledger.between(500, 1000), ledger.whole());
        assert_eq!((first.requests, second.requests, whole.requests), (50, 50, 100));
        assert_eq!((first.failed, second.failed, whole.reasons["503"]), (0, 1, 1));
        assert_eq!((first.head_ms.max, second.head_ms.p50, whole.bytes), (49.0, 74.0, 10_000));
        assert_eq!((whole.stalls, whole.stalled_ms), (1, 70));
        assert_eq!(
            (ledger.first_slow(0, 60.0), ledger.first_slow(700, 60.0), ledger.first_slow(0, 1e6)),
            (Some(600), Some(700), None)
        );
    }
}
