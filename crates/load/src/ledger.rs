//! What all viewers met with: requests, starts, stalls, switches in; figures out, for all of it or a part of the time.
//!
//! Everything is counted, in slots of time ([`slots`]), however long it lasts; a slot keeps a fair sample of the times that it saw, for the
//! percentiles. How many times are not in a sample is said. What is asked for is rounded to slots.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use slots::{Slot, Slots};

mod slots;

/// Reasons of failures that are told apart; further ones are counted as [`OTHER`].
const REASONS_MAX: usize = 32;
const OTHER: &str = "other";

/// What all viewers met with. Times are milliseconds from the beginning.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    slots: Slots,
    there: u64,
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
    /// How far behind what is live viewers were, each time that something came, milliseconds; nothing where nobody says when it was.
    pub delay_ms: Spread,
    /// How often players stalled.
    pub stalls: u64,
    /// How long, all together, milliseconds.
    pub stalled_ms: u64,
    /// How long moving pictures were seen, all viewers together, milliseconds.
    pub played_ms: u64,
    /// Changes of rendition.
    pub switches: u64,
    /// Requests and starts that were counted and whose times were not kept: percentiles are those of a fair sample of the others.
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
        self.book().slots.answered(at_ms, head_us, whole_us, bytes);
    }

    /// Notes a request that failed, and why.
    pub fn failed(&self, at_ms: u64, reason: &'static str) {
        let mut book = self.book();
        let reasons = &mut book.slots.at(at_ms).reasons;
        *reasons.entry(reason).or_default() += 1;
    }

    /// Notes that a viewer sees the first picture, `startup_ms` after the wish.
    pub fn started(&self, at_ms: u64, startup_ms: u64) {
        self.book().slots.started(at_ms, startup_ms);
    }

    /// Notes that a viewer sees what happened `delay_ms` ago.
    pub fn delayed(&self, at_ms: u64, delay_ms: u64) {
        self.book().slots.delayed(at_ms, delay_ms);
    }

    /// Notes that a player stood still for `stalled_ms`.
    pub fn stalled(&self, at_ms: u64, stalled_ms: u64) {
        let mut book = self.book();
        let slot = book.slots.at(at_ms);
        (slot.stalls, slot.stalled_ms) = (slot.stalls + 1, slot.stalled_ms + stalled_ms);
    }

    /// Notes that a viewer has another rendition from now on.
    pub fn switched(&self, at_ms: u64) {
        self.book().slots.at(at_ms).switches += 1;
    }

    /// Notes that a viewer who leaves has seen `played_ms`.
    pub fn played(&self, at_ms: u64, played_ms: u64) {
        self.book().slots.at(at_ms).played_ms += played_ms;
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

    /// When the first request was asked, of those from `from_ms` on, whose head took `head_ms` or longer; rounded down to a slot.
    #[must_use]
    pub fn first_slow(&self, from_ms: u64, head_ms: f64) -> Option<u64> {
        let book = self.book();
        let mut slots = book.slots.between(from_ms, u64::MAX);
        slots.find(|(_, slot)| slot.head_max_us.is_some_and(|us| f64::from(us) / 1000.0 >= head_ms)).map(|(at, _)| at)
    }

    /// What came of what was asked, and happened, from `from_ms` to before `to_ms`: in all slots that begin then. So what is asked for in
    /// pieces adds up.
    #[must_use]
    pub fn between(&self, from_ms: u64, to_ms: u64) -> Figures {
        let slots: Vec<Slot> = {
            // Viewers wait for the book: it is copied, and reckoned with afterwards.
            let book = self.book();
            book.slots.between(from_ms, to_ms).map(|(_, slot)| slot.clone()).collect()
        };
        Figures::of(&slots)
    }

    /// What all of it came to.
    #[must_use]
    pub fn whole(&self) -> Figures {
        self.between(0, u64::MAX)
    }
}

// === impl Figures ===

impl Figures {
    fn of(slots: &[Slot]) -> Self {
        let sum = |of: fn(&Slot) -> u64| slots.iter().map(of).sum::<u64>();
        let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
        for (reason, count) in slots.iter().flat_map(|slot| &slot.reasons) {
            let is_known = reasons.len() < REASONS_MAX || reasons.contains_key(*reason);
            *reasons.entry(if is_known { *reason } else { OTHER }.to_owned()).or_default() += count;
        }
        let times = |of: fn(&slots::Times) -> u32| {
            let shares = slots
                .iter()
                .flat_map(move |slot| slot.times.shares().map(move |(times, share)| (us_as_ms(of(times)), share)));
            shares.collect::<Vec<_>>()
        };
        let startups =
            slots.iter().flat_map(|slot| slot.startups_ms.shares().map(|(ms, share)| (f64::from(*ms), share)));
        let delays = slots.iter().flat_map(|slot| slot.delays_ms.shares().map(|(ms, share)| (f64::from(*ms), share)));
        let longest = |of: fn(&Slot) -> Option<u32>| slots.iter().filter_map(of).max();
        Self {
            requests: sum(|slot| slot.times.seen()),
            failed: reasons.values().sum(),
            reasons,
            bytes: sum(|slot| slot.bytes),
            head_ms: Spread::of_sample(times(|times| times.head_us), longest(|slot| slot.head_max_us).map(us_as_ms)),
            whole_ms: Spread::of_sample(times(|times| times.whole_us), longest(|slot| slot.whole_max_us).map(us_as_ms)),
            startup_ms: Spread::of_sample(startups.collect(), longest(|slot| slot.startup_max_ms).map(f64::from)),
            delay_ms: Spread::of_sample(delays.collect(), longest(|slot| slot.delay_max_ms).map(f64::from)),
            stalls: sum(|slot| slot.stalls),
            stalled_ms: sum(|slot| slot.stalled_ms),
            played_ms: sum(|slot| slot.played_ms),
            switches: sum(|slot| slot.switches),
            unkept: sum(|slot| slot.times.unkept() + slot.startups_ms.unkept()),
        }
    }
}

fn us_as_ms(us: u32) -> f64 {
    f64::from(us) / 1000.0
}

// === impl Spread ===

impl Spread {
    /// Of these values, in any order.
    #[must_use]
    pub fn of(values: Vec<f64>) -> Self {
        Self::of_sample(values.into_iter().map(|value| (value, 1.0)).collect(), None)
    }

    /// Of a sample: each value, and how many it stands for. The greatest of all may be known to be greater than the greatest here.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "shares are positive and sum to a count"
    )]
    fn of_sample(mut values: Vec<(f64, f64)>, max: Option<f64>) -> Self {
        values.sort_by(|one, other| one.0.total_cmp(&other.0));
        let all: f64 = values.iter().map(|(_, share)| share).sum();
        let last = values.last().map_or(0.0, |(value, _)| *value);
        // The nearest rank: a value that was there.
        let at = |part: f64| {
            let mut upto = 0.0;
            let mut ranked = values.iter();
            let found = ranked.find(|(_, share)| {
                upto += share;
                upto >= all * part
            });
            found.map_or(last, |(value, _)| *value)
        };
        Self { count: all.round() as u64, p50: at(0.5), p95: at(0.95), max: max.unwrap_or(last) }
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

        #[test]
        fn pieces_add_up_to_the_whole_whatever_happens_when(
            events in prop::collection::vec((0_u64..20_000, 0_u8..6, 1_u64..300), 0..60),
            cuts in prop::collection::vec(0_u64..20_000, 0..4),
        ) {
            let ledger = Ledger::default();
            let (mut requests, mut failed, mut stalled_ms, mut starts) = (0, 0, 0, 0);
            for (at_ms, what, many) in events {
                match what {
                    0 | 1 => (0..many).for_each(|nth| { ledger.answered(at_ms, nth, 2 * nth, 10); requests += 1; }),
                    2 => { ledger.failed(at_ms, "503"); failed += 1; }
                    3 => { ledger.stalled(at_ms, many); stalled_ms += many; }
                    4 => (0..many).for_each(|ms| { ledger.started(at_ms, ms); starts += 1; }),
                    _ => ledger.switched(at_ms),
                }
            }
            let whole = ledger.whole();
            prop_assert_eq!((whole.requests, whole.failed, whole.stalled_ms, whole.startup_ms.count), (requests, failed, stalled_ms, starts));
            prop_assert_eq!((whole.head_ms.count, whole.bytes), (requests, requests * 10));
            let mut cuts = cuts;
            cuts.sort_unstable();
            let ends = [0].into_iter().chain(cuts).chain([u64::MAX]).collect::<Vec<_>>();
            let pieces: Vec<_> = ends.windows(2).map(|pair| ledger.between(pair[0], pair[1])).collect();
            let sum = |of: fn(&Figures) -> u64| pieces.iter().map(of).sum::<u64>();
            prop_assert_eq!((sum(|one| one.requests), sum(|one| one.failed), sum(|one| one.stalls)), (requests, failed, whole.stalls));
            prop_assert_eq!((sum(|one| one.unkept), sum(|one| one.switches)), (whole.unkept, whole.switches));
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

    /// However many come: the last second is counted as the first one is, and its times are those of its own requests.
    #[test]
    fn after_a_million_requests_the_next_ones_count() {
        const EACH: u64 = 12_000;
        let ledger = Ledger::default();
        for second in 0..100 {
            for nth in 0..EACH {
                let head_us = if second == 99 { 50_000 } else { 1000 + nth % 100 };
                ledger.answered(second * 1000 + nth / 12, head_us, head_us, 7);
            }
            ledger.started(second * 1000, 10);
            ledger.played(second * 1000, 1000);
        }
        let (last, whole) = (ledger.between(99_000, 100_000), ledger.whole());
        assert_eq!((last.requests, last.bytes, last.startup_ms.count), (EACH, EACH * 7, 1));
        assert_eq!((last.head_ms.p50, last.head_ms.max), (50.0, 50.0));
        assert_eq!((whole.requests, whole.played_ms), (100 * EACH, 100_000));
        assert!((1.04..1.06).contains(&whole.head_ms.p50), "{:?}", whole.head_ms);
        assert!(whole.unkept > EACH && last.unkept < EACH, "{} {}", whole.unkept, last.unkept);
        assert_eq!(ledger.first_slow(0, 50.0), Some(99_000));
    }
}
