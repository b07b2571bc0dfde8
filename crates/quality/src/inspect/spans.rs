//! Stretches of time in which something holds, and which of them are long enough to count.

use flame_api::quality::inspection::{SPANS_MAX, Spans, TimeSpan};

/// Collects stretches as time goes on.
#[derive(Debug, Clone)]
pub struct Stretches {
    shortest_s: f64,
    since_s: Option<f64>,
    found: Spans,
}

// === impl Stretches ===

impl Stretches {
    /// Only those of at least `shortest_s` count.
    #[must_use]
    pub fn new(shortest_s: f64) -> Self {
        Self { shortest_s, since_s: None, found: Spans::default() }
    }

    /// It holds from `at_s` on; nothing changes if it did before.
    pub fn begin(&mut self, at_s: f64) {
        self.since_s.get_or_insert(at_s);
    }

    /// It holds no more from `at_s` on; nothing changes if it did not before.
    pub fn end(&mut self, at_s: f64) {
        let Some(start_s) = self.since_s.take() else { return };
        let length_s = at_s - start_s;
        // What is as long as the bound but for the rounding of times counts.
        if length_s <= 0.0 || length_s < self.shortest_s - 1e-9 {
            return;
        }
        self.found.count += 1;
        self.found.total_s += length_s;
        self.found.longest_s = self.found.longest_s.max(length_s);
        if self.found.list.len() < SPANS_MAX {
            self.found.list.push(TimeSpan { start_s, end_s: at_s });
        }
    }

    /// All that was found; what still holds ends at `end_s`.
    #[must_use]
    pub fn finish(mut self, end_s: f64) -> Spans {
        self.end(end_s);
        self.found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a list of whole steps: runs of `true`, at least so long.
        #[test]
        fn runs_are_found_as_one_would_by_hand(steps in proptest::collection::vec(any::<bool>(), 0..80), shortest in 0_u32..6) {
            let mut stretches = Stretches::new(f64::from(shortest));
            for (at, holds) in steps.iter().enumerate() {
                if *holds { stretches.begin(at as f64) } else { stretches.end(at as f64) }
            }
            let found = stretches.finish(steps.len() as f64);
            let mut model = Vec::new();
            let mut at = 0;
            for run in steps.chunk_by(|a, b| a == b) {
                if run[0] && run.len() >= shortest as usize {
                    model.push(TimeSpan { start_s: at as f64, end_s: (at + run.len()) as f64 });
                }
                at += run.len();
            }
            prop_assert_eq!(found.count, model.len() as u64);
            prop_assert_eq!(found.total_s, model.iter().map(|span| span.end_s - span.start_s).sum::<f64>());
            prop_assert_eq!(found.list, model);
        }
    }

    #[test]
    fn of_many_the_first_are_listed_and_all_are_counted() {
        let mut stretches = Stretches::new(0.0);
        for at in 0..SPANS_MAX + 7 {
            stretches.begin(at as f64);
            stretches.end(at as f64 + 0.5);
        }
        let found = stretches.finish(1e6);
        assert_eq!((found.count, found.list.len()), (SPANS_MAX as u64 + 7, SPANS_MAX));
    }
}
