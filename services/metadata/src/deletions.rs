//! What is left to do when an asset or something of it is deleted: its objects leave the store.
//!
//! The catalogue's entry and the note that its objects have to go change in one transaction; this task works the
//! notes off, one at a time, and tries again for as long as it takes. So a deletion is answered at once, also while
//! the store is away, and yet nothing is left. Everything here may be done twice.
//!
//! Objects that a job writes after that are taken care of when it publishes: a version of a deleted asset is refused,
//! and the asset's note is opened again.

use std::time::Duration;

use flame_object_store::{Store as Objects, StoreError as ObjectError};
use flame_service_host::problem::chain;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::store::{Deletion, Store, StoreResult, now_us};

/// Pause after the first failed attempt; it doubles with each.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// Longest pause between attempts.
const RETRY_MAX: Duration = Duration::from_secs(300);
/// Pause when the database could not be asked.
const DATABASE_RETRY: Duration = Duration::from_secs(10);
/// Pause where nothing is left to do.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// Unfinished uploads that are aborted at once; the rest in the next look.
const UPLOADS_AT_ONCE: usize = 100;

/// The prefixes below which everything that an asset may own lies (docs/storage-format.md). Ids have one length, so
/// no prefix covers a neighbour.
#[must_use]
pub fn owned_prefixes(tenant: &str, id: Uuid) -> [String; 7] {
    [
        format!("{tenant}/sources/{id}"),
        format!("{tenant}/posters/{id}."),
        format!("{tenant}/media/{id}/"),
        format!("{tenant}/live/{id}/"),
        format!("{tenant}/channels/{id}."),
        format!("{tenant}/channels-ended/{id}."),
        format!("{tenant}/subtitles/{id}/"),
    ]
}

/// Pause after the attempt number `attempts` (from 1) has failed.
#[must_use]
pub fn retry_after(attempts: i64) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    RETRY_FIRST.saturating_mul(2_u32.saturating_pow(doublings)).min(RETRY_MAX)
}

/// Works deletions off until `stop`.
pub(crate) async fn work_off(store: Store, objects: Objects, stop: CancellationToken) {
    loop {
        let pause = tokio::select! {
            pause = next(&store, &objects) => pause,
            () = stop.cancelled() => return,
        };
        tokio::select! {
            () = rest("deletions", pause) => {}
            () = store.deletion_noted() => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Waits until the next of `what` is due; where there is none, until it is time to look whether another process that shares the
/// database has left something undone.
pub(crate) async fn rest(what: &'static str, pause: StoreResult<Option<Duration>>) {
    let pause = pause.unwrap_or_else(|error| {
        tracing::error!(what, error = chain(&error), "what is left to do cannot be read or noted; it waits");
        Some(DATABASE_RETRY)
    });
    tokio::time::sleep(pause.unwrap_or(LOOK_AGAIN)).await;
}

/// Works off what is due of both kinds. Gives the pause until the next; `None` if there is none.
async fn next(store: &Store, objects: &Objects) -> StoreResult<Option<Duration>> {
    let deletion = work_off_next(store, objects).await?;
    let removal = remove_next(store, objects).await?;
    Ok([deletion, removal].into_iter().flatten().min())
}

/// Removes the next single object, if it is due. Gives the pause until the one after; `None` if there is none.
async fn remove_next(store: &Store, objects: &Objects) -> StoreResult<Option<Duration>> {
    let Some(removal) = store.next_removal().await? else { return Ok(None) };
    if let Some(pause) = until(removal.due_at_us) {
        return Ok(Some(pause));
    }
    match objects.delete(&removal.object_key).await {
        Ok(()) => {
            store.note_removal_done(&removal).await?;
            tracing::info!(key = removal.object_key, "an object that nothing names any more is gone");
        }
        Err(error) => {
            let attempts = removal.attempts + 1;
            let (error, pause) = (chain(&error), retry_after(attempts));
            tracing::warn!(key = removal.object_key, attempts, error, "an object that has to go is still there");
            store.note_removal_failed(&removal, &error, pause).await?;
        }
    }
    Ok(Some(Duration::ZERO))
}

/// The time until a moment that is still to come, microseconds since the Unix epoch.
pub(crate) fn until(due_at_us: i64) -> Option<Duration> {
    u64::try_from(due_at_us - now_us()).ok().filter(|early_us| *early_us > 0).map(Duration::from_micros)
}

/// Works the next deletion off, if it is due. Gives the pause until the one after; `None` if there is none.
async fn work_off_next(store: &Store, objects: &Objects) -> StoreResult<Option<Duration>> {
    let Some(deletion) = store.next_deletion().await? else { return Ok(None) };
    if let Some(pause) = until(deletion.due_at_us) {
        return Ok(Some(pause));
    }
    match remove(objects, &deletion).await {
        Ok(removed) => {
            store.note_deletion_done(&deletion).await?;
            tracing::info!(asset = %deletion.asset_id, tenant = deletion.tenant, removed, "a deleted asset's objects are gone");
        }
        Err(error) => {
            let attempts = deletion.attempts + 1;
            let (error, pause) = (chain(&error), retry_after(attempts));
            tracing::warn!(asset = %deletion.asset_id, attempts, error, "a deleted asset's objects are still there");
            store.note_deletion_failed(&deletion, &error, pause).await?;
        }
    }
    Ok(Some(Duration::ZERO))
}

async fn remove(objects: &Objects, deletion: &Deletion) -> Result<u64, ObjectError> {
    let mut removed = 0;
    for prefix in owned_prefixes(&deletion.tenant, deletion.asset_id) {
        loop {
            let uploads = objects.list_multipart(&prefix, UPLOADS_AT_ONCE).await?;
            if uploads.is_empty() {
                break;
            }
            for open in uploads {
                objects.abort_multipart(&open.upload).await?;
            }
        }
        removed += objects.delete_prefix(&prefix).await?;
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound() {
        let pauses: Vec<u64> = [1, 2, 3, 9, 10, 40, i64::MAX].map(|attempts| retry_after(attempts).as_secs()).into();
        assert_eq!(pauses, [1, 2, 4, 256, 300, 300, 300]);
    }
}
