//! The change feed of each tenant: an outbox, written in the transaction of the change itself, read in order by whoever follows it.
//!
//! **No position is left out.** A follower asks for what comes after the last position that it has seen, so a change must never
//! appear before one that is shown already. SQLite has one writer. With PostgreSQL a transaction takes the lock of its tenant's feed
//! before it takes a position, as its last lock, and holds it until its commit: so positions become visible in their order, and a
//! tenant's commits follow each other, as all do with SQLite. (A sequence would give positions that become visible later than
//! higher ones.)
//!
//! `[feed] keep` changes of a tenant are kept. Who asks for older ones, or for what is still to come, is told so.

use std::sync::Arc;
use std::time::Duration;

use flame_api::metadata::ChangeNotice;
use tokio::sync::{OwnedSemaphorePermit, watch};
use uuid::Uuid;

use super::history::{By, Made, action, action_word};
use super::rows::{moment, number, stored, uuid};
use super::sql::{Sql, Transaction, Value, sql};
use super::{Store, StoreResult, now_us};

/// The oldest go whenever so many more have come: a deletion for each change would cost as much as the change.
const SWEEP_EVERY: u64 = 64;

/// What is kept of what became of assets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keep {
    /// Changes of an asset.
    pub(super) history: u32,
    /// Changes in a tenant's feed.
    pub(super) feed: u32,
}

/// The changes after a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// These, oldest first; none: there are none yet.
    Changes(Vec<ChangeNotice>),
    /// It cannot be said what came after that position: the oldest that is kept, and the newest.
    Unknown(u64, u64),
}

#[derive(Debug, sqlx::FromRow)]
struct NoticeRow {
    position: i64,
    at_us: i64,
    asset_id: String,
    revision: i64,
    actor: String,
    action: String,
    detail: Option<String>,
}

// === impl Store ===

impl Store {
    /// The newest position of `tenant`'s feed; 0 where nothing has happened yet.
    pub async fn feed_position(&self, tenant: &str) -> StoreResult<u64> {
        let mut transaction = self.database.reading().await?;
        let (_, newest) = ends(&mut transaction, tenant).await?;
        Ok(newest)
    }

    /// At most `limit` changes after position `after`; after 0 come the oldest that are kept.
    pub async fn follow(&self, tenant: &str, after: u64, limit: u32) -> StoreResult<Followed> {
        let mut transaction = self.database.reading().await?;
        let (oldest, newest) = ends(&mut transaction, tenant).await?;
        if after > newest || (after != 0 && after + 1 < oldest) {
            return Ok(Followed::Unknown(oldest, newest));
        }
        let query = sql("SELECT position, at_us, asset_id, revision, actor, action, detail FROM feed \
             WHERE tenant = $1 AND position > $2 ORDER BY position LIMIT $3");
        let query = query.bind(tenant).bind(stored(after)).bind(i64::from(limit));
        let rows: Vec<NoticeRow> = query.all(&mut transaction).await?;
        Ok(Followed::Changes(rows.into_iter().map(NoticeRow::notice).collect::<StoreResult<_>>()?))
    }

    /// Makes a change last, and tells those who follow.
    pub(super) async fn commit(&self, transaction: Transaction) -> StoreResult<()> {
        transaction.commit().await?;
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
        Ok(())
    }

    /// Changes with every change that this process makes.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// A place for somebody who follows the feed, if there is one; it is given back when it is dropped.
    pub fn follower(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.followers).try_acquire_owned().ok()
    }

    /// How often a follower looks for changes that another process made.
    pub fn feed_poll(&self) -> Duration {
        self.feed.poll.0
    }

    /// Ends the streams of those who follow.
    pub fn close_feed(&self) {
        self.closed.cancel();
    }

    /// Waits until the streams are to end.
    pub async fn feed_closed(&self) {
        self.closed.cancelled().await;
    }

    pub(super) fn keep(&self) -> Keep {
        Keep { history: self.history.keep, feed: self.feed.keep }
    }
}

/// The oldest and the newest position of a tenant's feed; 0 and 0 where there is none.
pub(super) async fn ends(transaction: &mut Transaction, tenant: &str) -> StoreResult<(u64, u64)> {
    let query = sql("SELECT min(position), max(position) FROM feed WHERE tenant = $1").bind(tenant);
    let ends: Option<(Option<i64>, Option<i64>)> = query.one(transaction).await?;
    let (oldest, newest) = ends.unwrap_or_default();
    Ok((number(oldest.unwrap_or(0))?, number(newest.unwrap_or(0))?))
}

/// Notes, as the last thing within a transaction, the change that made `revision` of an asset.
pub(super) async fn note(
    transaction: &mut Transaction,
    by: By<'_>,
    (id, revision, keep): (Uuid, u64, u32),
    (action, detail): (flame_api::metadata::Action, Option<&str>),
) -> StoreResult<()> {
    lock(transaction, by.tenant).await?;
    let inserted = sql("INSERT INTO feed (tenant, position, at_us, asset_id, revision, actor, action, detail) \
         VALUES ($1, (SELECT coalesce(max(position), 0) + 1 FROM feed WHERE tenant = $1), $2, $3, $4, $5, $6, $7) \
         RETURNING position")
    .bind(by.tenant)
    .bind(now_us())
    .bind(id.to_string())
    .bind(stored(revision))
    .bind(by.subject)
    .bind(action_word(action))
    .bind(&detail.map(str::to_owned))
    .one::<(i64,)>(transaction)
    .await?;
    let position = number(inserted.unwrap_or_default().0)?;
    if position.is_multiple_of(SWEEP_EVERY) && position > u64::from(keep) {
        sweep(transaction, by.tenant, position - u64::from(keep)).await?;
    }
    Ok(())
}

/// Notes, as the last thing within a transaction, several changes in their order.
pub(super) async fn note_all(
    transaction: &mut Transaction,
    by: By<'_>,
    made: &[Made<'_>],
    keep: u32,
) -> StoreResult<()> {
    const INSERT: Sql = Sql {
        sqlite: "INSERT INTO feed (tenant, position, at_us, asset_id, revision, actor, action, detail) \
                 SELECT $2, value ->> '$.position', $3, value ->> '$.id', value ->> '$.revision', $4, \
                 value ->> '$.action', value ->> '$.detail' FROM json_each($1)",
        postgres: "INSERT INTO feed (tenant, position, at_us, asset_id, revision, actor, action, detail) \
                   SELECT $2, position, $3, id, revision, $4, action, detail FROM jsonb_to_recordset($1) \
                   AS made (position bigint, id text, revision bigint, action text, detail text)",
    };
    lock(transaction, by.tenant).await?;
    let (_, before) = ends(transaction, by.tenant).await?;
    let mut newest = before;
    let mut rows = Vec::with_capacity(made.len());
    for change in made {
        newest += 1;
        let mut row = change.row();
        row["position"] = newest.into();
        rows.push(row);
    }
    let insert = sql(INSERT).bind(Value::Json(Some(rows.into()))).bind(by.tenant).bind(now_us()).bind(by.subject);
    insert.run(transaction).await?;
    if newest / SWEEP_EVERY > before / SWEEP_EVERY && newest > u64::from(keep) {
        sweep(transaction, by.tenant, newest - u64::from(keep)).await?;
    }
    Ok(())
}

/// The lock of a tenant's feed, the last one that a transaction takes.
async fn lock(transaction: &mut Transaction, tenant: &str) -> StoreResult<()> {
    if let Transaction::Postgres(_) = transaction {
        sql("SELECT pg_advisory_xact_lock(1, hashtext($1))").bind(tenant).run(transaction).await?;
    }
    Ok(())
}

/// Forgets a tenant's changes up to position `last`.
async fn sweep(transaction: &mut Transaction, tenant: &str, last: u64) -> StoreResult<()> {
    sql("DELETE FROM feed WHERE tenant = $1 AND position <= $2")
        .bind(tenant)
        .bind(stored(last))
        .run(transaction)
        .await?;
    Ok(())
}

// === impl NoticeRow ===

impl NoticeRow {
    fn notice(self) -> StoreResult<ChangeNotice> {
        Ok(ChangeNotice {
            position: number(self.position)?,
            asset_id: uuid(&self.asset_id)?,
            revision: number(self.revision)?,
            at: moment(self.at_us)?,
            by: self.actor,
            action: action(&self.action)?,
            detail: self.detail,
        })
    }
}
