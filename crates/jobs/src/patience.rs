//! Waiting for what is away: the same call again, with growing pauses, for a bounded time.

use std::error::Error;
use std::time::Duration;

use flame_api::ClientError;
use flame_object_store::StoreError;
use flame_service_host::problem::chain;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::queue::{self, ReportError};

/// Pause after the first try; it doubles with each further one.
const PAUSE: Duration = Duration::from_millis(250);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// An error of which somebody knows whether waiting may help.
pub trait MayPass: Error {
    /// Whether the same call may succeed later.
    fn may_pass(&self) -> bool;
}

/// Why a call was not successful in the end.
#[derive(Debug)]
pub enum GaveUp<E> {
    /// The job was interrupted while waiting.
    Aborted,
    /// It failed, for good or for too long.
    Failed(E),
}

/// How long, and until what, somebody waits.
#[derive(Debug, Clone, Copy)]
pub struct Patience<'a> {
    /// For how long, from the first try on.
    pub limit: Duration,
    /// Ends the waiting, but never a call that is under way.
    pub abort: &'a CancellationToken,
}

// === impl Patience ===

impl Patience<'_> {
    /// Calls until it succeeds, fails for good, or the patience is over.
    ///
    /// # Errors
    /// The last call's, or that waiting was ended.
    pub async fn call<T, E, F, Trying>(&self, mut call: F) -> Result<T, GaveUp<E>>
    where
        E: MayPass,
        F: FnMut() -> Trying,
        Trying: Future<Output = Result<T, E>>,
    {
        let end = Instant::now() + self.limit;
        let mut pause = PAUSE;
        loop {
            let error = match call().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            if !error.may_pass() || Instant::now() + pause > end {
                return Err(GaveUp::Failed(error));
            }
            tracing::warn!(error = chain(&error), pause_ms = pause.as_millis(), "waiting for what is away");
            tokio::select! {
                () = self.abort.cancelled() => return Err(GaveUp::Aborted),
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

impl MayPass for ClientError {
    fn may_pass(&self) -> bool {
        self.is_transient()
    }
}

impl MayPass for StoreError {
    fn may_pass(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::NotFound { .. }
            | Self::PreconditionFailed { .. }
            | Self::TooLarge { .. }
            | Self::StorageFull { .. }
            | Self::Denied { .. }
            | Self::Rejected { .. }
            | Self::File { .. } => false,
        }
    }
}

impl MayPass for ReportError {
    fn may_pass(&self) -> bool {
        match self {
            Self::Refused(_) => false,
            Self::Store(error) => match error {
                queue::StoreError::Busy(_) | queue::StoreError::Full(_) | queue::StoreError::Database(_) => true,
                queue::StoreError::Folder { .. }
                | queue::StoreError::TooNew { .. }
                | queue::StoreError::Migration { .. }
                | queue::StoreError::Damaged { .. } => false,
            },
        }
    }
}
