//! Has the words of records made that an earlier release wrote: after an upgrade of all that there are, and now and then of what an
//! older service beside this one has registered or, with PostgreSQL, edited. (With SQLite what was edited by an older one has the words
//! that it had, until it is edited again: there are no two services on one file, only one that goes back to the release before.)

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::deletions::rest;
use crate::store::{Store, StoreResult};

/// How long to wait before looking again when there was nothing to do.
const PAUSE: Duration = Duration::from_secs(600);

/// Makes them until `stop`.
pub(crate) async fn work_off(store: Store, stop: CancellationToken) {
    loop {
        let pause = tokio::select! {
            pause = next(&store) => pause,
            () = stop.cancelled() => return,
        };
        tokio::select! {
            () = rest("records", pause) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn next(store: &Store) -> StoreResult<Option<Duration>> {
    let read = store.read_records().await?;
    Ok(Some(if read == 0 { PAUSE } else { Duration::ZERO }))
}
