//! Whether what tenants hold is still there.
//!
//! Who deletes an asset tells the catalogue, and the catalogue deletes the asset's objects; nobody tells us. So the sources of
//! finished uploads are looked at in turn, and before a tenant is refused for its bytes its own first. A source that has gone
//! frees what it held. It deletes nothing: all that can be wrong after a mistake here is a figure.
//!
//! A look costs many questions to the store. So who is refused has one in [`PAUSE`] for its tenant, however many ask: all who came
//! before it began share what it saw. At most [`WAITING_MAX`] wait for it, and no tenant waits for another's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use flame_object_store::StoreError;
use futures_util::{StreamExt, TryStreamExt};
use time::OffsetDateTime;

use crate::depot;
use crate::intake::Intake;
use crate::store::{QuotaExceeded, RecordError, RecordResult};

/// Between the beginnings of two looks for one tenant.
const PAUSE: Duration = Duration::from_secs(2);
/// Requests of a tenant that wait for a look; further ones are refused without.
const WAITING_MAX: usize = 16;
/// Questions to the store at once.
const HEADS_MAX: usize = 8;
/// Sources that are looked at in one go.
const BATCH: u32 = 500;

/// Why a look ended early.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The store.
    #[error("sources cannot be looked at")]
    Store(#[from] StoreError),
    /// The database.
    #[error("what was seen cannot be noted")]
    Record(#[from] RecordError),
}

/// Whoever looks at what a tenant holds, or waits for it. Cheap to clone; as large as the number of tenants that were refused lately.
#[derive(Debug, Clone, Default)]
pub struct Looks(Arc<Mutex<HashMap<String, Arc<Seat>>>>);

#[derive(Debug, Default)]
struct Seat {
    last: tokio::sync::Mutex<Option<Last>>,
}

/// The look that was begun last.
#[derive(Debug, Clone, Copy)]
struct Last {
    began: Instant,
    /// Whether it came to its end.
    is_whole: bool,
}

// === impl Looks ===

impl Looks {
    /// A place in the line of a tenant, unless too many stand there.
    fn seat(&self, tenant: &str) -> Option<Arc<Seat>> {
        let mut seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One reference is the map's: who is not waited for, and whose pause is over, is forgotten.
        seats.retain(|_, seat| {
            let is_over = |last: &Last| last.began.elapsed() >= PAUSE;
            Arc::strong_count(seat) > 1 || seat.last.try_lock().is_ok_and(|last| !last.as_ref().is_none_or(is_over))
        });
        let seat = seats.entry(tenant.to_owned()).or_default();
        (Arc::strong_count(seat) <= WAITING_MAX).then(|| Arc::clone(seat))
    }
}

/// Looks at those sources of a tenant, or of all, that were not looked at for the longest time. Gives how many have gone.
pub async fn look(intake: &Intake, tenant: Option<&str>) -> Result<usize, LookError> {
    let now = OffsetDateTime::now_utc();
    let store = intake.depot.store();
    let records = intake.uploads.to_look_at(tenant, BATCH).await?;
    let looks = records.into_iter().map(|record| async move {
        let found = store.head(&depot::source_key(&record)).await?;
        Ok::<_, LookError>((record, found.is_some()))
    });
    let seen: Vec<_> = futures_util::stream::iter(looks).buffered(HEADS_MAX).try_collect().await?;
    let (there, gone): (Vec<_>, Vec<_>) = seen.into_iter().partition(|(_, is_there)| *is_there);
    if !gone.is_empty() {
        // A look at an object of a bucket that is not there says the same as one at an object that is not there; a list does not.
        store.list("ready", None).await?;
    }
    for (record, _) in &gone {
        intake.uploads.release(record, now + intake.limits.expiry.0).await?;
        tracing::info!(id = %record.id, tenant = record.tenant, "the asset of an upload was deleted");
    }
    let there: Vec<_> = there.iter().map(|(record, _)| record.id).collect();
    intake.uploads.looked_at(&there, now).await?;
    Ok(gone.len())
}

/// Has what a tenant holds looked at, from now on. `false`: too many wait for that already, or the store does not answer.
///
/// # Errors
/// The database's.
pub async fn look_for(intake: &Intake, tenant: &str) -> RecordResult<bool> {
    let asked = Instant::now();
    let Some(seat) = intake.looks.seat(tenant) else { return Ok(false) };
    let mut last = seat.last.lock().await;
    if let Some(before) = *last {
        if before.is_whole && before.began >= asked {
            return Ok(true);
        }
        tokio::time::sleep_until((before.began + PAUSE).into()).await;
    }
    let began = Instant::now();
    // Noted first: who leaves in the middle of it has had it.
    *last = Some(Last { began, is_whole: false });
    match look(intake, Some(tenant)).await {
        Ok(_) => {
            *last = Some(Last { began, is_whole: true });
            Ok(true)
        }
        Err(LookError::Record(error)) => Err(error),
        Err(LookError::Store(error)) => {
            tracing::warn!(%error, tenant, "what a tenant holds cannot be looked at");
            Ok(false)
        }
    }
}

/// Whether what was refused is worth another try: the tenant's bytes were in the way, and what it holds has been looked at. Whether that
/// look found what has gone, or another one just before it, cannot be told here. Otherwise the refusal.
pub async fn make_room(intake: &Intake, tenant: &str, refused: RecordError) -> RecordResult<()> {
    match &refused {
        RecordError::Quota(QuotaExceeded::Stored { .. }) if look_for(intake, tenant).await? => Ok(()),
        // No look ends an upload that is open.
        RecordError::Quota(QuotaExceeded::Stored { .. } | QuotaExceeded::Open { .. })
        | RecordError::Database { .. }
        | RecordError::Migrate(_)
        | RecordError::TooNew { .. }
        | RecordError::Damaged { .. } => Err(refused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_of_a_tenant_wait_and_no_tenant_stands_in_anothers_way() {
        let looks = Looks::default();
        let crowd: Vec<_> = std::iter::from_fn(|| looks.seat("crowd")).take(1000).collect();
        assert_eq!(crowd.len(), WAITING_MAX);
        assert!(looks.seat("other").is_some() && looks.seat("crowd").is_none());
        drop(crowd);
        assert!(looks.seat("crowd").is_some());
        // Who waits for nothing leaves nothing behind.
        assert_eq!(looks.0.lock().unwrap().len(), 1);
    }
}
