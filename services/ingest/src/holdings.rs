//! Whether what tenants hold is still there.
//!
//! Who deletes an asset tells the catalogue, and the catalogue deletes the asset's objects; nobody tells us. So the sources of
//! finished uploads are looked at in turn, and before a tenant is refused for its quota its own first. A source that has gone
//! frees what it held. It deletes nothing: all that can be wrong after a mistake here is a figure.

use flame_object_store::StoreError;
use time::OffsetDateTime;

use crate::depot;
use crate::intake::Intake;
use crate::store::{RecordError, RecordResult};

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

/// Looks at those sources of a tenant, or of all, that were not looked at for the longest time. Gives how many have gone.
pub async fn look(intake: &Intake, tenant: Option<&str>) -> Result<usize, LookError> {
    // One at a time, however many are refused at once.
    let _turn = intake.looks.lock().await;
    let now = OffsetDateTime::now_utc();
    let store = intake.depot.store();
    let (mut there, mut gone) = (Vec::new(), Vec::new());
    for record in intake.uploads.to_look_at(tenant, BATCH).await? {
        match store.head(&depot::source_key(&record)).await? {
            Some(_) => there.push(record.id),
            None => gone.push(record),
        }
    }
    if !gone.is_empty() {
        // A look at an object of a bucket that is not there says the same as one at an object that is not there; a list does not.
        store.list("ready", None).await?;
    }
    for record in &gone {
        intake.uploads.release(record, now + intake.limits.expiry.0).await?;
        tracing::info!(id = %record.id, tenant = record.tenant, "the asset of an upload was deleted");
    }
    intake.uploads.looked_at(&there, now).await?;
    Ok(gone.len())
}

/// Whether what was refused is worth another try: the tenant's quota was in the way, and what it holds has been looked at. Whether that
/// look found what has gone, or another one just before it, cannot be told here. Otherwise the refusal.
pub async fn make_room(intake: &Intake, tenant: &str, refused: RecordError) -> RecordResult<()> {
    if !matches!(refused, RecordError::Quota(_)) {
        return Err(refused);
    }
    match look(intake, Some(tenant)).await {
        Ok(_) => Ok(()),
        Err(LookError::Record(error)) => Err(error),
        Err(LookError::Store(error)) => {
            tracing::warn!(%error, tenant, "what a tenant holds cannot be looked at");
            Err(refused)
        }
    }
}
