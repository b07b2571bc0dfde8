//! Scores of many frames become a few numbers: the mean hides what viewers remember, so low percentiles stand beside it.

use flame_api::quality::{Pooled, Scores, WorstFrame};

/// Frames that are named as the worst.
pub const WORST_FRAMES: usize = 5;

/// Pools the scores of one column. `None` if there are none.
///
/// The harmonic mean is libvmaf's (of value + 1, minus 1). Percentiles are the nearest rank: a score that a frame has.
#[must_use]
pub fn pool(values: &[f64]) -> Option<Pooled> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (&min, &max) = (sorted.first()?, sorted.last()?);
    let count = values.len() as f64;
    let rank = |percent: usize| sorted[(percent * sorted.len()).div_ceil(100).max(1) - 1];
    Some(Pooled {
        mean: values.iter().sum::<f64>() / count,
        harmonic_mean: count / values.iter().map(|value| 1.0 / (value + 1.0)).sum::<f64>() - 1.0,
        min,
        max,
        p1: rank(1),
        p5: rank(5),
        p10: rank(10),
    })
}

/// The frames with the lowest scores of a column, worst first, from different moments: of frames within half a second
/// only the worst is named.
#[must_use]
pub fn worst(scores: &Scores, column: usize) -> Vec<WorstFrame> {
    let mut frames: Vec<_> = scores.frames.iter().collect();
    frames.sort_by(|a, b| a.values[column].total_cmp(&b.values[column]));
    let mut worst: Vec<WorstFrame> = Vec::new();
    for frame in frames {
        if worst.len() == WORST_FRAMES {
            break;
        }
        if worst.iter().all(|other| (other.time_ms - frame.time_ms).abs() > 500.0) {
            worst.push(WorstFrame {
                distorted: frame.distorted,
                reference: frame.reference,
                time_ms: frame.time_ms,
                score: frame.values[column],
            });
        }
    }
    worst
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_figures() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        let pooled = pool(&values).expect("there are some");
        assert_eq!((pooled.p1, pooled.p5, pooled.p10), (1.0, 5.0, 10.0));
        assert_eq!((pooled.min, pooled.max, pooled.mean), (1.0, 100.0, 50.5));
        assert_eq!(pool(&[]), None);
        assert_eq!(pool(&[7.0]).map(|pooled| pooled.p1), Some(7.0));
    }

    proptest! {
        #[test]
        fn ordered(values in prop::collection::vec(0.0..100.0_f64, 1..300)) {
            let pooled = pool(&values).expect("there are some");
            prop_assert!(pooled.min <= pooled.p1 && pooled.p1 <= pooled.p5 && pooled.p5 <= pooled.p10);
            prop_assert!(pooled.harmonic_mean <= pooled.mean + 1e-9);
            prop_assert!(pooled.min <= pooled.harmonic_mean + 1e-9 && pooled.mean <= pooled.max + 1e-9);
            for percentile in [pooled.p1, pooled.p5, pooled.p10] {
                prop_assert!(values.contains(&percentile));
            }
        }
    }
}
