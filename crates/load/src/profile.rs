//! Who comes when, and who leaves: a profile of steps in, the stays of single viewers out. Pure; the dice are the caller's.
//!
//! Within the ramp of a step viewers arrive as a Poisson process does that is known to bring so many: at independent moments of equal
//! chance. After the ramp there are exactly as many as the step says.

use serde::{Deserialize, Serialize};

/// Stays of one profile: each is a task of its own.
pub const STAYS_MAX: usize = 20_000;

/// How many viewers there are, over time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Profile {
    /// One after the other.
    pub steps: Vec<Step>,
}

/// A span of time with so many viewers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// How long it lasts, milliseconds.
    pub lasts_ms: u64,
    /// Viewers.
    pub viewers: usize,
    /// Time within which they come or go, milliseconds; at most the whole step.
    pub ramp_ms: u64,
}

/// When one viewer is there, milliseconds from the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stay {
    /// Comes.
    pub from_ms: u64,
    /// Leaves.
    pub until_ms: u64,
}

/// A profile with more stays than [`STAYS_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the profile makes more than {STAYS_MAX} viewers come: give it fewer, or fewer steps")]
pub struct TooMany;

// === impl Step ===

impl Step {
    fn ramp_ms(self) -> u64 {
        self.ramp_ms.min(self.lasts_ms)
    }
}

// === impl Profile ===

impl Profile {
    /// So many viewers for so long, who come within `ramp_ms`.
    #[must_use]
    pub fn steady(viewers: usize, lasts_ms: u64, ramp_ms: u64) -> Self {
        Self { steps: vec![Step { lasts_ms, viewers, ramp_ms }] }
    }

    /// How long it takes, milliseconds.
    #[must_use]
    pub fn lasts_ms(&self) -> u64 {
        self.steps.iter().map(|step| step.lasts_ms).sum()
    }

    /// When each viewer comes and leaves. `draw` gives numbers of 0 to below 1, each as likely.
    ///
    /// # Errors
    /// [`TooMany`].
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "milliseconds fit"
    )]
    pub fn stays(&self, mut draw: impl FnMut() -> f64) -> Result<Vec<Stay>, TooMany> {
        let (end_ms, mut from_ms) = (self.lasts_ms(), 0);
        let mut stays: Vec<Stay> = Vec::new();
        // The last to come is the first to leave: those of a crowd go with it.
        let mut there: Vec<usize> = Vec::new();
        for step in &self.steps {
            let mut moment = || from_ms + (draw().clamp(0.0, 1.0) * step.ramp_ms() as f64) as u64;
            while there.len() < step.viewers {
                if stays.len() >= STAYS_MAX {
                    return Err(TooMany);
                }
                there.push(stays.len());
                stays.push(Stay { from_ms: moment(), until_ms: end_ms });
            }
            while there.len() > step.viewers {
                if let Some(leaves) = there.pop() {
                    stays[leaves].until_ms = moment();
                }
            }
            from_ms += step.lasts_ms;
        }
        Ok(stays)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn step() -> impl Strategy<Value = Step> {
        (1u64..5000, 0usize..40, 0u64..8000).prop_map(|(lasts_ms, viewers, ramp_ms)| Step {
            lasts_ms,
            viewers,
            ramp_ms,
        })
    }

    proptest! {
        #[test]
        fn after_each_ramp_there_are_as_many_as_the_step_says(
            steps in prop::collection::vec(step(), 1..8),
            draws in prop::collection::vec(0.0f64..1.0, 1..50),
        ) {
            let profile = Profile { steps };
            let mut at = 0;
            let stays = profile.stays(|| { at += 1; draws[at % draws.len()] }).unwrap();
            let there = |now_ms: u64| stays.iter().filter(|stay| (stay.from_ms..stay.until_ms).contains(&now_ms)).count();
            let (mut from_ms, mut before) = (0, 0);
            for step in &profile.steps {
                for now_ms in [from_ms + step.ramp_ms(), from_ms + step.lasts_ms - 1] {
                    if now_ms >= from_ms + step.ramp_ms() && now_ms < from_ms + step.lasts_ms {
                        prop_assert_eq!(there(now_ms), step.viewers);
                    }
                }
                // Within the ramp nobody comes who is not wanted before or after.
                let middle = there(from_ms + step.ramp_ms() / 2);
                prop_assert!(middle >= before.min(step.viewers) && middle <= before.max(step.viewers));
                (from_ms, before) = (from_ms + step.lasts_ms, step.viewers);
            }
            prop_assert!(stays.iter().all(|stay| stay.from_ms <= stay.until_ms && stay.until_ms <= profile.lasts_ms()));
        }
    }

    #[test]
    fn a_profile_that_would_fill_the_memory_is_refused() {
        let steps = vec![Step { lasts_ms: 10, viewers: STAYS_MAX + 1, ramp_ms: 0 }];
        assert_eq!(Profile { steps }.stays(|| 0.5), Err(TooMany));
    }
}
