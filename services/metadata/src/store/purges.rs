//! What surrogates have still to be told to forget.

use std::time::Duration;

use super::sql::{Transaction, sql};
use super::{Store, StoreResult, now_us};
use crate::config::PurgeConfig;

/// A purge, still to be asked for.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct DuePurge {
    /// Its place in the table.
    pub seq: i64,
    /// Whose answers it is about.
    pub tenant: String,
    /// The name under which surrogates serve them.
    pub name: String,
    /// Their group (Cache-Groups, RFC 9875).
    pub tag: String,
    /// When to ask, microseconds since the Unix epoch.
    pub due_at_us: i64,
    /// Attempts that have failed.
    pub attempts: i64,
}

// === impl Store ===

impl Store {
    /// Waits until a purge has been noted since the last wait.
    pub async fn purge_noted(&self) {
        self.purge_noted.notified().await;
    }

    /// The purge that is due first, if one is left.
    pub async fn next_purge(&self) -> StoreResult<Option<DuePurge>> {
        let mut transaction = self.database.reading().await?;
        let query = sql("SELECT seq, tenant, name, tag, due_at_us, attempts FROM purges ORDER BY due_at_us LIMIT 1");
        Ok(query.one(&mut transaction).await?)
    }

    /// Notes that surrogates know.
    pub async fn note_purge_done(&self, purge: &DuePurge) -> StoreResult<()> {
        self.write(sql("DELETE FROM purges WHERE seq = $1").bind(purge.seq)).await
    }

    /// Notes that an attempt has failed, and when the next one is due.
    pub async fn note_purge_failed(&self, purge: &DuePurge, error: &str, pause: Duration) -> StoreResult<()> {
        let noted = sql("UPDATE purges SET attempts = attempts + 1, error = $2, due_at_us = $3 WHERE seq = $1")
            .bind(purge.seq)
            .bind(error)
            .bind(now_us().saturating_add(micros(pause)));
        self.write(noted).await
    }
}

/// Notes, within a transaction, that surrogates are to forget the group `tag`: at once, and again when streaming has forgotten it
/// too, for meanwhile they may have fetched it anew.
pub(super) async fn note(
    transaction: &mut Transaction,
    config: &PurgeConfig,
    tenant: &str,
    tag: &str,
) -> StoreResult<()> {
    let now = now_us();
    for name in &config.names {
        for due_at_us in [now, now.saturating_add(micros(config.again.0))] {
            sql("INSERT INTO purges (tenant, name, tag, due_at_us) VALUES ($1, $2, $3, $4)")
                .bind(tenant)
                .bind(name)
                .bind(tag)
                .bind(due_at_us)
                .run(transaction)
                .await?;
        }
    }
    Ok(())
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}
