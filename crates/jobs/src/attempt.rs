//! How an attempt at a job ends, and how that is said. It never decides what becomes of the job; [`crate::job`] does.

use std::time::Duration;

use flame_media_child::ChildError;
use flame_media_child::protocol::Fault;
use flame_service_host::problem::chain;
use tokio_util::sync::CancellationToken;

use crate::job::Report;
use crate::metrics::AttemptEnd;
use crate::patience::{GaveUp, Patience};
use crate::queue::{LeaseKey, ReportError};

/// Longest reason of a failure that is kept, in characters; the rest is cut off.
pub const REASON_MAX_CHARS: usize = 2000;

/// Why an attempt was not successful.
#[derive(Debug)]
pub enum Unfinished {
    /// It failed.
    Failed {
        /// Whose fault it is.
        fault: Fault,
        /// What was tried, on what, and what went wrong.
        reason: String,
    },
    /// What it is for is gone.
    Orphaned {
        /// How that was found.
        reason: String,
    },
    /// It was told to end.
    Aborted,
}

/// An attempt that failed.
#[must_use]
pub fn failed(fault: Fault, reason: String) -> Unfinished {
    Unfinished::Failed { fault, reason }
}

/// An attempt that failed because of a media process.
#[must_use]
pub fn media_trouble(error: &ChildError) -> Unfinished {
    let fault = match error {
        ChildError::Cancelled => return Unfinished::Aborted,
        ChildError::Input { .. } => Fault::Input,
        // A file that brings its child down, or keeps it busy for ever, is found out by the number of failures.
        ChildError::Environment { .. }
        | ChildError::Crashed { .. }
        | ChildError::TimedOut { .. }
        | ChildError::TooMuchMemory { .. }
        | ChildError::NotFound { .. }
        | ChildError::Start { .. }
        | ChildError::Protocol { .. } => Fault::Environment,
    };
    failed(fault, chain(error))
}

// === impl Unfinished ===

impl Unfinished {
    /// What is reported of it, and how it is counted. The reason is cut to [`REASON_MAX_CHARS`], because a failure whose text is
    /// too long must still be noted.
    #[must_use]
    pub fn report(self) -> (AttemptEnd, Report) {
        match self {
            Self::Failed { fault, reason } => (AttemptEnd::Failed, Report::Fail { fault, reason: kept(&reason) }),
            Self::Orphaned { reason } => (AttemptEnd::Orphaned, Report::Orphaned { reason: kept(&reason) }),
            Self::Aborted => (AttemptEnd::Interrupted, Report::Interrupt),
        }
    }
}

fn kept(reason: &str) -> String {
    reason.chars().take(REASON_MAX_CHARS).collect()
}

/// Reports the end of an attempt. A database that is away is waited for as long as half of the lease's `life`; then the lease
/// runs out.
pub async fn say<T, F, Saying>(lease: LeaseKey, life: Duration, report: F)
where
    F: FnMut() -> Saying,
    Saying: Future<Output = Result<T, ReportError>>,
{
    let never = CancellationToken::new();
    let patience = Patience { limit: life / 2, abort: &never };
    if let Err(GaveUp::Failed(error)) = patience.call(report).await {
        tracing::error!(seq = lease.seq, error = chain(&error), "a report was not taken; the lease will run out");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let (end, report) = failed(Fault::Input, "ä".repeat(REASON_MAX_CHARS + 1)).report();
        let Report::Fail { reason, .. } = report else { panic!("{report:?}") };
        assert_eq!((end, reason.chars().count()), (AttemptEnd::Failed, REASON_MAX_CHARS));
    }
}
