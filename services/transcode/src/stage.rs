//! What a job is doing, in words for people, and how much of the whole each part of it is. Pure.

use flame_jobs::job::{Phase, Standing};

/// A part of a job's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Waits for its first attempt.
    Waiting,
    /// Waits for another attempt.
    WaitingAgain,
    /// Brings the source to this machine.
    Fetching,
    /// Encodes.
    Encoding,
    /// Measures whether the tracks pass their gates.
    Checking,
    /// Stores the tracks.
    Storing,
    /// Tells the catalogue.
    Publishing,
    /// Removes what a failed or cancelled job has left.
    CleaningUp,
    /// Is published.
    Done,
    /// Was given up.
    Failed,
    /// Was cancelled.
    Cancelled,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// What it is doing.
    pub stage: Stage,
    /// How much of this stage is done, 0 to 1.
    pub fraction: f64,
}

// === impl Stage ===

impl Stage {
    /// The words that callers see.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::WaitingAgain => "waiting for another attempt",
            Self::Fetching => "fetching the source",
            Self::Encoding => "encoding",
            Self::Checking => "checking",
            Self::Storing => "storing",
            Self::Publishing => "publishing",
            Self::CleaningUp => "cleaning up",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The stage that a job is in after a change of phase.
    #[must_use]
    pub fn of(standing: &Standing) -> Self {
        match standing.phase {
            Phase::Queued if standing.attempt == 0 => Self::Waiting,
            Phase::Queued => Self::WaitingAgain,
            Phase::Running => Self::Fetching,
            Phase::Publishing => Self::Publishing,
            Phase::Failing | Phase::Cancelling => Self::CleaningUp,
            Phase::Succeeded => Self::Done,
            Phase::Failed => Self::Failed,
            Phase::Cancelled => Self::Cancelled,
        }
    }

    /// The shares of the whole at which it begins and ends; `None` where it says nothing about how much is done.
    fn span(self) -> Option<(f64, f64)> {
        match self {
            Self::Waiting | Self::WaitingAgain => Some((0.0, 0.0)),
            Self::Fetching => Some((0.0, 0.05)),
            Self::Encoding => Some((0.05, 0.85)),
            Self::Checking => Some((0.85, 0.9)),
            Self::Storing => Some((0.9, 0.98)),
            Self::Publishing => Some((0.98, 0.99)),
            Self::Done => Some((1.0, 1.0)),
            Self::CleaningUp | Self::Failed | Self::Cancelled => None,
        }
    }
}

// === impl Progress ===

impl Progress {
    /// The start of a stage.
    #[must_use]
    pub fn start(stage: Stage) -> Self {
        Self { stage, fraction: 0.0 }
    }

    /// How much of the whole job is done, 0 to 1; `None` where it stays what it was.
    #[must_use]
    pub fn of_whole(self) -> Option<f64> {
        let fraction = if self.fraction.is_finite() { self.fraction.clamp(0.0, 1.0) } else { 0.0 };
        self.stage.span().map(|(begin, end)| begin + (end - begin) * fraction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_goes_well_never_goes_back() {
        let stages = [
            Stage::Waiting,
            Stage::Fetching,
            Stage::Encoding,
            Stage::Checking,
            Stage::Storing,
            Stage::Publishing,
            Stage::Done,
        ];
        let steps = stages.into_iter().flat_map(|stage| [0.0, 0.5, 1.0].map(|fraction| Progress { stage, fraction }));
        let whole: Vec<f64> = steps.filter_map(Progress::of_whole).collect();
        assert!(whole.is_sorted(), "{whole:?}");
        assert_eq!((whole[0], whole[whole.len() - 1]), (0.0, 1.0));
    }

    #[test]
    fn a_fraction_that_is_none_counts_as_nothing() {
        for fraction in [f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(Progress { stage: Stage::Encoding, fraction }.of_whole(), Some(0.05));
        }
        assert_eq!(Progress::start(Stage::CleaningUp).of_whole(), None);
    }
}
