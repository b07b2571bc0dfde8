//! Deletions of a copied catalogue, for who makes a backup: this opens the file by itself, and expects nobody else to write it.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use super::StoreResult;

/// Time for a lock that whoever made the copy holds still.
const BUSY: Duration = Duration::from_secs(10);

/// Opens the deletions again that were done since `since`: the objects beside the copy may be of the time before. The service that is
/// started on them deletes them once more. Gives how many.
///
/// # Errors
/// The file cannot be read or written, or is no catalogue.
pub async fn delete_again(path: &Path, since: SystemTime) -> StoreResult<u64> {
    let since_us =
        since.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX));
    let mut connection = SqliteConnectOptions::new().filename(path).busy_timeout(BUSY).connect().await?;
    let reopened = sqlx::query(
        "UPDATE deletions SET done_at_us = NULL, due_at_us = ?1, attempts = 0, error = NULL WHERE done_at_us >= ?1",
    );
    let reopened = reopened.bind(since_us).execute(&mut connection).await?.rows_affected();
    connection.close().await?;
    Ok(reopened)
}
