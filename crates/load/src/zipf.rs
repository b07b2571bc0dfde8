//! What is watched: of `n` assets the one of rank `k` as often as 1/k^s (Zipf's law, which audiences of video follow). Pure.

/// How often each rank is chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Zipf {
    /// The chance of this rank or a better one; the last is 1.
    cumulated: Vec<f64>,
}

// === impl Zipf ===

impl Zipf {
    /// Of `count` ranks, with the exponent `skew`: 0 chooses all alike. One rank where `count` is 0.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "ranks are few")]
    pub fn new(count: usize, skew: f64) -> Self {
        let weights: Vec<f64> = (1..=count.max(1)).map(|rank| (rank as f64).powf(-skew.max(0.0))).collect();
        let whole: f64 = weights.iter().sum();
        let mut sum = 0.0;
        let cumulated = weights.iter().map(|weight| {
            sum += weight / whole;
            sum
        });
        Self { cumulated: cumulated.collect() }
    }

    /// The rank, from 0, that a draw of 0 to below 1 falls on.
    #[must_use]
    pub fn pick(&self, draw: f64) -> usize {
        self.cumulated.partition_point(|upto| *upto <= draw).min(self.cumulated.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DRAWS: u32 = 5000;

    proptest! {
        #[test]
        fn each_rank_comes_as_often_as_its_weight(count in 1usize..50, skew in 0.0f64..2.0) {
            let zipf = Zipf::new(count, skew);
            let mut seen = vec![0u32; count];
            // Draws at equal distances: what is counted is the length of each rank's stretch.
            for draw in 0..DRAWS {
                seen[zipf.pick((f64::from(draw) + 0.5) / f64::from(DRAWS))] += 1;
            }
            let weight = |rank: usize| ((rank + 1) as f64).powf(-skew);
            let whole: f64 = (0..count).map(weight).sum();
            for (rank, seen) in seen.iter().enumerate() {
                let share = f64::from(*seen) / f64::from(DRAWS);
                prop_assert!((share - weight(rank) / whole).abs() < 2.0 / f64::from(DRAWS), "rank {rank}: {share}");
            }
            prop_assert!(zipf.pick(0.999_999_999) < count && zipf.pick(1.0) < count);
        }
    }
}
