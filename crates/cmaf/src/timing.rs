//! Decode times for samples that only know when they are shown.
//!
//! Encoders and containers disagree about decode times: some start below zero, some are missing, some run
//! late. A track needs one rule, and it is this: *the n-th sample in decode order is decoded at the n-th
//! smallest presentation time.* Decode times then increase strictly, the first one equals the first
//! presentation time (so no edit list is needed), every presentation time stays exactly as it was (variable
//! frame rates and gaps included), and composition offsets, which may be negative, stay within the reorder
//! depth. A closed GOP holds all its presentation times before those of the next, so the rule gives the same
//! answer applied to one GOP at a time.

use thiserror::Error;

/// Presentation times that no decode times fit to.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TimingError {
    /// Two samples are shown at the same time.
    #[error("two samples are presented at tick {pts_ticks}")]
    Duplicate {
        /// The time they share.
        pts_ticks: i64,
    },
}

/// The decode times of samples given by their presentation times in decode order; same unit, same order.
///
/// # Errors
/// [`TimingError::Duplicate`] if two presentation times are equal.
pub fn decode_times(pts_ticks: &[i64]) -> Result<Vec<i64>, TimingError> {
    let mut sorted = pts_ticks.to_vec();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(TimingError::Duplicate { pts_ticks: pair[0] }),
        None => Ok(sorted),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reorders_like_an_encoder_with_b_frames() {
        // I P B B P B B at 30 fps in 90 kHz ticks.
        let pts = [0, 9000, 3000, 6000, 18000, 12000, 15000];
        let dts = decode_times(&pts).unwrap();
        assert_eq!(dts, [0, 3000, 6000, 9000, 12000, 15000, 18000]);
        assert_eq!(pts.iter().zip(&dts).map(|(p, d)| p - d).min(), Some(-3000));
    }

    #[test]
    fn refuses_equal_times() {
        assert_eq!(decode_times(&[0, 5, 5]), Err(TimingError::Duplicate { pts_ticks: 5 }));
    }

    proptest! {
        #[test]
        fn increase_strictly_and_start_with_the_first_picture(
            times in prop::collection::hash_set(-1_000_000_i64..1_000_000_000, 1..200)
        ) {
            let pts: Vec<i64> = times.into_iter().collect();
            let dts = decode_times(&pts).unwrap();
            prop_assert!(dts.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert_eq!(dts.first(), pts.iter().min());
            prop_assert_eq!(dts.last(), pts.iter().max());
        }

        #[test]
        fn of_closed_gops_can_be_assigned_one_by_one(lengths in prop::collection::vec(1_usize..12, 1..8)) {
            let mut whole = Vec::new();
            let mut piecewise = Vec::new();
            for length in lengths {
                let start = i64::try_from(whole.len()).unwrap() * 10;
                // Decode order of a GOP whose first picture is followed by the others backwards.
                let others = (1..length).rev().map(|n| start + i64::try_from(n).unwrap() * 10);
                let gop: Vec<i64> = std::iter::once(start).chain(others).collect();
                piecewise.extend(decode_times(&gop).unwrap());
                whole.extend(gop);
            }
            prop_assert_eq!(decode_times(&whole).unwrap(), piecewise);
        }
    }
}
