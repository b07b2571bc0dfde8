//! What became of each asset: noted in the transaction of the change itself, so that no change is without its note and no
//! note without its change.
//!
//! `[history] keep` changes of an asset are kept; the oldest go with each that comes. When an asset is erased, only who did it
//! stays.

use flame_api::Page;
use flame_api::metadata::{Action, Change};
use sqlx::types::Json;
use uuid::Uuid;

use super::feed::{self, Keep};
use super::rows::{damaged, moment, number, stored};
use super::sql::{Sql, Transaction, Value, sql};
use super::{Store, StoreResult, now_us};
use crate::edit::Edited;

/// Who changes something, and for whom.
#[derive(Debug, Clone, Copy)]
pub struct By<'a> {
    /// The tenant.
    pub tenant: &'a str,
    /// The subject of the credential.
    pub subject: &'a str,
}

/// What is noted of a change, besides who and when.
pub(super) struct Note<'a> {
    pub(super) action: Action,
    pub(super) detail: Option<&'a str>,
    /// What stood there before and after, where that was edited.
    pub(super) edited: Option<(&'a Edited, &'a Edited)>,
}

/// A change that was one of those which made an asset.
#[derive(Debug, Clone, Copy)]
pub(super) struct Made<'a> {
    pub(super) id: Uuid,
    pub(super) revision: u64,
    /// The revision that the last of them made; not below `revision`.
    pub(super) newest: u64,
    pub(super) action: Action,
    pub(super) detail: Option<&'a str>,
}

#[derive(Debug, sqlx::FromRow)]
struct ChangeRow {
    revision: i64,
    at_us: i64,
    actor: String,
    action: String,
    detail: Option<String>,
    change: Option<Json<serde_json::Value>>,
    undo: Option<Json<serde_json::Value>>,
}

// === impl Note ===

impl Note<'_> {
    /// A change that is no edit.
    pub(super) fn plain(action: Action) -> Self {
        Self { action, detail: None, edited: None }
    }
}

// === impl Made ===

impl Made<'_> {
    /// Its columns.
    pub(super) fn row(&self) -> serde_json::Value {
        let Self { id, revision, newest: _, action, detail } = self;
        serde_json::json!({
            "id": id.to_string(), "revision": revision, "action": action_word(*action), "detail": detail,
        })
    }
}

// === impl Store ===

impl Store {
    /// A page of the history of `tenant`'s asset, newest first, from before revision `before`; `None` where there never was one.
    pub async fn history(&self, tenant: &str, id: Uuid, before: u64, limit: u32) -> StoreResult<Option<Page<Change>>> {
        let mut transaction = self.database.reading().await?;
        let more = i64::from(limit) + 1;
        let mut items = changes(&mut transaction, (tenant, id), (0, before), more).await?;
        if items.is_empty() && !is_known(&mut transaction, tenant, id).await? {
            return Ok(None);
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let is_last = items.len() <= limit;
        items.truncate(limit);
        let next_cursor = items.last().filter(|_| !is_last).map(|change| change.revision.to_string());
        Ok(Some(Page { items, next_cursor }))
    }
}

/// The changes of an asset after revision `after` and before revision `before`, newest first; at most `limit`.
pub(super) async fn changes(
    transaction: &mut Transaction,
    (tenant, id): (&str, Uuid),
    (after, before): (u64, u64),
    limit: i64,
) -> StoreResult<Vec<Change>> {
    let query = sql("SELECT revision, at_us, actor, action, detail, change, undo FROM changes \
         WHERE asset_id = $1 AND tenant = $2 AND revision > $3 AND revision < $4 ORDER BY revision DESC LIMIT $5");
    let query = query.bind(id.to_string()).bind(tenant).bind(stored(after)).bind(stored(before)).bind(limit);
    let rows: Vec<ChangeRow> = query.all(transaction).await?;
    rows.into_iter().map(ChangeRow::change).collect()
}

async fn is_known(transaction: &mut Transaction, tenant: &str, id: Uuid) -> StoreResult<bool> {
    let query = sql("SELECT id FROM assets WHERE id = $1 AND tenant = $2").bind(id.to_string()).bind(tenant);
    Ok(query.one::<(String,)>(transaction).await?.is_some())
}

/// Notes, as the last thing within a transaction, in history and feed, the change that made `revision` of an asset, and forgets what is
/// older than `keep` changes.
pub(super) async fn note(
    transaction: &mut Transaction,
    by: By<'_>,
    (id, revision, keep): (Uuid, u64, Keep),
    note: Note<'_>,
) -> StoreResult<()> {
    let (change, undo) = note.edited.and_then(|(before, after)| before.patches_to(after)).unzip();
    sql("INSERT INTO changes (tenant, asset_id, revision, at_us, actor, action, detail, change, undo) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)")
    .bind(by.tenant)
    .bind(id.to_string())
    .bind(stored(revision))
    .bind(now_us())
    .bind(by.subject)
    .bind(action_word(note.action))
    .bind(&note.detail.map(str::to_owned))
    .bind(Value::Json(change))
    .bind(Value::Json(undo))
    .run(transaction)
    .await?;
    let oldest = stored(revision).saturating_sub(i64::from(keep.history));
    if oldest > 0 {
        sql("DELETE FROM changes WHERE asset_id = $1 AND revision <= $2")
            .bind(id.to_string())
            .bind(oldest)
            .run(transaction)
            .await?;
    }
    feed::note(transaction, by, (id, revision, keep.feed), (note.action, note.detail)).await
}

/// Notes, as the last thing within a transaction, changes that made assets that were not there before.
pub(super) async fn note_all(
    transaction: &mut Transaction,
    by: By<'_>,
    made: &[Made<'_>],
    keep: Keep,
) -> StoreResult<()> {
    const INSERT: Sql = Sql {
        sqlite: "INSERT INTO changes (tenant, asset_id, revision, at_us, actor, action, detail) \
                 SELECT $2, value ->> '$.id', value ->> '$.revision', $3, $4, value ->> '$.action', value ->> '$.detail' \
                 FROM json_each($1)",
        postgres: "INSERT INTO changes (tenant, asset_id, revision, at_us, actor, action, detail) \
                   SELECT $2, id, revision, $3, $4, action, detail \
                   FROM jsonb_to_recordset($1) AS made (id text, revision bigint, action text, detail text)",
    };
    let kept = made.iter().filter(|change| change.newest - change.revision < u64::from(keep.history));
    let rows: Vec<serde_json::Value> = kept.map(Made::row).collect();
    if !rows.is_empty() {
        let insert = sql(INSERT).bind(Value::Json(Some(rows.into()))).bind(by.tenant).bind(now_us()).bind(by.subject);
        insert.run(transaction).await?;
    }
    feed::note_all(transaction, by, made, keep.feed).await
}

/// Forgets, within a transaction, what was noted of an asset.
pub(super) async fn forget(transaction: &mut Transaction, id: Uuid) -> StoreResult<()> {
    sql("DELETE FROM changes WHERE asset_id = $1").bind(id.to_string()).run(transaction).await?;
    Ok(())
}

pub(super) fn action_word(action: Action) -> &'static str {
    match action {
        Action::Registered => "registered",
        Action::Edited => "edited",
        Action::Published => "published",
        Action::Failed => "failed",
        Action::SubtitleListed => "subtitle-listed",
        Action::SubtitleUnlisted => "subtitle-unlisted",
        Action::Deleted => "deleted",
        Action::Restored => "restored",
        Action::Erased => "erased",
    }
}

/// The kind of change that is stored so.
pub(super) fn action(word: &str) -> StoreResult<Action> {
    let actions = [
        Action::Registered,
        Action::Edited,
        Action::Published,
        Action::Failed,
        Action::SubtitleListed,
        Action::SubtitleUnlisted,
        Action::Deleted,
        Action::Restored,
        Action::Erased,
    ];
    let action = actions.into_iter().find(|action| action_word(*action) == word);
    action.ok_or_else(|| damaged("a kind of change", word))
}

// === impl ChangeRow ===

impl ChangeRow {
    fn change(self) -> StoreResult<Change> {
        Ok(Change {
            revision: number(self.revision)?,
            at: moment(self.at_us)?,
            by: self.actor,
            action: action(&self.action)?,
            detail: self.detail,
            change: self.change.map(|change| change.0),
            undo: self.undo.map(|undo| undo.0),
        })
    }
}
