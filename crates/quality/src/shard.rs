//! A part of the cases of suites, so that several machines share them.
//!
//! Cases are dealt out in turn, whatever suite they are of. What must fail is in every part that has a case of its suite: a run without its
//! control shows nothing.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

/// Most parts.
pub const SHARDS_MAX: u32 = 1000;

/// The `index`-th part of `count`, from 1: `2/5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: NonZeroU32,
    count: NonZeroU32,
}

// === impl Shard ===

impl Shard {
    /// Which cases of each suite are in it. `suites`: of each case of each suite whether it must fail.
    #[must_use]
    pub fn takes(self, suites: &[Vec<bool>]) -> Vec<Vec<bool>> {
        let mut number = 0_u32;
        let mut dealt = |must_fail: &bool| {
            let is_ours = !must_fail && number % self.count == self.index.get() - 1;
            number += u32::from(!must_fail);
            is_ours
        };
        let mut taken: Vec<Vec<bool>> = suites.iter().map(|cases| cases.iter().map(&mut dealt).collect()).collect();
        for (taken, cases) in taken.iter_mut().zip(suites) {
            let holds_only_controls = cases.iter().all(|must_fail| *must_fail);
            // A suite of controls alone is the first part's.
            if taken.contains(&true) || (holds_only_controls && self.index.get() == 1) {
                taken.iter_mut().zip(cases).for_each(|(taken, must_fail)| *taken |= must_fail);
            }
        }
        taken
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<NonZeroU32>().ok().filter(|number| number.get() <= SHARDS_MAX);
        let parts = text.split_once('/').and_then(|(index, count)| Some((number(index)?, number(count)?)));
        let found = parts.filter(|(index, count)| index <= count);
        found.map(|(index, count)| Self { index, count }).ok_or_else(|| {
            format!("`{text}` is no part such as 2/5: its number, from 1, and how many there are, at most {SHARDS_MAX}")
        })
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_part_is_written_as_two_numbers() {
        for right in ["1/1", "2/5", "1000/1000"] {
            assert_eq!(right.parse::<Shard>().unwrap().to_string(), right);
        }
        for wrong in ["", "2", "0/5", "6/5", "1/0", "1/1001", "a/b", "1/2/3", "-1/2"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn all_parts_together_run_each_case_once_and_none_without_its_controls(
            suites in prop::collection::vec(prop::collection::vec(any::<bool>(), 1..8), 1..5),
            count in 1_u32..7,
        ) {
            let parts: Vec<_> = (1..=count).map(|index| format!("{index}/{count}").parse::<Shard>().unwrap().takes(&suites)).collect();
            for (suite, cases) in suites.iter().enumerate() {
                for (case, must_fail) in cases.iter().enumerate() {
                    let runs = parts.iter().filter(|part| part[suite][case]).count();
                    let is_right = if *must_fail { runs >= 1 } else { runs == 1 };
                    prop_assert!(is_right);
                }
                for part in parts.iter().filter(|part| part[suite].contains(&true)) {
                    prop_assert!(cases.iter().zip(&part[suite]).all(|(must_fail, taken)| !must_fail || *taken));
                }
            }
            // No part has much more to do than another one.
            let own = |part: &Vec<Vec<bool>>| {
                part.iter().flatten().zip(suites.iter().flatten()).filter(|(taken, must_fail)| **taken && !**must_fail).count()
            };
            let sizes: Vec<_> = parts.iter().map(own).collect();
            prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
        }
    }
}
