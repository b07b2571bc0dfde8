//! What has been in the trash for long enough is erased; its objects go the way of all deletions.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::deletions::{rest, until};
use crate::store::{Store, StoreResult};

/// Erases what is due until `stop`.
pub(crate) async fn work_off(store: Store, stop: CancellationToken) {
    loop {
        let pause = tokio::select! {
            pause = next(&store) => pause,
            () = stop.cancelled() => return,
        };
        tokio::select! {
            () = rest("trash", pause) => {}
            () = store.trash_noted() => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Erases the asset that was put into the trash first, if it is due. Gives the pause until the next; `None` if there is none.
async fn next(store: &Store) -> StoreResult<Option<Duration>> {
    let Some(trashed) = store.next_trashed().await? else { return Ok(None) };
    if let Some(pause) = until(trashed.due_at_us) {
        return Ok(Some(pause));
    }
    store.erase_trashed(&trashed).await?;
    tracing::info!(asset = %trashed.asset_id, tenant = trashed.tenant, "an asset was in the trash for long enough, and is gone");
    Ok(Some(Duration::ZERO))
}
