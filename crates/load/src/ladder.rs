//! Which rendition a viewer asks for next: what it has measured in, a rung out. Pure.
//!
//! Throughput is the lesser of a quick and a slow mean, as players do it: a fall is seen at once, a rise when it lasts. Up goes only
//! who has room in that and half a buffer; whoever has little in the buffer goes down.

/// The share of the measured throughput that a rendition may take, and of it for going up.
const SAFE: f64 = 0.8;
const SAFE_UP: f64 = 0.7;
/// Times after which a measurement counts half.
const QUICK_HALF_S: f64 = 2.0;
const SLOW_HALF_S: f64 = 8.0;

/// Bits that came in a second, as measured.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Throughput {
    quick: Mean,
    slow: Mean,
}

/// A mean that forgets.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Mean {
    sum: f64,
    weight: f64,
}

/// What a rung is chosen by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// The rung of the segment before, if there was one.
    pub current: Option<usize>,
    /// Measured; `None` before the first segment.
    pub throughput_bps: Option<f64>,
    /// Media in the buffer, milliseconds.
    pub buffer_ms: u64,
    /// What the buffer is filled up to, milliseconds.
    pub buffer_max_ms: u64,
}

// === impl Throughput ===

impl Throughput {
    /// Notes that `bytes` came in `took_s`.
    #[allow(clippy::cast_precision_loss, reason = "a segment's bytes fit")]
    pub fn note(&mut self, bytes: u64, took_s: f64) {
        let took_s = took_s.max(0.001);
        let bps = bytes as f64 * 8.0 / took_s;
        self.quick.note(bps, took_s, QUICK_HALF_S);
        self.slow.note(bps, took_s, SLOW_HALF_S);
    }

    /// Bits a second; `None` where nothing was measured.
    #[must_use]
    pub fn bps(&self) -> Option<f64> {
        Some(self.quick.value()?.min(self.slow.value()?))
    }
}

impl Mean {
    fn note(&mut self, value: f64, weight: f64, half: f64) {
        let keep = 0.5f64.powf(weight / half);
        self.sum = self.sum * keep + value * (1.0 - keep);
        self.weight = self.weight * keep + (1.0 - keep);
    }

    fn value(self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }
}

/// The rung to ask for, of `rungs_bps` in rising order. The lowest where nothing was measured, or nothing fits; 0 where there is none.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "bit rates fit")]
pub fn choose(rungs_bps: &[u64], seen: Seen) -> usize {
    let Some(throughput_bps) = seen.throughput_bps else { return 0 };
    let fits = |share: f64| {
        let room = throughput_bps * share;
        rungs_bps.iter().rposition(|bps| *bps as f64 <= room).unwrap_or(0)
    };
    let highest = fits(SAFE);
    match seen.current {
        Some(current) if highest > current => {
            let has_time = seen.buffer_ms * 2 >= seen.buffer_max_ms;
            if has_time { fits(SAFE_UP).max(current) } else { current }
        }
        _ => highest,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rungs() -> impl Strategy<Value = Vec<u64>> {
        prop::collection::vec(50_000u64..20_000_000, 1..8).prop_map(|mut rungs| {
            rungs.sort_unstable();
            rungs
        })
    }

    proptest! {
        /// The rule in other words, looked at for each rung.
        #[test]
        fn nothing_is_chosen_that_does_not_fit_and_up_goes_only_who_can_afford_it(
            rungs in rungs(),
            current in prop::option::of(0usize..8),
            throughput in prop::option::of(10_000.0f64..40e6),
            buffer_ms in 0u64..30_000,
        ) {
            let current = current.map(|at| at.min(rungs.len() - 1));
            let seen = Seen { current, throughput_bps: throughput, buffer_ms, buffer_max_ms: 12_000 };
            let chosen = choose(&rungs, seen);
            prop_assert!(chosen < rungs.len());
            let Some(throughput) = throughput else { prop_assert_eq!(chosen, 0); return Ok(()) };
            prop_assert!(chosen == 0 || rungs[chosen] as f64 <= throughput * SAFE);
            if let Some(current) = current && chosen > current {
                prop_assert!(buffer_ms >= 6000 && rungs[chosen] as f64 <= throughput * SAFE_UP);
            }
            // More throughput never means a lower rung.
            let better = choose(&rungs, Seen { throughput_bps: Some(throughput * 1.5), ..seen });
            prop_assert!(better >= chosen);
        }

        #[test]
        fn a_steady_throughput_is_measured_as_it_is_and_a_fall_is_seen(bps in 1e5f64..1e8, pieces in 3u32..30) {
            let mut throughput = Throughput::default();
            prop_assert_eq!(throughput.bps(), None);
            for _ in 0..pieces {
                throughput.note((bps / 8.0) as u64, 1.0);
            }
            let measured = throughput.bps().unwrap();
            prop_assert!((measured / bps - 1.0).abs() < 0.01, "{measured} of {bps}");
            // A segment that took four seconds for a tenth of that.
            throughput.note((bps / 80.0 * 4.0) as u64, 4.0);
            prop_assert!(throughput.bps().unwrap() < bps * 0.5);
        }
    }
}
