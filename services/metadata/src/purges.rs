//! Telling surrogates what is no longer there: they keep what never changes for a year, and nobody asks them about it.
//!
//! Noted with the deletion, in one transaction; told by name, through the router, until it is done. One surrogate tells the
//! others; it says whom it did not reach, and whether it knows of all. Those ask by themselves when they can, but what they ask lies
//! with those that were told, who may be gone by then: so it is told again until nobody is left out, or for [`UNTOLD_MAX`] times.
//! A name that is served to nobody needs no telling.

use std::time::Duration;

use flame_api::Client;
use flame_api::vcdn::{Purge, Purged};
use flame_service_host::problem::chain;
use tokio_util::sync::CancellationToken;

use crate::deletions::{rest, retry_after, until};
use crate::store::{DuePurge, Store, StoreResult};

/// Attempts after which some that could not be told are left to ask by themselves: an hour and a half, and a router forgets those of a site
/// that it does not hear after an hour.
const UNTOLD_MAX: i64 = 24;

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
        Ok(purged) => match untold(&purged, attempts + 1) {
            None => {
                store.note_purge_done(&due).await?;
                let (objects, unreached) = (purged.objects, purged.unreached.join(", "));
                tracing::info!(name, tag, objects, unreached, "surrogates have forgotten what was deleted");
            }
            Some(reason) => {
                let (attempts, pause) = (attempts + 1, retry_after(attempts + 1));
                tracing::info!(name, tag, attempts, reason, "not all surrogates were told of what was deleted");
                store.note_purge_failed(&due, &reason, pause).await?;
            }
        },
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

/// Why surrogates are to be told again after the attempt number `attempts` (from 1), if they are.
fn untold(purged: &Purged, attempts: i64) -> Option<String> {
    let reason = match (purged.unreached.as_slice(), purged.all_known) {
        ([], true) => return None,
        ([], false) => "the router does not know all surrogates yet".to_owned(),
        (unreached, _) => format!("not reached: {}", unreached.join(", ")),
    };
    (attempts < UNTOLD_MAX).then_some(reason)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn who_may_be_left_out_is_told_again_but_not_for_ever() {
        let purged = |unreached: &[&str], all_known| Purged {
            id: Uuid::nil(),
            objects: 0,
            peers: Vec::new(),
            unreached: unreached.iter().map(|one| (*one).to_owned()).collect(),
            all_known,
        };
        assert_eq!(untold(&purged(&[], true), 1), None);
        for left_out in [purged(&[], false), purged(&["192.0.2.7:7060"], true), purged(&["192.0.2.7:7060"], false)] {
            assert!(untold(&left_out, 1).is_some() && untold(&left_out, UNTOLD_MAX - 1).is_some());
            assert_eq!(untold(&left_out, UNTOLD_MAX), None);
        }
        assert!(untold(&purged(&["192.0.2.7:7060"], true), 1).unwrap().contains("192.0.2.7:7060"));
        // A router forgets those of a site that it does not hear within an hour.
        let spent: Duration = (1..UNTOLD_MAX).map(retry_after).sum();
        assert!(spent >= Duration::from_secs(3600) && spent <= Duration::from_secs(2 * 3600), "{spent:?}");
    }
}
