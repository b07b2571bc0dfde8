//! The jobs on disk: one SQLite file in WAL mode, which is the queue and the record of what was measured as well.
//!
//! **What a crash leaves.** Every change is one transaction, and `synchronous = FULL` syncs the log before the commit
//! returns: a job that was accepted, a lease, a result survive the loss of power. Scores of single frames are files
//! ([`crate::results`]), in place before the result is.
//!
//! **Who may work.** A claim reads and writes in one transaction that takes SQLite's write lock first, and the lease
//! that it gives has a number of its own; every later report is checked against that number in a transaction of the
//! same kind. So two workers, in one process or in several, never both hold a job, and one that was taken for dead
//! changes nothing when it comes back. What is allowed is decided in [`crate::job`]; nothing is decided here.
//!
//! **Who waits for whom.** SQLite has one writer: so there is one connection that writes, and everybody queues for it
//! in order. Readers have a pool of their own and see the last commit. Every wait ends after `database_wait`.
//!
//! **Versions.** Migrations only add, so the release before still works: a database that is one migration ahead is
//! used as it is, one that is further ahead is refused.
//!
//! **What is forgotten.** Jobs that have ended, the oldest first, beyond `jobs.kept_max`.
//!
//! **Left out.** PostgreSQL, which is to come when several machines share one queue; a history of attempts.

mod jobs;
mod queue;
mod rows;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, Sqlite, Transaction};
use time::OffsetDateTime;

pub use jobs::{Created, Filter};
pub use queue::{Claimed, LeaseKey, Measured, ReportError};
pub use rows::{Kind, Record};

use crate::changes::Changes;
use crate::config::Config;
use crate::job::Bounds;

/// The schema, in the order in which it grew; its numbers have no gaps.
static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");
/// The table in which sqlx notes what it has applied.
const MIGRATIONS_TABLE: &str = "_sqlx_migrations";
/// Log pages after which SQLite copies the log into the database: 4 MiB, which bounds the log and one commit's delay.
const CHECKPOINT_PAGES: &str = "1000";

/// The jobs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    writer: SqlitePool,
    readers: SqlitePool,
    bounds: Bounds,
    queued_max: u32,
    changes: Changes,
}

/// Why the database could not be opened, or did not do what was asked.
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
    /// Opens the database of `config`, made if it is not there, and brings its schema up to date. Whoever should know
    /// of a change is told through `changes`.
    pub async fn open(config: &Config, changes: Changes) -> StoreResult<Self> {
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
        Ok(Self { writer, readers, bounds: config.jobs.bounds(), queued_max: config.jobs.queued_max, changes })
    }

    /// Whether the database answers.
    pub async fn check(&self) -> StoreResult<()> {
        sqlx::query_scalar::<_, i64>("SELECT count(*) FROM (SELECT seq FROM jobs LIMIT 1)")
            .fetch_one(&self.readers)
            .await?;
        Ok(())
    }

    /// Where its changes are told.
    #[must_use]
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// A transaction that writes. It takes SQLite's write lock at once, so that what it reads cannot change before it
    /// writes.
    async fn writing(&self) -> StoreResult<Transaction<'static, Sqlite>> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
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

async fn migrate(path: &Path, writer: &SqlitePool) -> StoreResult<()> {
    let failed = |source| StoreError::Migration { path: path.to_owned(), source };
    let mut connection = writer.acquire().await?;
    connection.ensure_migrations_table(MIGRATIONS_TABLE).await.map_err(failed)?;
    let applied = connection.list_applied_migrations(MIGRATIONS_TABLE).await.map_err(failed)?;
    let found = applied.iter().map(|migration| migration.version).max().unwrap_or(0);
    let newest = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0) + 1;
    if found > newest {
        return Err(StoreError::TooNew { path: path.to_owned(), found, newest });
    }
    let mut migrations = Migrator::with_migrations(MIGRATIONS.iter().cloned().collect());
    // The one migration that may be ahead of this release.
    migrations.set_ignore_missing(true);
    migrations.run(&mut *connection).await.map_err(failed)
}

/// Now, in the unit that is stored.
fn now_us() -> i64 {
    // Fits until the year 294,000.
    i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1000).unwrap_or(i64::MAX)
}
