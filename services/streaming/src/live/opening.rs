//! Taking the channels back at a start, also where the object store is away then: it may come later than this service. Until it has come,
//! nothing that lies in it can be answered, live or on demand (`http::opening`), and `/health/ready` says why.

use std::sync::PoisonError;
use std::time::Duration;

use flame_object_store::StoreError;
use flame_service_host::problem::chain;
use tokio::time::{sleep, timeout};

use super::archive::RestoreError;
use super::{Live, LiveError};

/// A key that is never written: looking for it shows whether the store answers.
const PROBE_KEY: &str = "health";
/// How long the store has for that: one that takes connections and says nothing is away, too.
const PROBE_WITHIN: Duration = Duration::from_secs(2);
/// Pause before the store is tried again, and the longest that it becomes by doubling.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(5);

// === impl Live ===

impl Live {
    /// Takes the channels back, or tries what sharing them needs; where the store is away [`Live::open_at_last`] goes on.
    ///
    /// # Errors
    /// What waiting does not mend: credentials that open nothing, a store that keeps no conditions.
    pub(super) async fn open_now(&self) -> Result<(), LiveError> {
        match self.take_up().await {
            Err(error) if !is_away(&error) => Err(error),
            Err(_) | Ok(()) => Ok(()),
        }
    }

    /// Tries on until the channels are taken back.
    pub(super) async fn open_at_last(&self) {
        let mut pause = PAUSE;
        while self.unopened().is_some() {
            sleep(pause).await;
            pause = (2 * pause).min(PAUSE_MAX);
            if self.take_up().await.is_ok() {
                tracing::info!("the object store has come");
            }
        }
    }

    /// Why nothing that is stored can be answered yet; `None` once the store was there and the channels are taken back.
    pub(crate) fn unopened(&self) -> Option<String> {
        self.0.unopened.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn take_up(&self) -> Result<(), LiveError> {
        let begun = self.try_to_begin().await;
        let reason = begun.as_ref().err().map(|error| chain(error));
        if let Some(error) = &reason {
            tracing::warn!(error, "live channels are not taken back yet; trying on");
            // What was taken back before it failed is taken back again.
            self.channels().clear();
        }
        *self.0.unopened.write().unwrap_or_else(PoisonError::into_inner) = reason;
        begun
    }

    async fn try_to_begin(&self) -> Result<(), LiveError> {
        // What follows may take as long as there are channels; this may not.
        match timeout(PROBE_WITHIN, self.0.store.head(PROBE_KEY)).await {
            Ok(found) => drop(found?),
            Err(_) => return Err(LiveError::StoreSilent(PROBE_WITHIN)),
        }
        match self.0.sharing {
            Some(_) => self.try_conditions().await,
            None => self.restore_all().await,
        }
    }
}

/// Whether it may be otherwise in a while: the store does not answer, or its bucket is not made yet.
fn is_away(error: &LiveError) -> bool {
    match error {
        LiveError::StoreSilent(_) => true,
        LiveError::Store(error) | LiveError::Restore(RestoreError::Store(error)) => {
            matches!(error, StoreError::Unavailable { .. } | StoreError::NotFound { .. })
        }
        LiveError::Seal(error) => error.is_of_the_store(),
        _ => false,
    }
}
