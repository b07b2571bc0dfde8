//! What is known of every upload: SQLite, one row an upload and one a part.
//!
//! The object store holds bytes, this database says which of them count. Bytes are acknowledged to a client only after
//! the transaction that names them has been synced (WAL, `synchronous = FULL`), and the transaction is made only after
//! the object store has them. So a crash leaves at worst objects that no row names; they lie under the upload's own
//! prefix and are deleted with it. Every change of stage names the stage that it leaves: of two that want to change the
//! same row, one loses and is told so.
//!
//! Release N works with schema N+1 and refuses N+2: columns are added first and dropped a release later.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flame_object_store::PartTag;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{Connection, Row, SqliteConnection};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::concat::Concat;
use crate::config::Quotas;
use crate::record::{Record, Stage, Tail};

mod holdings;
mod joins;
mod rows;
mod scrubs;
mod tickets;
mod unfinished;
mod work;

pub use holdings::QuotaExceeded;
pub use joins::JoinRefusal;
pub use scrubs::Scrubbing;
pub use unfinished::{Unfinished, note_moved, unfinished};

/// The newest schema that this release knows.
const SCHEMA: i64 = 6;
static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

/// The table of uploads. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Uploads {
    /// One connection: SQLite has one writer at a time, and waiting for a place beats waiting for a lock.
    writer: SqlitePool,
    readers: SqlitePool,
    quotas: Arc<Quotas>,
}

/// What arrived and may be acknowledged once it is stored.
#[derive(Debug)]
pub struct Arrival {
    /// Bytes stored now.
    pub offset_bytes: u64,
    /// SHA-256 state of them.
    pub sha256_state: Vec<u8>,
    /// Parts that are new.
    pub parts: Vec<PartTag>,
    /// What is left after the last whole part.
    pub tail: Option<Tail>,
    /// When the upload ends unless more comes; a pull has no such time.
    pub expires_at: Option<OffsetDateTime>,
}

/// What a stage found out.
#[derive(Debug, Default)]
pub struct Findings {
    /// What the probe measured.
    pub probe: Option<flame_api::media::Probe>,
    /// Key of the poster.
    pub poster_key: Option<String>,
    /// The asset.
    pub asset_id: Option<Uuid>,
    /// The job.
    pub job_id: Option<Uuid>,
}

/// Why the database gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It refused or could not be reached.
    #[error("cannot {action} in the ingest database")]
    Database {
        /// What was tried.
        action: &'static str,
        /// What happened.
        #[source]
        source: sqlx::Error,
    },
    /// It cannot be brought to this release's schema.
    #[error("cannot migrate the ingest database")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// It belongs to a later release.
    #[error("the ingest database has schema {found}, this release works with up to {}: start the newer release", SCHEMA + 1)]
    TooNew {
        /// Its schema.
        found: i64,
    },
    /// A tenant would have more than it may.
    #[error(transparent)]
    Quota(#[from] QuotaExceeded),
    /// A value is not of the form that this release writes.
    #[error("upload {id} in the ingest database has a damaged `{column}`")]
    Damaged {
        /// The row.
        id: String,
        /// The column.
        column: &'static str,
    },
}

/// The database's answer.
pub type RecordResult<T> = Result<T, RecordError>;

fn failed(action: &'static str) -> impl Fn(sqlx::Error) -> RecordError {
    move |source| RecordError::Database { action, source }
}

fn to_ms(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).expect("uploads are shorter than 8 EiB: max_upload bounds them")
}

// === impl Uploads ===

impl Uploads {
    /// Opens the database, makes it if it is not there, and brings it to this release's schema.
    /// Tenants get no more than `quotas`.
    pub async fn open(path: &Path, quotas: Quotas) -> RecordResult<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10));
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(Duration::from_secs(10))
                // A commit that fails (the disk is full) leaves its connection within a transaction that no longer is one.
                .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        };
        let writer = pool(1).connect_with(options.clone()).await.map_err(failed("open a connection"))?;
        refuse_newer(&writer).await?;
        let mut migrator = Migrator { ignore_missing: true, ..Migrator::DEFAULT };
        migrator.migrations = MIGRATOR.migrations.clone();
        migrator.run(&writer).await.map_err(RecordError::Migrate)?;
        let readers = pool(4).connect_with(options).await.map_err(failed("open a connection"))?;
        Ok(Self { writer, readers, quotas: Arc::new(quotas) })
    }

    /// Whether it answers.
    pub async fn check(&self) -> RecordResult<()> {
        sqlx::query("SELECT 1").execute(&self.readers).await.map(drop).map_err(failed("read"))
    }

    /// Closes it: what is written stays written, and the files are no longer in use.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Adds an upload.
    pub async fn insert(&self, record: &Record) -> RecordResult<()> {
        let act = failed("add an upload");
        let mut change = self.writer.begin().await.map_err(&act)?;
        insert_upload(&mut change, record).await.map_err(&act)?;
        self.check_stored(&mut change, &record.tenant).await?;
        self.check_open(&mut change, &record.tenant).await?;
        change.commit().await.map_err(&act)
    }

    /// A tenant's upload.
    pub async fn find(&self, tenant: &str, id: Uuid) -> RecordResult<Option<Record>> {
        Ok(self.load(id).await?.filter(|record| record.tenant == tenant))
    }

    /// Any upload, for the service's own work.
    pub async fn load(&self, id: Uuid) -> RecordResult<Option<Record>> {
        let row = sqlx::query("SELECT * FROM uploads WHERE id = ?")
            .bind(id.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(failed("read an upload"))?;
        row.as_ref().map(rows::record).transpose()
    }

    /// A tenant's uploads before `before`, newest first.
    pub async fn page(&self, tenant: &str, before: Option<Uuid>, limit: u32) -> RecordResult<Vec<Record>> {
        // `~` sorts behind every hexadecimal digit.
        let before = before.map_or_else(|| "~".to_owned(), |id| id.to_string());
        let rows = sqlx::query(
            "SELECT * FROM uploads WHERE tenant = ? AND id < ? AND stage NOT IN ('ending', 'gone') ORDER BY id DESC LIMIT ?",
        )
        .bind(tenant)
        .bind(before)
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(failed("list uploads"))?;
        rows.iter().map(rows::record).collect()
    }

    /// The acknowledged parts, by number.
    pub async fn parts(&self, id: Uuid) -> RecordResult<Vec<PartTag>> {
        let rows =
            sqlx::query("SELECT upload_id, number, etag, size_bytes FROM parts WHERE upload_id = ? ORDER BY number")
                .bind(id.to_string())
                .fetch_all(&self.readers)
                .await
                .map_err(failed("read parts"))?;
        rows.iter().map(rows::part).collect()
    }

    /// Notes the store's name of the multipart upload, before its first part is sent.
    pub async fn set_multipart(&self, id: Uuid, multipart_id: &str) -> RecordResult<bool> {
        let change = sqlx::query("UPDATE uploads SET multipart_id = ? WHERE id = ? AND stage = 'receiving'");
        self.change("note a multipart upload", change.bind(multipart_id).bind(id.to_string())).await
    }

    /// Notes what a pull's server says of the file: its length, and what names exactly these bytes.
    pub async fn set_source(&self, id: Uuid, length_bytes: Option<u64>, validator: Option<&str>) -> RecordResult<bool> {
        let change = sqlx::query(
            "UPDATE uploads SET length_bytes = ?1, validator = ?2, holds_bytes = coalesce(?1, offset_bytes)
             WHERE id = ?3 AND stage = 'receiving' RETURNING tenant",
        );
        let change = change.bind(length_bytes.map(signed)).bind(validator).bind(id.to_string());
        self.hold("note a source", change).await
    }

    /// Notes the length of an upload that did not have one. `false` if it has one, or has ended.
    pub async fn set_length(&self, id: Uuid, length_bytes: u64) -> RecordResult<bool> {
        let change = sqlx::query(
            "UPDATE uploads SET length_bytes = ?1, holds_bytes = ?1
             WHERE id = ?2 AND stage = 'receiving' AND length_bytes IS NULL AND offset_bytes <= ?1 RETURNING tenant",
        );
        self.hold("note a length", change.bind(signed(length_bytes)).bind(id.to_string())).await
    }

    /// A change after which an upload may hold more; it gives the tenant.
    async fn hold(&self, action: &'static str, change: SqliteQuery<'_>) -> RecordResult<bool> {
        let act = failed(action);
        let mut transaction = self.writer.begin().await.map_err(&act)?;
        let changed = change.fetch_optional(&mut *transaction).await.map_err(&act)?;
        if let Some(row) = &changed {
            self.check_stored(&mut transaction, row.get("tenant")).await?;
        }
        transaction.commit().await.map_err(&act)?;
        Ok(changed.is_some())
    }

    /// Acknowledges bytes that the object store has. With `sha256` they were the last ones: processing begins.
    /// `false` if the upload has ended meanwhile.
    pub async fn arrive(&self, record: &Record, arrival: &Arrival, sha256: Option<&str>) -> RecordResult<bool> {
        let act = failed("acknowledge bytes");
        let mut change = self.writer.begin().await.map_err(&act)?;
        let (stage, due) = match sha256 {
            Some(_) => (Stage::Assemble, Some(to_ms(OffsetDateTime::now_utc()))),
            // A pull stays due: a restart goes on with it.
            None => (Stage::Receiving, record.url.as_ref().map(|_| to_ms(OffsetDateTime::now_utc()))),
        };
        let changed = sqlx::query(
            "UPDATE uploads SET offset_bytes = ?, sha256_state = ?, tail_key = ?, tail_bytes = ?, expires_at_ms = ?,
             stage = ?, due_at_ms = ?, sha256 = ?, length_bytes = CASE WHEN ? THEN ? ELSE length_bytes END,
             join_at_ms = CASE WHEN ? THEN NULL ELSE join_at_ms END, holds_bytes = max(holds_bytes, ?),
             attempts = 0, error = NULL WHERE id = ? AND stage = 'receiving'",
        )
        .bind(signed(arrival.offset_bytes))
        .bind(&arrival.sha256_state)
        .bind(arrival.tail.as_ref().map(|tail| tail.key.as_str()))
        .bind(signed(arrival.tail.as_ref().map_or(0, |tail| tail.size_bytes)))
        .bind(arrival.expires_at.filter(|_| sha256.is_none()).map(to_ms))
        .bind(stage.as_str())
        .bind(due)
        .bind(sha256)
        .bind(sha256.is_some())
        .bind(signed(arrival.offset_bytes))
        .bind(sha256.is_some())
        .bind(signed(arrival.offset_bytes))
        .bind(record.id.to_string())
        .execute(&mut *change)
        .await
        .map_err(&act)?;
        if changed.rows_affected() == 0 {
            return Ok(false);
        }
        for part in &arrival.parts {
            insert_part(&mut change, record, part).await.map_err(&act)?;
        }
        if record.length_bytes.is_none() {
            self.check_stored(&mut change, &record.tenant).await?;
        }
        if sha256.is_some() && record.is_final() {
            joins::end_partials(&mut change, record.id).await.map_err(&act)?;
        }
        change.commit().await.map_err(&act)?;
        Ok(true)
    }

    /// Forgets all bytes of a pull whose source has changed.
    pub async fn restart(&self, id: Uuid) -> RecordResult<()> {
        let act = failed("restart an upload");
        let mut change = self.writer.begin().await.map_err(&act)?;
        sqlx::query("DELETE FROM parts WHERE upload_id = ?")
            .bind(id.to_string())
            .execute(&mut *change)
            .await
            .map_err(&act)?;
        sqlx::query(
            "UPDATE uploads SET offset_bytes = 0, length_bytes = NULL, sha256_state = NULL, tail_key = NULL, tail_bytes = 0,
             multipart_id = NULL, validator = NULL WHERE id = ? AND stage = 'receiving'",
        )
        .bind(id.to_string())
        .execute(&mut *change)
        .await
        .map_err(&act)?;
        change.commit().await.map_err(&act)
    }

    /// Goes from one stage to the next. `false` if it was no longer in `from`.
    pub async fn advance(&self, id: Uuid, from: Stage, to: Stage, findings: &Findings) -> RecordResult<bool> {
        let probe = findings.probe.as_ref().map(|probe| serde_json::to_string(probe).expect("a probe is plain data"));
        let change = sqlx::query(
            "UPDATE uploads SET stage = ?, due_at_ms = ?, attempts = 0, error = NULL, probe = coalesce(?, probe),
             poster_key = coalesce(?, poster_key), asset_id = coalesce(?, asset_id), job_id = coalesce(?, job_id)
             WHERE id = ? AND stage = ?",
        )
        .bind(to.as_str())
        .bind(to.has_work().then(|| to_ms(OffsetDateTime::now_utc())))
        .bind(probe)
        .bind(&findings.poster_key)
        .bind(findings.asset_id.map(|id| id.to_string()))
        .bind(findings.job_id.map(|id| id.to_string()))
        .bind(id.to_string())
        .bind(from.as_str());
        self.change("advance an upload", change).await
    }

    /// Notes that the work has failed `attempts` times in a row, and when to try again.
    pub async fn postpone(
        &self,
        record: &Record,
        attempts: u32,
        due: OffsetDateTime,
        reason: &str,
    ) -> RecordResult<bool> {
        let change = sqlx::query(
            "UPDATE uploads SET attempts = ?, due_at_ms = ?, error = coalesce(?, error) WHERE id = ? AND stage = ?",
        )
        .bind(attempts)
        .bind(to_ms(due))
        // Why it was refused or ended stays, whatever hinders the cleaning up.
        .bind((!matches!(record.stage, Stage::Refusing | Stage::Ending)).then_some(reason))
        .bind(record.id.to_string())
        .bind(record.stage.as_str());
        self.change("postpone an upload", change).await
    }

    /// Begins to give an upload up, and the parts of a final one with it: what is stored of it is deleted next. `false` if it
    /// was no longer in `from`.
    pub async fn give_up(&self, id: Uuid, from: Stage, to: Stage, reason: &str) -> RecordResult<bool> {
        debug_assert!(matches!(to, Stage::Refusing | Stage::Ending), "these are the stages that delete");
        let act = failed("give an upload up");
        let mut change = self.writer.begin().await.map_err(&act)?;
        let given_up = sqlx::query(
            "UPDATE uploads SET stage = ?, due_at_ms = ?, join_at_ms = NULL, attempts = 0, error = ?, expires_at_ms = NULL
             WHERE id = ? AND stage = ?",
        )
        .bind(to.as_str())
        .bind(to_ms(OffsetDateTime::now_utc()))
        .bind(reason)
        .bind(id.to_string())
        .bind(from.as_str())
        .execute(&mut *change)
        .await
        .map_err(&act)?;
        if given_up.rows_affected() == 0 {
            return Ok(false);
        }
        joins::end_partials(&mut change, id).await.map_err(&act)?;
        change.commit().await.map_err(&act)?;
        Ok(true)
    }

    /// Notes that nothing is stored of it any more. It is remembered until `forget_at`.
    pub async fn cleared(&self, record: &Record, to: Stage, forget_at: OffsetDateTime) -> RecordResult<bool> {
        let act = failed("close an upload");
        let id = record.id.to_string();
        let mut change = self.writer.begin().await.map_err(&act)?;
        sqlx::query("DELETE FROM parts WHERE upload_id = ?").bind(&id).execute(&mut *change).await.map_err(&act)?;
        let changed = sqlx::query(
            "UPDATE uploads SET stage = ?, due_at_ms = NULL, attempts = 0, multipart_id = NULL, tail_key = NULL, tail_bytes = 0,
             sha256_state = NULL, poster_key = NULL, expires_at_ms = ? WHERE id = ? AND stage = ?",
        )
        .bind(to.as_str())
        .bind(to_ms(forget_at))
        .bind(&id)
        .bind(record.stage.as_str())
        .execute(&mut *change)
        .await
        .map_err(&act)?;
        holdings::pass_on(&mut change, record.id).await.map_err(&act)?;
        change.commit().await.map_err(&act)?;
        Ok(changed.rows_affected() == 1)
    }

    async fn change(&self, action: &'static str, change: SqliteQuery<'_>) -> RecordResult<bool> {
        Ok(change.execute(&self.writer).await.map_err(failed(action))?.rows_affected() == 1)
    }
}

type SqliteQuery<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

async fn insert_upload(change: &mut SqliteConnection, record: &Record) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO uploads (id, tenant, origin, stage, due_at_ms, offset_bytes, length_bytes, part_bytes, file_name,
         title, chain, url, sha256, concat, join_at_ms, holds_bytes, created_at_ms, expires_at_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(record.id.to_string())
    .bind(&record.tenant)
    .bind(record.origin.as_str())
    .bind(record.stage.as_str())
    // A pull is due at once, and so is the work on an upload of no bytes.
    .bind((record.url.is_some() || record.stage.has_work()).then(|| to_ms(record.created_at)))
    .bind(signed(record.offset_bytes))
    .bind(record.length_bytes.map(signed))
    .bind(signed(record.part_bytes))
    .bind(&record.labels.file_name)
    .bind(&record.labels.title)
    .bind(&record.labels.chain)
    .bind(&record.url)
    .bind(&record.sha256)
    .bind(record.concat.as_ref().map(Concat::as_str))
    .bind((record.is_final() && record.stage == Stage::Receiving).then(|| to_ms(record.created_at)))
    .bind(signed(record.length_bytes.unwrap_or(0)))
    .bind(to_ms(record.created_at))
    .bind(record.expires_at.map(to_ms))
    .execute(change)
    .await
    .map(drop)
}

async fn insert_part(change: &mut SqliteConnection, record: &Record, part: &PartTag) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO parts (upload_id, tenant, number, etag, size_bytes) VALUES (?, ?, ?, ?, ?)")
        .bind(record.id.to_string())
        .bind(&record.tenant)
        .bind(part.number)
        .bind(&part.etag)
        .bind(signed(part.size_bytes))
        .execute(change)
        .await
        .map(drop)
}

/// Refuses a database that a release after the next has changed: what it expects, this one does not know.
async fn refuse_newer(pool: &SqlitePool) -> RecordResult<()> {
    let act = failed("read the schema version");
    let table = sqlx::query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'");
    if table.fetch_optional(pool).await.map_err(&act)?.is_none() {
        return Ok(());
    }
    let row: SqliteRow =
        sqlx::query("SELECT coalesce(max(version), 0) FROM _sqlx_migrations").fetch_one(pool).await.map_err(&act)?;
    let found: i64 = row.get(0);
    if found > SCHEMA + 1 { Err(RecordError::TooNew { found }) } else { Ok(()) }
}
