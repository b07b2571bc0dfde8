//! Numbers that were measured, and what is said of them. Pure.

use std::fmt;

/// What one side of a benchmark gave, a value a round.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Samples {
    sorted: Vec<f64>,
}

/// What a figure has to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
}

// === impl Samples ===

impl Samples {
    /// Adds a value.
    pub fn add(&mut self, value: f64) {
        let at = self.sorted.partition_point(|other| *other < value);
        self.sorted.insert(at, value);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.sorted.len()
    }

    /// The smallest; NaN if there is none.
    #[must_use]
    pub fn min(&self) -> f64 {
        self.sorted.first().copied().unwrap_or(f64::NAN)
    }

    /// The one in the middle, or the mean of the two there; NaN if there is none.
    #[must_use]
    pub fn median(&self) -> f64 {
        let half = self.sorted.len() / 2;
        match (self.sorted.len() % 2, self.sorted.get(half), half.checked_sub(1).map(|below| self.sorted[below])) {
            (0, Some(above), Some(below)) => f64::midpoint(below, *above),
            (_, Some(middle), _) => *middle,
            (_, None, _) => f64::NAN,
        }
    }

    /// The smallest value that `percent` of a hundred do not exceed; NaN if there is none.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.sorted.len() * percent).div_ceil(100).max(1);
        self.sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
    }

    /// The largest; NaN if there is none.
    #[must_use]
    pub fn max(&self) -> f64 {
        self.sorted.last().copied().unwrap_or(f64::NAN)
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut samples = Self::default();
        values.into_iter().for_each(|value| samples.add(value));
        samples
    }
}

// === impl Bound ===

impl Bound {
    /// Whether `value` is within it; no value (NaN) is not.
    #[must_use]
    pub fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(bound) => value <= bound,
            Self::AtLeast(bound) => value >= bound,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(bound) => write!(f, "<= {bound}"),
            Self::AtLeast(bound) => write!(f, ">= {bound}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_found_whatever_the_order() {
        let odd: Samples = [3.0, 1.0, 2.0].into_iter().collect();
        assert_eq!((odd.min(), odd.median(), odd.max()), (1.0, 2.0, 3.0));
        let even: Samples = [4.0, 1.0, 2.0, 3.0].into_iter().collect();
        assert_eq!((even.count(), even.median()), (4, 2.5));
        assert!(Samples::default().median().is_nan());
        let hundred: Samples = (1..=200).map(f64::from).collect();
        assert_eq!((hundred.percentile(50), hundred.percentile(99), even.percentile(1)), (100.0, 198.0, 1.0));
        assert!(Samples::default().percentile(99).is_nan());
    }

    #[test]
    fn nothing_measured_keeps_no_bound() {
        assert!(Bound::AtMost(3.0).holds(3.0) && !Bound::AtMost(3.0).holds(3.1));
        assert!(Bound::AtLeast(0.8).holds(0.8) && !Bound::AtLeast(0.8).holds(0.79));
        assert!(!Bound::AtMost(3.0).holds(f64::NAN) && !Bound::AtLeast(0.0).holds(f64::NAN));
    }
}
