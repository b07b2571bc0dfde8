//! Deleted assets whose objects have still to leave the object store, and those whose objects have left.

use std::time::Duration;

use flame_api::metadata::{Asset, Standing, StandingState};
use uuid::Uuid;

use super::assets::find;
use super::sql::{Transaction, sql};
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
    pub attempts: i64,
}

#[derive(Debug, sqlx::FromRow)]
struct DeletionRow {
    asset_id: String,
    tenant: String,
    due_at_us: i64,
    attempts: i64,
}

// === impl Store ===

impl Store {
    /// Waits until a deletion has been noted since the last wait.
    pub async fn deletion_noted(&self) {
        self.deletion_noted.notified().await;
    }

    /// The deletion that is due first, if one is left.
    pub async fn next_deletion(&self) -> StoreResult<Option<Deletion>> {
        let mut transaction = self.database.reading().await?;
        let query = sql("SELECT asset_id, tenant, due_at_us, attempts FROM deletions WHERE done_at_us IS NULL \
             ORDER BY due_at_us LIMIT 1");
        let row: Option<DeletionRow> = query.one(&mut transaction).await?;
        row.map(|row| {
            let asset_id = rows::uuid(&row.asset_id)?;
            Ok(Deletion { asset_id, tenant: row.tenant, due_at_us: row.due_at_us, attempts: row.attempts })
        })
        .transpose()
    }

    /// Notes that the objects are gone, unless the deletion was opened again meanwhile.
    pub async fn note_deletion_done(&self, deletion: &Deletion) -> StoreResult<()> {
        let noted = sql("UPDATE deletions SET done_at_us = $3, error = NULL WHERE asset_id = $1 AND due_at_us = $2")
            .bind(deletion.asset_id.to_string())
            .bind(deletion.due_at_us)
            .bind(now_us());
        self.write(noted).await
    }

    /// Notes that an attempt has failed, and when the next one is due.
    pub async fn note_deletion_failed(&self, deletion: &Deletion, error: &str, pause: Duration) -> StoreResult<()> {
        let pause_us = i64::try_from(pause.as_micros()).unwrap_or(i64::MAX);
        let noted = sql("UPDATE deletions SET attempts = attempts + 1, error = $2, due_at_us = $3 WHERE asset_id = $1")
            .bind(deletion.asset_id.to_string())
            .bind(error)
            .bind(now_us().saturating_add(pause_us));
        self.write(noted).await
    }
}

impl Store {
    /// What an id stands for, or stood for, and whether that is no other tenant's; the source of another tenant's is not said.
    pub async fn standing(&self, tenant: &str, id: Uuid) -> StoreResult<(Standing, bool)> {
        let mut transaction = self.database.reading().await?;
        let (state, owner, source_key) = match find(&mut transaction, id).await? {
            Some((_, asset)) if asset.deleted_at.is_some() => {
                (StandingState::Trashed, asset.tenant, Some(asset.source.key))
            }
            Some((_, asset)) => (StandingState::Present, asset.tenant, Some(asset.source.key)),
            None => {
                let query = sql("SELECT tenant, source_key FROM deletions WHERE asset_id = $1").bind(id.to_string());
                match query.one::<(String, Option<String>)>(&mut transaction).await? {
                    Some((owner, source_key)) => (StandingState::Deleted, owner, source_key),
                    None => return Ok((Standing { state: StandingState::Free, source_key: None }, true)),
                }
            }
        };
        let is_own = owner == tenant;
        Ok((Standing { state, source_key: source_key.filter(|_| is_own) }, is_own))
    }
}

/// Notes, within a transaction, that the objects of an asset have to go.
pub(super) async fn note(transaction: &mut Transaction, tenant: &str, asset: &Asset) -> StoreResult<()> {
    sql("INSERT INTO deletions (asset_id, tenant, deleted_at_us, due_at_us, source_key) VALUES ($1, $2, $3, $3, $4)")
        .bind(asset.id.to_string())
        .bind(tenant)
        .bind(now_us())
        .bind(&asset.source.key)
        .run(transaction)
        .await?;
    Ok(())
}

/// Notes, within a transaction, that a deleted asset may have got objects again; `false` if `tenant` deleted none such.
pub(super) async fn note_again(transaction: &mut Transaction, tenant: &str, id: Uuid) -> StoreResult<bool> {
    let updated = sql("UPDATE deletions SET done_at_us = NULL, attempts = 0, \
         due_at_us = CASE WHEN due_at_us >= $3 THEN due_at_us + 1 ELSE $3 END WHERE asset_id = $1 AND tenant = $2")
    .bind(id.to_string())
    .bind(tenant)
    .bind(now_us())
    .run(transaction)
    .await?;
    Ok(updated > 0)
}

/// Whether the id stood for an asset that was deleted.
pub(super) async fn was_noted(transaction: &mut Transaction, id: Uuid) -> StoreResult<bool> {
    let query = sql("SELECT asset_id FROM deletions WHERE asset_id = $1").bind(id.to_string());
    Ok(query.one::<(String,)>(transaction).await?.is_some())
}
