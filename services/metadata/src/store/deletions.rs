//! Deleted assets whose objects have still to leave the object store, and those whose objects have left.

use std::time::Duration;

use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

use super::{Store, StoreResult, now_us, rows};

/// The objects of a deleted asset, still to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// The asset.
    pub asset_id: Uuid,
    /// The tenant that owned it.
    pub tenant: String,
    /// When to try, microseconds since the Unix epoch.
    pub due_at_us: i64,
    /// Attempts that have failed.
    pub attempts: u32,
}

#[derive(Debug, sqlx::FromRow)]
struct DeletionRow {
    asset_id: String,
    tenant: String,
    due_at_us: i64,
    attempts: u32,
}

// === impl Store ===

impl Store {
    /// Waits until a deletion has been noted since the last wait.
    pub async fn deletion_noted(&self) {
        self.deletion_noted.notified().await;
    }

    /// The deletion that is due first, if one is left.
    pub async fn next_deletion(&self) -> StoreResult<Option<Deletion>> {
        let row: Option<DeletionRow> = sqlx::query_as(
            "SELECT asset_id, tenant, due_at_us, attempts FROM deletions WHERE done_at_us IS NULL \
             ORDER BY due_at_us LIMIT 1",
        )
        .fetch_optional(&self.readers)
        .await?;
        row.map(|row| {
            let asset_id = rows::uuid(&row.asset_id)?;
            Ok(Deletion { asset_id, tenant: row.tenant, due_at_us: row.due_at_us, attempts: row.attempts })
        })
        .transpose()
    }

    /// Notes that the objects are gone, unless the deletion was opened again meanwhile.
    pub async fn note_deletion_done(&self, deletion: &Deletion) -> StoreResult<()> {
        sqlx::query("UPDATE deletions SET done_at_us = ?3, error = NULL WHERE asset_id = ?1 AND due_at_us = ?2")
            .bind(deletion.asset_id.to_string())
            .bind(deletion.due_at_us)
            .bind(now_us())
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Notes that an attempt has failed, and when the next one is due.
    pub async fn note_deletion_failed(&self, deletion: &Deletion, error: &str, pause: Duration) -> StoreResult<()> {
        let pause_us = i64::try_from(pause.as_micros()).unwrap_or(i64::MAX);
        sqlx::query("UPDATE deletions SET attempts = attempts + 1, error = ?2, due_at_us = ?3 WHERE asset_id = ?1")
            .bind(deletion.asset_id.to_string())
            .bind(error)
            .bind(now_us().saturating_add(pause_us))
            .execute(&self.writer)
            .await?;
        Ok(())
    }
}

/// Notes, within a transaction, that the objects of an asset have to go.
pub(super) async fn note(connection: &mut SqliteConnection, tenant: &str, id: Uuid) -> StoreResult<()> {
    sqlx::query("INSERT INTO deletions (asset_id, tenant, deleted_at_us, due_at_us) VALUES (?1, ?2, ?3, ?3)")
        .bind(id.to_string())
        .bind(tenant)
        .bind(now_us())
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes, within a transaction, that a deleted asset may have got objects again; `false` if `tenant` deleted none such.
pub(super) async fn note_again(connection: &mut SqliteConnection, tenant: &str, id: Uuid) -> StoreResult<bool> {
    let updated = sqlx::query(
        "UPDATE deletions SET done_at_us = NULL, attempts = 0, due_at_us = max(?3, due_at_us + 1) \
         WHERE asset_id = ?1 AND tenant = ?2",
    )
    .bind(id.to_string())
    .bind(tenant)
    .bind(now_us())
    .execute(connection)
    .await?;
    Ok(updated.rows_affected() > 0)
}

/// Whether the id stood for an asset that was deleted.
pub(super) async fn was_noted(connection: &mut SqliteConnection, id: Uuid) -> StoreResult<bool> {
    let found: Option<i64> = sqlx::query_scalar("SELECT 1 FROM deletions WHERE asset_id = ?1")
        .bind(id.to_string())
        .fetch_optional(connection)
        .await?;
    Ok(found.is_some())
}
