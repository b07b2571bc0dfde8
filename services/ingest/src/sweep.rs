//! Gives up uploads that nobody goes on with, and forgets those that ended long ago.

use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::holdings;
use crate::intake::{Intake, PATIENCE};
use crate::record::Stage;
use crate::store::RecordResult;

/// Uploads that are given up in one look; the next look goes on.
const BATCH: u32 = 500;

/// Looks again and again until `stop`.
pub async fn run(intake: Intake, stop: CancellationToken) {
    loop {
        if let Err(error) = look(&intake).await {
            tracing::warn!(%error, "expired uploads could not be swept");
        }
        if let Err(error) = holdings::look(&intake, None).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "what tenants hold could not be looked at");
        }
        tokio::select! {
            () = tokio::time::sleep(intake.limits.sweep.0) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn look(intake: &Intake) -> RecordResult<()> {
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
    intake.uploads.forget(now).await.map(drop)
}
