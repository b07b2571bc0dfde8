//! The catalogue on disk: one SQLite file in WAL mode.
//!
//! **What a crash leaves.** Every change is one transaction, and `synchronous = FULL` syncs the log before the commit
//! returns: what was acknowledged survives the loss of power, what was not is rolled back at the next open. Nothing
//! is kept in memory between requests.
//!
//! **Who waits for whom.** SQLite has one writer: so there is one connection that writes, and requests queue for it
//! in order, rather than many that fight for the file's lock. Readers have a pool of their own and see the last
//! commit; they neither wait for the writer nor hold it up. Every wait ends after `database_wait` with 503.
//!
//! **Versions.** Migrations only add, so the release before still works: a database that is one migration ahead is
//! used as it is, one that is further ahead is refused. Down migrations do not exist.
//!
//! **Left out.** No cache, no ORM, no PostgreSQL yet; no second process writes the file, though the busy timeout
//! would bear it.

mod assets;
mod deletions;
mod purges;
mod removals;
mod rows;
mod subtitles;
mod versions;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, Sqlite, Transaction};
use time::OffsetDateTime;
use tokio::sync::Notify;

pub use assets::{Deleted, Patched, Registered};
pub use deletions::Deletion;
pub use purges::DuePurge;
pub use removals::Removal;
pub use subtitles::{Listed, Unlisted};
pub use versions::Published;

use crate::config::{Config, PurgeConfig};

/// The schema, in the order in which it grew; its numbers have no gaps.
static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");
/// The table in which sqlx notes what it has applied.
const MIGRATIONS_TABLE: &str = "_sqlx_migrations";
/// Log pages after which SQLite copies the log into the database: 4 MiB, which bounds the log and one commit's delay.
const CHECKPOINT_PAGES: &str = "1000";

/// The catalogue. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    writer: SqlitePool,
    readers: SqlitePool,
    deletion_noted: Arc<Notify>,
    purges: Arc<PurgeConfig>,
    purge_noted: Arc<Notify>,
}

/// Why the catalogue could not be opened, or did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder of the database cannot be made.
    #[error("the folder {path} cannot be made")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What happened.
        #[source]
        source: std::io::Error,
    },
    /// A newer release has written the database.
    #[error(
        "{path} has schema {found}, and this release works with schemas up to {newest}: start the release that wrote it, \
         or restore a backup that is older than its first start"
    )]
    TooNew {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema that this release works with.
        newest: i64,
    },
    /// The schema cannot be brought up to date.
    #[error("{path} cannot be migrated")]
    Migration {
        /// The database.
        path: PathBuf,
        /// What happened.
        #[source]
        source: MigrateError,
    },
    /// No connection, or no lock, within the configured wait: trying again may help.
    #[error("the database is busy")]
    Busy(#[source] sqlx::Error),
    /// The disk has no room.
    #[error("the disk under the database is full")]
    Full(#[source] sqlx::Error),
    /// The database does not do what it should.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
    /// A row holds what this release cannot have written.
    #[error("the database holds {what} that is not understood: {value}")]
    Damaged {
        /// What is stored.
        what: &'static str,
        /// Its value.
        value: String,
    },
}

/// What store operations return.
pub type StoreResult<T> = Result<T, StoreError>;

// === impl StoreError ===

/// `SQLITE_BUSY` and `SQLITE_FULL`, without their extended parts (<https://sqlite.org/rescode.html>).
const BUSY: i32 = 5;
const FULL: i32 = 13;

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if matches!(error, sqlx::Error::PoolTimedOut) {
            return Self::Busy(error);
        }
        let code = error.as_database_error().and_then(|error| error.code()?.parse::<i32>().ok());
        match code.map(|code| code & 0xff) {
            Some(BUSY) => Self::Busy(error),
            Some(FULL) => Self::Full(error),
            Some(_) | None => Self::Database(error),
        }
    }
}

// === impl Store ===

impl Store {
    /// Opens the database of `config`, made if it is not there, and brings its schema up to date.
    pub async fn open(config: &Config) -> StoreResult<Self> {
        let path = &config.database;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            let failed = |source| StoreError::Folder { path: folder.to_owned(), source };
            tokio::fs::create_dir_all(folder).await.map_err(failed)?;
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(config.database_wait.0)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES);
        let writer = pool(1, config.database_wait.0).connect_with(options.clone()).await?;
        migrate(path, &writer).await?;
        let reading = options.create_if_missing(false).pragma("query_only", "ON");
        let readers = pool(config.database_readers.max(1), config.database_wait.0).connect_with(reading).await?;
        let purges = Arc::new(config.purges.clone());
        Ok(Self { writer, readers, deletion_noted: Arc::default(), purges, purge_noted: Arc::default() })
    }

    /// Whether the database answers.
    pub async fn check(&self) -> StoreResult<()> {
        sqlx::query_scalar::<_, i64>("SELECT count(*) FROM (SELECT seq FROM assets LIMIT 1)")
            .fetch_one(&self.readers)
            .await?;
        Ok(())
    }

    /// A transaction that writes. It takes SQLite's write lock at once, so that what it reads cannot change before it
    /// writes.
    async fn writing(&self) -> StoreResult<Transaction<'static, Sqlite>> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// A transaction that reads one state of the database, however many queries it takes.
    async fn reading(&self) -> StoreResult<Transaction<'static, Sqlite>> {
        Ok(self.readers.begin().await?)
    }
}

fn pool(connections: u32, wait: Duration) -> SqlitePoolOptions {
    // Connections are files: they neither go stale nor cost anything while idle.
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(wait)
        .idle_timeout(None)
        .max_lifetime(None)
        // A commit that fails (the disk is full) leaves its connection within a transaction that no longer is one.
        .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
}

async fn migrate(path: &std::path::Path, writer: &SqlitePool) -> StoreResult<()> {
    let failed = |source| StoreError::Migration { path: path.to_owned(), source };
    let mut connection = writer.acquire().await?;
    connection.ensure_migrations_table(MIGRATIONS_TABLE).await.map_err(failed)?;
    let applied = connection.list_applied_migrations(MIGRATIONS_TABLE).await.map_err(failed)?;
    let found = applied.iter().map(|migration| migration.version).max().unwrap_or(0);
    let newest = newest_schema() + 1;
    if found > newest {
        return Err(StoreError::TooNew { path: path.to_owned(), found, newest });
    }
    let mut migrations = Migrator::with_migrations(MIGRATIONS.iter().cloned().collect());
    // The one migration that may be ahead of this release.
    migrations.set_ignore_missing(true);
    migrations.run(&mut *connection).await.map_err(failed)
}

/// The schema that this release makes.
fn newest_schema() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Now, in microseconds since the Unix epoch.
pub(crate) fn now_us() -> i64 {
    // Fits until the year 294,000.
    i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1000).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As SQLite does when it cannot even write the journal of a commit: it rolls back by itself.
    #[tokio::test]
    async fn a_commit_that_failed_leaves_no_connection_behind_that_cannot_begin() {
        let dir = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new().filename(dir.path().join("a.db")).create_if_missing(true);
        let writer = pool(1, Duration::from_secs(5)).connect_with(options).await.unwrap();
        let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await.unwrap();
        sqlx::raw_sql("ROLLBACK").execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap_err();
        let transaction = writer.begin_with("BEGIN IMMEDIATE").await.unwrap();
        transaction.commit().await.unwrap();
    }
}
