//! What tenants hold, what they may, and which uploads have the same bytes.
//!
//! `usage` is kept by triggers of the database, in the transaction of whatever changes an upload; here it is only compared. A
//! change that goes beyond a quota is rolled back whole. Of uploads with the same bytes one counts them, the others name it
//! (`duplicate_of`); when that one goes, the eldest of the others takes its place.

use flame_service_host::config::Bytes;
use sqlx::{Row, SqliteConnection};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{RecordError, RecordResult, Uploads, failed, rows, signed, to_ms};
use crate::record::{Record, Stage};

/// A tenant would have more than it may.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuotaExceeded {
    /// Bytes.
    #[error("tenant {tenant} would hold {} of its {} (quotas.stored): delete something, or have the quota raised", Bytes(*held_bytes), Bytes(*max_bytes))]
    Stored {
        /// The tenant.
        tenant: String,
        /// What it would hold.
        held_bytes: u64,
        /// What it may.
        max_bytes: u64,
    },
    /// Unfinished uploads.
    #[error(
        "tenant {tenant} has {max} unfinished uploads already, as many as it may (quotas.open_uploads): finish or delete some"
    )]
    Open {
        /// The tenant.
        tenant: String,
        /// What it may.
        max: u32,
    },
}

impl Uploads {
    /// Refuses a change after which the tenant holds more bytes than it may. The caller rolls it back.
    pub(super) async fn check_stored(&self, change: &mut SqliteConnection, tenant: &str) -> RecordResult<()> {
        let Some(max_bytes) = self.quotas.stored_bytes(tenant) else { return Ok(()) };
        let (held_bytes, _) = usage(change, tenant).await?;
        let tenant = tenant.to_owned();
        let exceeded = QuotaExceeded::Stored { tenant, held_bytes, max_bytes };
        if held_bytes <= max_bytes { Ok(()) } else { Err(RecordError::Quota(exceeded)) }
    }

    /// The same of unfinished uploads.
    pub(super) async fn check_open(&self, change: &mut SqliteConnection, tenant: &str) -> RecordResult<()> {
        let max = self.quotas.open_uploads(tenant);
        let (_, open) = usage(change, tenant).await?;
        let exceeded = QuotaExceeded::Open { tenant: tenant.to_owned(), max };
        if open <= u64::from(max) { Ok(()) } else { Err(RecordError::Quota(exceeded)) }
    }

    /// Bytes that the tenant may still take beside what it holds; `None`: any number.
    pub async fn room_bytes(&self, tenant: &str) -> RecordResult<Option<u64>> {
        let Some(max_bytes) = self.quotas.stored_bytes(tenant) else { return Ok(None) };
        let mut connection = self.readers.acquire().await.map_err(failed("read the usage"))?;
        let (held_bytes, _) = usage(&mut connection, tenant).await?;
        Ok(Some(max_bytes.saturating_sub(held_bytes)))
    }

    /// Finds an upload of the tenant with the same bytes, all of them stored, that counts them itself, and notes it. If they are
    /// `shared`, the upload's own no longer count. One whose bytes others share stays what it is.
    pub async fn note_twin(&self, record: &Record, shared: bool) -> RecordResult<Option<Uuid>> {
        let change = sqlx::query(
            "UPDATE uploads SET holds_bytes = CASE WHEN ?1 THEN 0 ELSE holds_bytes END, duplicate_of = twin.id
             FROM (SELECT id FROM uploads WHERE tenant = ?2 AND sha256 = ?3 AND offset_bytes = ?4 AND id <> ?5 AND duplicate_of IS NULL
                   AND stage IN ('inspect', 'picture', 'register', 'queue', 'done') ORDER BY id LIMIT 1) AS twin
             WHERE uploads.id = ?5 AND uploads.stage = 'inspect' AND uploads.duplicate_of IS NULL
             AND NOT EXISTS (SELECT 1 FROM uploads AS other WHERE other.duplicate_of = ?5) RETURNING duplicate_of",
        );
        let change = change.bind(shared).bind(&record.tenant).bind(&record.sha256).bind(signed(record.offset_bytes));
        let noted = change.bind(record.id.to_string()).fetch_optional(&self.writer).await;
        noted.map_err(failed("note a twin"))?.as_ref().map(|row| rows::uuid(row, "duplicate_of")).transpose()
    }

    /// The twin has gone before its bytes were shared: the upload counts its own.
    pub async fn forget_twin(&self, record: &Record, twin: Uuid) -> RecordResult<bool> {
        let change = sqlx::query(
            "UPDATE uploads SET holds_bytes = offset_bytes, duplicate_of = NULL WHERE id = ? AND stage = 'inspect' AND duplicate_of = ?",
        );
        self.change("forget a twin", change.bind(record.id.to_string()).bind(twin.to_string())).await
    }

    /// Uploads that have become assets, those first that were not looked at for the longest time; of one tenant, or of all.
    pub async fn to_look_at(&self, tenant: Option<&str>, limit: u32) -> RecordResult<Vec<Record>> {
        let find = sqlx::query(
            "SELECT * FROM uploads WHERE stage = 'done' AND (?1 IS NULL OR tenant = ?1) ORDER BY looked_at_ms LIMIT ?2",
        );
        let found = find.bind(tenant).bind(limit).fetch_all(&self.readers).await.map_err(failed("list assets"))?;
        found.iter().map(rows::record).collect()
    }

    /// Notes that the sources of these were there.
    pub async fn looked_at(&self, ids: &[Uuid], now: OffsetDateTime) -> RecordResult<()> {
        let act = failed("note a look");
        let mut change = self.writer.begin().await.map_err(&act)?;
        for id in ids {
            let note =
                sqlx::query("UPDATE uploads SET looked_at_ms = ? WHERE id = ?").bind(to_ms(now)).bind(id.to_string());
            note.execute(&mut *change).await.map_err(&act)?;
        }
        change.commit().await.map_err(&act)
    }

    /// Notes that the asset of an upload was deleted: it holds nothing any more, and is forgotten at `forget_at`.
    pub async fn release(&self, record: &Record, forget_at: OffsetDateTime) -> RecordResult<bool> {
        let act = failed("release an upload");
        let mut change = self.writer.begin().await.map_err(&act)?;
        let released = sqlx::query(
            "UPDATE uploads SET stage = ?, expires_at_ms = ?, error = 'its asset was deleted' WHERE id = ? AND stage = 'done'",
        )
        .bind(Stage::Gone.as_str())
        .bind(to_ms(forget_at))
        .bind(record.id.to_string())
        .execute(&mut *change)
        .await
        .map_err(&act)?;
        if released.rows_affected() == 1 {
            pass_on(&mut change, record.id).await.map_err(&act)?;
        }
        change.commit().await.map_err(&act)?;
        Ok(released.rows_affected() == 1)
    }
}

/// An upload holds nothing any more; the eldest of those that share its bytes counts them from now on.
pub(super) async fn pass_on(change: &mut SqliteConnection, id: Uuid) -> Result<(), sqlx::Error> {
    for statement in [
        "UPDATE uploads SET holds_bytes = 0, duplicate_of = NULL WHERE id = ?1",
        "UPDATE uploads SET holds_bytes = offset_bytes WHERE id = (SELECT min(id) FROM uploads WHERE duplicate_of = ?1)",
        "UPDATE uploads SET duplicate_of = nullif((SELECT min(id) FROM uploads WHERE duplicate_of = ?1), id) WHERE duplicate_of = ?1",
    ] {
        sqlx::query(statement).bind(id.to_string()).execute(&mut *change).await?;
    }
    Ok(())
}

/// Bytes that a tenant holds, and its unfinished uploads.
async fn usage(connection: &mut SqliteConnection, tenant: &str) -> RecordResult<(u64, u64)> {
    let find = sqlx::query("SELECT stored_bytes, open_uploads FROM usage WHERE tenant = ?").bind(tenant);
    let row = find.fetch_optional(connection).await.map_err(failed("read the usage"))?;
    let number = |column| row.as_ref().map_or(0, |row| row.get::<i64, _>(column).unsigned_abs());
    Ok((number("stored_bytes"), number("open_uploads")))
}
