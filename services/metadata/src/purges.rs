//! Telling surrogates what is no longer there: they keep what never changes for a year, and nobody asks them about it.
//!
//! Noted with the deletion, in one transaction; told by name, through the router, until it is done. One surrogate tells the
//! others. A name that is served to nobody needs no telling.

use std::time::Duration;

use flame_api::Client;
use flame_api::vcdn::Purge;
use flame_service_host::problem::chain;
use tokio_util::sync::CancellationToken;

use crate::deletions::{rest, retry_after, until};
use crate::store::{DuePurge, Store, StoreResult};

/// Asks for purges until `stop`.
pub(crate) async fn work_off(store: Store, client: Client, stop: CancellationToken) {
    loop {
        let pause = tokio::select! {
            pause = next(&store, &client) => pause,
            () = stop.cancelled() => return,
        };
        tokio::select! {
            () = rest("purges", pause) => {}
            () = store.purge_noted() => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Asks for the next purge, if it is due. Gives the pause until the one after; `None` if there is none.
async fn next(store: &Store, client: &Client) -> StoreResult<Option<Duration>> {
    let Some(due) = store.next_purge().await? else { return Ok(None) };
    if let Some(pause) = until(due.due_at_us) {
        return Ok(Some(pause));
    }
    let DuePurge { tenant, name, tag, attempts, .. } = &due;
    let purge = Purge { name: name.clone(), tag: Some(tag.clone()), ..Purge::default() };
    match client.for_tenant(tenant).purge(&purge).await {
        Ok(purged) => {
            store.note_purge_done(&due).await?;
            tracing::info!(name, tag, objects = purged.objects, "surrogates have forgotten what was deleted");
        }
        // No surrogate serves the name to this tenant.
        Err(error) if error.status() == Some(404) && !error.is_unknown_name() => {
            store.note_purge_done(&due).await?;
            tracing::debug!(name, tag, %error, "nobody serves what was deleted");
        }
        Err(error) => {
            let attempts = attempts + 1;
            let (error, pause) = (chain(&error), retry_after(attempts));
            tracing::warn!(name, tag, attempts, error, "surrogates may still have what was deleted");
            store.note_purge_failed(&due, &error, pause).await?;
        }
    }
    Ok(Some(Duration::ZERO))
}
