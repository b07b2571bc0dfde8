//! Gives up uploads that nobody goes on with, and forgets those that ended long ago.
//!
//! A PUT is one request, so one that nobody writes has no future: its client left before its body came, or its end could not be
//! noted. It would hold its tenant's quota. It is given up when two looks in a row saw it so.

use std::collections::HashSet;

use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::holdings;
use crate::intake::{Intake, PATIENCE};
use crate::record::Stage;
use crate::store::RecordResult;

/// Uploads that are given up in one look; the next look goes on.
const BATCH: u32 = 500;

/// Looks again and again until `stop`.
pub async fn run(intake: Intake, stop: CancellationToken) {
    let mut left_puts = HashSet::new();
    loop {
        if let Err(error) = look(&intake, &mut left_puts).await {
            tracing::warn!(%error, "expired uploads could not be swept");
        }
        if let Err(error) = holdings::look(&intake, None).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "what tenants hold could not be looked at");
        }
        if let Err(error) = intake.sweep_tickets(OffsetDateTime::now_utc()).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "tickets that have ended could not be looked at");
        }
        tokio::select! {
            () = tokio::time::sleep(intake.limits.sweep.0) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn look(intake: &Intake, left_puts: &mut HashSet<Uuid>) -> RecordResult<()> {
    let now = OffsetDateTime::now_utc();
    for id in intake.uploads.expired(now, BATCH).await? {
        // A body may be on its way just now: its turn ends first, and with its bytes the upload lives on.
        let Some(_turn) = intake.writers.take(id, PATIENCE).await else {
            continue;
        };
        let record = intake.uploads.load(id).await?;
        if record.is_some_and(|record| record.expires_at.is_some_and(|expires| expires <= now)) {
            intake.end(id, Stage::Receiving, "it was not finished in time").await?;
        }
    }
    *left_puts = end_left_puts(intake, left_puts, now).await?;
    intake.uploads.forget(now).await.map(drop)
}

/// Ends PUTs that nobody writes if they were so `before`; gives those that are so now.
async fn end_left_puts(intake: &Intake, before: &HashSet<Uuid>, now: OffsetDateTime) -> RecordResult<HashSet<Uuid>> {
    let mut left = HashSet::new();
    for id in intake.uploads.open_puts(now - intake.limits.idle.0, BATCH).await? {
        if intake.writers.is_busy(id) {
            continue;
        }
        if before.contains(&id) {
            intake.end(id, Stage::Receiving, "its client left before the body came").await?;
        } else {
            left.insert(id);
        }
    }
    Ok(left)
}
