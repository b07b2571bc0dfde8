//! Slots of time in which everything is counted, with a fair sample of the times seen in each. Pure.
//!
//! The number of slots is bounded: when a run outlasts them, each two become one, twice as long. So is a slot's sample; when one is full,
//! each further value takes the place of another with the chance that makes all equally likely to stay (reservoir sampling, Vitter's
//! algorithm R).

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// How long a slot is at first, milliseconds.
const FIRST_WIDTH_MS: u64 = 100;
/// An hour of them. With all samples full that is 35 MB.
const SLOTS_MAX: usize = 36_000;
/// Times that are kept of a slot.
const SAMPLE_MAX: usize = 64;

/// All slots, from the beginning on.
#[derive(Debug)]
pub(super) struct Slots {
    width_ms: u64,
    slots: Vec<Slot>,
    draws: StdRng,
}

/// What happened in a slot.
#[derive(Debug, Clone, Default)]
pub(super) struct Slot {
    /// Of the requests that were answered.
    pub(super) times: Sample<Times>,
    pub(super) head_max_us: Option<u32>,
    pub(super) whole_max_us: Option<u32>,
    pub(super) bytes: u64,
    /// Failures, by reason.
    pub(super) reasons: BTreeMap<&'static str, u64>,
    pub(super) startups_ms: Sample<u32>,
    pub(super) startup_max_ms: Option<u32>,
    /// How far behind what is live viewers were, each time that they looked.
    pub(super) delays_ms: Sample<u32>,
    pub(super) delay_max_ms: Option<u32>,
    pub(super) stalls: u64,
    pub(super) stalled_ms: u64,
    pub(super) switches: u64,
    pub(super) played_ms: u64,
}

/// Of a request, microseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// To the head of the answer.
    pub(super) head_us: u32,
    /// To its last byte.
    pub(super) whole_us: u32,
}

/// Some of the values that were seen, each as likely as the others.
#[derive(Debug, Clone)]
pub(super) struct Sample<T> {
    seen: u64,
    kept: Vec<T>,
}

// === impl Slots ===

impl Default for Slots {
    fn default() -> Self {
        // Which values stay in a sample is no secret, and the same for the same run.
        Self { width_ms: FIRST_WIDTH_MS, slots: Vec::new(), draws: StdRng::seed_from_u64(0) }
    }
}

impl Slots {
    /// The slot of a moment.
    pub(super) fn at(&mut self, at_ms: u64) -> &mut Slot {
        let index = self.index(at_ms);
        &mut self.slots[index]
    }

    pub(super) fn answered(&mut self, at_ms: u64, head_us: u64, whole_us: u64, bytes: u64) {
        let index = self.index(at_ms);
        let (head_us, whole_us) = (small(head_us), small(whole_us));
        let slot = &mut self.slots[index];
        slot.bytes += bytes;
        slot.head_max_us = slot.head_max_us.max(Some(head_us));
        slot.whole_max_us = slot.whole_max_us.max(Some(whole_us));
        slot.times.saw(Times { head_us, whole_us }, &mut self.draws);
    }

    pub(super) fn started(&mut self, at_ms: u64, startup_ms: u64) {
        let index = self.index(at_ms);
        let slot = &mut self.slots[index];
        slot.startup_max_ms = slot.startup_max_ms.max(Some(small(startup_ms)));
        slot.startups_ms.saw(small(startup_ms), &mut self.draws);
    }

    pub(super) fn delayed(&mut self, at_ms: u64, delay_ms: u64) {
        let index = self.index(at_ms);
        let slot = &mut self.slots[index];
        slot.delay_max_ms = slot.delay_max_ms.max(Some(small(delay_ms)));
        slot.delays_ms.saw(small(delay_ms), &mut self.draws);
    }

    /// Those that begin from `from_ms` to before `to_ms`, with when they begin.
    pub(super) fn between(&self, from_ms: u64, to_ms: u64) -> impl Iterator<Item = (u64, &Slot)> {
        let first = |ms: u64| usize::try_from(ms.div_ceil(self.width_ms)).unwrap_or(usize::MAX).min(self.slots.len());
        let (from, to) = (first(from_ms), first(to_ms));
        let slots = self.slots[from..to.max(from)].iter();
        (from as u64..).zip(slots).map(|(index, slot)| (index * self.width_ms, slot))
    }

    fn index(&mut self, at_ms: u64) -> usize {
        while at_ms / self.width_ms >= SLOTS_MAX as u64 {
            self.widen();
        }
        let index = usize::try_from(at_ms / self.width_ms).unwrap_or(SLOTS_MAX - 1);
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, Slot::default);
        }
        index
    }

    fn widen(&mut self) {
        let mut old = std::mem::take(&mut self.slots).into_iter();
        while let Some(mut slot) = old.next() {
            if let Some(next) = old.next() {
                slot.join(next, &mut self.draws);
            }
            self.slots.push(slot);
        }
        self.width_ms *= 2;
    }
}

fn small(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

// === impl Slot ===

impl Slot {
    fn join(&mut self, next: Self, draws: &mut StdRng) {
        self.times.join(next.times, draws);
        self.startups_ms.join(next.startups_ms, draws);
        self.delays_ms.join(next.delays_ms, draws);
        self.delay_max_ms = self.delay_max_ms.max(next.delay_max_ms);
        self.head_max_us = self.head_max_us.max(next.head_max_us);
        self.whole_max_us = self.whole_max_us.max(next.whole_max_us);
        self.startup_max_ms = self.startup_max_ms.max(next.startup_max_ms);
        for (reason, count) in next.reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
        self.bytes += next.bytes;
        self.stalls += next.stalls;
        self.stalled_ms += next.stalled_ms;
        self.switches += next.switches;
        self.played_ms += next.played_ms;
    }
}

// === impl Sample ===

impl<T> Sample<T> {
    /// How many values were seen.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// How many of them were not kept.
    pub(super) fn unkept(&self) -> u64 {
        self.seen - self.kept.len() as u64
    }

    /// Each value that was kept, and how many it stands for.
    #[allow(clippy::cast_precision_loss, reason = "counts of requests")]
    pub(super) fn shares(&self) -> impl Iterator<Item = (&T, f64)> {
        let share = self.seen as f64 / self.kept.len().max(1) as f64;
        self.kept.iter().map(move |value| (value, share))
    }

    fn saw(&mut self, value: T, draws: &mut StdRng) {
        self.seen += 1;
        if self.kept.len() < SAMPLE_MAX {
            self.kept.push(value);
        } else if let Ok(at) = usize::try_from(draws.random_range(0..self.seen))
            && let Some(kept) = self.kept.get_mut(at)
        {
            *kept = value;
        }
    }

    /// One sample of both: of each as many as it stands for.
    #[allow(clippy::cast_possible_truncation, reason = "no more than a sample has")]
    fn join(&mut self, mut next: Self, draws: &mut StdRng) {
        let seen = self.seen + next.seen;
        if self.kept.len() + next.kept.len() > SAMPLE_MAX {
            let of_this = (u128::from(self.seen) * SAMPLE_MAX as u128 / u128::from(seen)) as usize;
            thin(&mut self.kept, of_this.max(SAMPLE_MAX.saturating_sub(next.kept.len())), draws);
            let left = SAMPLE_MAX - self.kept.len();
            thin(&mut next.kept, left, draws);
        }
        self.kept.append(&mut next.kept);
        self.seen = seen;
    }
}

impl<T> Default for Sample<T> {
    fn default() -> Self {
        Self { seen: 0, kept: Vec::new() }
    }
}

/// Leaves so many of them, any.
fn thin<T>(values: &mut Vec<T>, leave: usize, draws: &mut StdRng) {
    while values.len() > leave {
        let gone = draws.random_range(0..values.len());
        values.swap_remove(gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_any_length_has_a_bound_and_loses_no_count() {
        let mut slots = Slots::default();
        for at_s in 0..200_000 {
            slots.answered(at_s * 1000, at_s, at_s, 1);
            slots.at(at_s * 1000).switches += 1;
        }
        assert!(slots.slots.len() <= SLOTS_MAX && slots.width_ms == 6400, "{} {}", slots.slots.len(), slots.width_ms);
        let all = || slots.between(0, u64::MAX).map(|(_, slot)| slot);
        assert_eq!(
            (all().map(|slot| slot.times.seen()).sum::<u64>(), all().map(|slot| slot.switches).sum::<u64>()),
            (200_000, 200_000)
        );
        let (at_ms, first) = slots.between(6400, 12_800).next().unwrap();
        assert_eq!((at_ms, first.times.seen(), first.head_max_us), (6400, 6, Some(12)));
        // Beyond all time.
        slots.at(u64::MAX).stalls += 1;
        assert!(slots.slots.len() <= SLOTS_MAX);
    }

    #[test]
    fn a_sample_is_fair_also_when_two_become_one() {
        let mut draws = StdRng::seed_from_u64(3);
        let mut shares_of_low = 0.0;
        const RUNS: u32 = 200;
        for _ in 0..RUNS {
            let (mut low, mut high) = (Sample::default(), Sample::default());
            (0..3000).for_each(|_| low.saw(0_u32, &mut draws));
            (0..1000).for_each(|_| high.saw(1, &mut draws));
            low.join(high, &mut draws);
            assert_eq!((low.seen(), low.kept.len()), (4000, SAMPLE_MAX));
            shares_of_low += low.shares().filter(|(value, _)| **value == 0).map(|(_, share)| share).sum::<f64>();
        }
        let low = shares_of_low / f64::from(RUNS);
        assert!((2900.0..3100.0).contains(&low), "{low} of 3000");
    }
}
