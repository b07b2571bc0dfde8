//! Single objects that nothing names any more, and have still to leave the object store.

use std::time::Duration;

use uuid::Uuid;

use super::sql::{Transaction, sql};
use super::{Store, StoreResult, now_us};

/// An object, still to be removed.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Removal {
    /// Its key.
    pub object_key: String,
    /// When to try, microseconds since the Unix epoch.
    pub due_at_us: i64,
    /// Attempts that have failed.
    pub attempts: i64,
}

// === impl Store ===

impl Store {
    /// The removal that is due first, if one is left.
    pub async fn next_removal(&self) -> StoreResult<Option<Removal>> {
        let mut transaction = self.database.reading().await?;
        let query = sql("SELECT object_key, due_at_us, attempts FROM removals ORDER BY due_at_us LIMIT 1");
        Ok(query.one(&mut transaction).await?)
    }

    /// Notes that the object is gone.
    pub async fn note_removal_done(&self, removal: &Removal) -> StoreResult<()> {
        self.write(sql("DELETE FROM removals WHERE object_key = $1").bind(&removal.object_key)).await
    }

    /// Notes that an attempt has failed, and when the next one is due.
    pub async fn note_removal_failed(&self, removal: &Removal, error: &str, pause: Duration) -> StoreResult<()> {
        let pause_us = i64::try_from(pause.as_micros()).unwrap_or(i64::MAX);
        let noted =
            sql("UPDATE removals SET attempts = attempts + 1, error = $2, due_at_us = $3 WHERE object_key = $1")
                .bind(&removal.object_key)
                .bind(error)
                .bind(now_us().saturating_add(pause_us));
        self.write(noted).await
    }
}

/// Notes, within a transaction, that an object of an asset has to go.
pub(super) async fn note(
    transaction: &mut Transaction,
    tenant: &str,
    asset_id: Uuid,
    object_key: &str,
) -> StoreResult<()> {
    sql("INSERT INTO removals (object_key, tenant, asset_id, due_at_us) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (object_key) DO NOTHING")
    .bind(object_key)
    .bind(tenant)
    .bind(asset_id.to_string())
    .bind(now_us())
    .run(transaction)
    .await?;
    Ok(())
}
