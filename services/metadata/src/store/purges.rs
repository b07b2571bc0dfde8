//! What surrogates have still to be told to forget.

use std::time::Duration;

use uuid::Uuid;

use super::sql::{Transaction, sql};
use super::{Store, StoreResult, now_us, rows};
use crate::config::PurgeConfig;

/// A purge, still to be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuePurge {
    /// Its place in the table.
    pub seq: i64,
    /// By which surrogates know it again; nothing where a release noted it that did not say any.
    pub id: Option<Uuid>,
    /// Whose answers it is about.
    pub tenant: String,
    /// The name under which surrogates serve them.
    pub name: String,
    /// Their group (Cache-Groups, RFC 9875).
    pub tag: String,
    /// When to ask, microseconds since the Unix epoch.
    pub due_at_us: i64,
    /// Attempts that have failed: nobody is known to have been told.
    pub attempts: i64,
    /// Times that some were told, and others were not or may not have been.
    pub partly: i64,
}

/// Which purges are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Nobody was told of them yet.
    First,
    /// Some were, and others are still to be.
    Repeat,
}

#[derive(Debug, sqlx::FromRow)]
struct PurgeRow {
    seq: i64,
    id: Option<String>,
    tenant: String,
    name: String,
    tag: String,
    due_at_us: i64,
    attempts: i64,
    partly: i64,
}

// === impl DuePurge ===

impl DuePurge {
    /// Whether somebody was told of it already.
    #[must_use]
    pub fn turn(&self) -> Turn {
        if self.partly > 0 { Turn::Repeat } else { Turn::First }
    }
}

// === impl PurgeRow ===

impl PurgeRow {
    fn purge(self) -> StoreResult<DuePurge> {
        let Self { seq, id, tenant, name, tag, due_at_us, attempts, partly } = self;
        let id = id.map(|id| rows::uuid(&id)).transpose()?;
        Ok(DuePurge { seq, id, tenant, name, tag, due_at_us, attempts, partly })
    }
}

// === impl Store ===

impl Store {
    /// Waits until a purge has been noted since the last wait.
    pub async fn purge_noted(&self) {
        self.purge_noted.notified().await;
    }

    /// At most `limit` of the purges that are due at `now_us` (microseconds since the Unix epoch): of those that nobody was told of yet
    /// first those that were tried least, so that what cannot be told keeps nothing else waiting; of the others first those that wait for longest.
    pub async fn due_purges(&self, turn: Turn, now_us: i64, limit: usize) -> StoreResult<Vec<DuePurge>> {
        let mut transaction = self.database.reading().await?;
        let query = sql(match turn {
            Turn::First => {
                "SELECT seq, id, tenant, name, tag, due_at_us, attempts, partly FROM purges \
                 WHERE partly = 0 AND due_at_us <= $1 ORDER BY attempts, due_at_us LIMIT $2"
            }
            Turn::Repeat => {
                "SELECT seq, id, tenant, name, tag, due_at_us, attempts, partly FROM purges \
                 WHERE partly > 0 AND due_at_us <= $1 ORDER BY due_at_us LIMIT $2"
            }
        });
        let query = query.bind(now_us).bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let found: Vec<PurgeRow> = query.all(&mut transaction).await?;
        found.into_iter().map(PurgeRow::purge).collect()
    }

    /// The purge that is due next after `after_us` (microseconds since the Unix epoch), if there is one.
    pub async fn next_purge(&self, after_us: i64) -> StoreResult<Option<DuePurge>> {
        let mut transaction = self.database.reading().await?;
        let query = sql("SELECT seq, id, tenant, name, tag, due_at_us, attempts, partly FROM purges \
             WHERE due_at_us > $1 ORDER BY due_at_us LIMIT 1");
        let found: Option<PurgeRow> = query.bind(after_us).one(&mut transaction).await?;
        found.map(PurgeRow::purge).transpose()
    }

    /// Notes that surrogates know.
    pub async fn note_purge_done(&self, purge: &DuePurge) -> StoreResult<()> {
        self.write(sql("DELETE FROM purges WHERE seq = $1").bind(purge.seq)).await
    }

    /// Notes that some were told of it as `id`, and why others may not have been, and when it is told again.
    pub async fn note_purge_partly(&self, purge: &DuePurge, id: Uuid, why: &str, pause: Duration) -> StoreResult<()> {
        let noted = sql(
            "UPDATE purges SET partly = partly + 1, id = COALESCE(id, $2), error = $3, due_at_us = $4 WHERE seq = $1",
        )
        .bind(purge.seq)
        .bind(id.to_string())
        .bind(why)
        .bind(now_us().saturating_add(micros(pause)));
        self.write(noted).await
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
            sql("INSERT INTO purges (tenant, name, tag, due_at_us, id) VALUES ($1, $2, $3, $4, $5)")
                .bind(tenant)
                .bind(name)
                .bind(tag)
                .bind(due_at_us)
                .bind(Uuid::new_v4().to_string())
                .run(transaction)
                .await?;
        }
    }
    Ok(())
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}
