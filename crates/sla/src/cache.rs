//! How much of what is asked for a surrogate has, from what it may keep and how popular things are. Pure.
//!
//! Che's approximation of a cache that forgets what was not asked for longest (H. Che, Y. Tung, Z. Wang, "Hierarchical Web Caching
//! Systems", IEEE JSAC 20(7), 2002): there is one time T after which everything unasked is forgotten, and it is the one at which as much is
//! kept as there is room for. Popularity follows Zipf's law; all assets are of one size.

/// Steps of the search for T: each halves the interval.
const STEPS: u32 = 100;

/// The share of requests that are answered from memory, 0 to 1: `kept` of `assets` assets fit, asked for by Zipf's law with `skew`.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "assets are few")]
pub fn hit_share(assets: u64, skew: f64, kept: f64) -> f64 {
    if kept >= assets as f64 {
        return 1.0;
    }
    if kept <= 0.0 {
        return 0.0;
    }
    let weights: Vec<f64> = (1..=assets).map(|rank| (rank as f64).powf(-skew)).collect();
    let whole: f64 = weights.iter().sum();
    let there = |time: f64| -> f64 { weights.iter().map(|weight| 1.0 - (-weight / whole * time).exp()).sum() };
    // Time is counted in requests. It is doubled until enough is there, and then closed in on.
    let mut high = 1.0;
    while there(high) < kept && high < 1e300 {
        high *= 2.0;
    }
    let mut low = 0.0;
    for _ in 0..STEPS {
        let middle = f64::midpoint(low, high);
        if there(middle) < kept { low = middle } else { high = middle }
    }
    let hits: f64 = weights.iter().map(|weight| weight / whole * (1.0 - (-weight / whole * high).exp())).sum();
    hits.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A cache that forgets what was not asked for longest, asked for real; the share of hits after it has filled.
    fn simulated(assets: u64, skew: f64, kept: usize, mut seed: u64) -> f64 {
        let weights: Vec<f64> = (1..=assets).map(|rank| (rank as f64).powf(-skew)).collect();
        let whole: f64 = weights.iter().sum();
        let mut cumulated: Vec<f64> = Vec::new();
        for weight in &weights {
            cumulated.push(cumulated.last().copied().unwrap_or(0.0) + weight / whole);
        }
        let (mut held, mut hits, mut asked): (Vec<usize>, u32, u32) = (Vec::new(), 0, 0);
        for at in 0..24_000 {
            // Knuth's linear congruential generator.
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let draw = (seed >> 11) as f64 / (1u64 << 53) as f64;
            let asset = cumulated.partition_point(|upto| *upto <= draw).min(weights.len() - 1);
            let found = held.iter().position(|one| *one == asset);
            if at >= 4000 {
                asked += 1;
                hits += u32::from(found.is_some());
            }
            if let Some(found) = found {
                held.remove(found);
            }
            held.push(asset);
            if held.len() > kept {
                held.remove(0);
            }
        }
        f64::from(hits) / f64::from(asked)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn it_is_what_a_cache_that_is_asked_comes_to(assets in 10u64..200, skew in 0.0f64..1.5, share in 0.1f64..0.9, seed: u64) {
            let kept = ((assets as f64 * share) as usize).max(1);
            let (reckoned, seen) = (hit_share(assets, skew, kept as f64), simulated(assets, skew, kept, seed));
            prop_assert!((reckoned - seen).abs() < 0.03, "{kept} of {assets}, skew {skew:.2}: {reckoned:.3} reckoned, {seen:.3} seen");
        }

        #[test]
        fn more_room_never_has_less(assets in 1u64..500, skew in 0.0f64..2.0, kept in 0.0f64..500.0) {
            let (less, more) = (hit_share(assets, skew, kept), hit_share(assets, skew, kept + 1.0));
            prop_assert!((0.0..=1.0).contains(&less) && more >= less - 1e-9, "{less} {more}");
            prop_assert!((hit_share(assets, skew, assets as f64) - 1.0).abs() < 1e-12);
        }
    }
}
