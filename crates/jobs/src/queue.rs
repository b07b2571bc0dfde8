//! The queue on disk: one SQLite file in WAL mode, in which a service has a table `jobs`.
//!
//! **What a crash leaves.** Every change is one transaction, and `synchronous = FULL` syncs the log before the commit
//! returns: a job that was accepted, a lease, a report survive the loss of power. Nothing about a job is
//! kept in memory only, so whoever claims it next knows all that there is to know.
//!
//! **Who may work.** A claim reads and writes in one transaction that takes SQLite's write lock first, and the lease
//! that it gives has a number of its own; every later report is checked against that number in a transaction of the
//! same kind. So two workers, in one process or in several, never both hold a job, and one that was taken for dead
//! changes nothing when it comes back. What is allowed is decided in [`crate::job`]; nothing is decided here.
//!
//! **Who waits for whom.** SQLite has one writer: so there is one connection that writes, and everybody queues for it
//! in order. Readers have a pool of their own and see the last commit. Every wait is bounded.
//!
//! **Whose columns.** This module reads and writes where a job stands; the service everything else, in the same transaction where
//! the two belong together ([`Turn`], [`Table::beside`]).
//!
//! **Versions.** Migrations only add, so the release before still works: a database that is one migration ahead is
//! used as it is, one that is further ahead is refused.
//!
//! **Left out.** PostgreSQL, which is to come when several machines share one queue; a history of attempts.

mod error;
mod fair;
mod share;
mod standing;
mod turn;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flame_api::jobs::JobState;
use futures_util::future::BoxFuture;
use sqlx::migrate::{Migrate, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, Connection, SqlSafeStr, SqlStr, Sqlite, Transaction};
use time::OffsetDateTime;

pub use error::{ReportError, StoreError, StoreResult};
pub use standing::{StandingRow, damaged};
pub use turn::{Claim, LeaseKey, Turn};

use crate::changes::{Change, Changes};
use crate::job::{Bounds, Event, Standing};
use standing::COLUMNS;

/// The table in which sqlx notes what it has applied.
const MIGRATIONS_TABLE: &str = "_sqlx_migrations";
/// Log pages after which SQLite copies the log into the database: 4 MiB, which bounds the log and one commit's delay.
const CHECKPOINT_PAGES: &str = "1000";

/// The queue of a service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Queue {
    writer: SqlitePool,
    readers: SqlitePool,
    bounds: Bounds,
    table: &'static Table,
    statements: Arc<Statements>,
    changes: Changes,
}

/// A service's table `jobs`, as far as it is its own. It has the columns of [`StandingRow`], `state`, which is the phase as callers
/// are told, and an index for whatever a lane takes.
#[derive(Debug)]
pub struct Table {
    /// The column that holds the phase.
    pub phase: &'static str,
    /// Which jobs wait for work, in the very words of a partial index (SQLite uses one only then).
    pub to_work: &'static str,
    /// Which jobs wait to be closed, likewise; none where work leaves nothing.
    pub to_close: Option<&'static str>,
    /// In which order those of a tenant are taken; between tenants it is by turns.
    pub order: &'static str,
    /// What the service writes of a job that has come to stand anew, in the same transaction.
    pub beside: Beside,
}

/// Writes of the job with this number what belongs beside where it stands.
pub type Beside = for<'a> fn(&'a mut SqliteConnection, i64, &'a Standing) -> BoxFuture<'a, StoreResult<()>>;

/// How a queue is opened.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'a> {
    /// The SQLite file; it and its folder are made if they are not there.
    pub path: &'a Path,
    /// Connections that read at once; one more writes.
    pub readers: u32,
    /// Time that everybody waits for a free connection, or for another process's lock.
    pub wait: Duration,
    /// What bounds each job.
    pub bounds: Bounds,
}

/// Which jobs a worker takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Those that are to be worked on.
    Work,
    /// Those whose remains are to be removed. They never wait for work.
    Closing,
}

#[derive(Debug)]
struct Statements {
    work: SqlStr,
    close: Option<SqlStr>,
    of_seq: SqlStr,
    of_owner: SqlStr,
    expired: SqlStr,
    write: SqlStr,
}

// === impl Queue ===

impl Queue {
    /// Opens the database, made if it is not there, and brings its schema up to date. Whoever should know of a change
    /// is told through `changes`.
    ///
    /// # Errors
    /// It cannot be opened or migrated, or a newer release has written it.
    pub async fn open(
        opening: Opening<'_>,
        migrations: &Migrator,
        table: &'static Table,
        changes: Changes,
    ) -> StoreResult<Self> {
        let Opening { path, readers, wait, bounds } = opening;
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
            .busy_timeout(wait)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES);
        let writer = pool(1, wait).connect_with(options.clone()).await?;
        migrate(path, &writer, migrations).await?;
        let reading = options.create_if_missing(false).pragma("query_only", "ON");
        let readers = pool(readers.max(1), wait).connect_with(reading).await?;
        Ok(Self { writer, readers, bounds, table, statements: Arc::new(Statements::of(table)), changes })
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// It does not.
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

    /// Connections that only read.
    #[must_use]
    pub fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// The connection that writes, for a statement of its own.
    #[must_use]
    pub fn writer(&self) -> &SqlitePool {
        &self.writer
    }

    /// A transaction that writes. It takes SQLite's write lock at once, so that what it reads cannot change before it
    /// writes.
    ///
    /// # Errors
    /// The database is busy or fails.
    pub async fn writing(&self) -> StoreResult<Transaction<'static, Sqlite>> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// Asks for the end of the job `seq`. One that has ended stays as it is.
    ///
    /// # Errors
    /// The database is busy or fails.
    pub async fn cancel(&self, seq: i64) -> StoreResult<()> {
        let mut transaction = self.writing().await?;
        let Some(row) = self.row(&mut transaction, seq).await? else { return Ok(()) };
        let (before, now_us) = (row.standing()?, now_us());
        let Ok(after) = before.after(Event::Cancel, now_us, &self.bounds) else { return Ok(()) };
        if after.phase != before.phase {
            self.write(&mut transaction, seq, &after, now_us).await?;
        } else if after != before {
            // Whoever works on it goes on noting how far it is.
            sqlx::query("UPDATE jobs SET cancel_requested = 1 WHERE seq = ?1")
                .bind(seq)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        self.changes.tell(Change { seq, cancel_requested: true });
        self.changes.tell_work();
        Ok(())
    }

    /// How many jobs are in each state, over all tenants. States without a job are left out.
    ///
    /// # Errors
    /// The database is busy or fails.
    pub async fn counts(&self) -> StoreResult<Vec<(JobState, u64)>> {
        let rows: Vec<(String, i64)> =
            sqlx::query_as("SELECT state, count(*) FROM jobs GROUP BY state").fetch_all(&self.readers).await?;
        let counted = rows.into_iter().map(|(word, count)| {
            let state = JobState::ALL.into_iter().find(|state| state.word() == word);
            let count = u64::try_from(count).map_err(|_| damaged("a count", count))?;
            Ok((state.ok_or_else(|| damaged("a state", &word))?, count))
        });
        counted.collect()
    }

    async fn row(&self, connection: &mut SqliteConnection, seq: i64) -> StoreResult<Option<StandingRow>> {
        Ok(sqlx::query_as(self.statements.of_seq.clone()).bind(seq).fetch_optional(connection).await?)
    }

    /// Writes what has become of the job `seq`.
    async fn write(
        &self,
        connection: &mut SqliteConnection,
        seq: i64,
        after: &Standing,
        now_us: i64,
    ) -> StoreResult<()> {
        sqlx::query(self.statements.write.clone())
            .bind(seq)
            .bind(after.phase.word())
            .bind(after.cancel_requested)
            .bind(after.attempt)
            .bind(after.failures)
            .bind(after.due_at_us)
            .bind(i64::try_from(after.lease_number).unwrap_or(i64::MAX))
            .bind(after.lease.as_ref().map(|lease| lease.owner.as_str()))
            .bind(after.lease.as_ref().map(|lease| lease.until_us))
            .bind(&after.error)
            .bind(now_us)
            .bind(after.phase.is_final())
            .execute(&mut *connection)
            .await?;
        (self.table.beside)(connection, seq, after).await
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

async fn migrate(path: &Path, writer: &SqlitePool, wanted: &Migrator) -> StoreResult<()> {
    let failed = |source| StoreError::Migration { path: path.to_owned(), source };
    let mut connection = writer.acquire().await?;
    connection.ensure_migrations_table(MIGRATIONS_TABLE).await.map_err(failed)?;
    let applied = connection.list_applied_migrations(MIGRATIONS_TABLE).await.map_err(failed)?;
    let found = applied.iter().map(|migration| migration.version).max().unwrap_or(0);
    let newest = wanted.iter().map(|migration| migration.version).max().unwrap_or(0) + 1;
    if found > newest {
        return Err(StoreError::TooNew { path: path.to_owned(), found, newest });
    }
    let mut migrations = Migrator::with_migrations(wanted.iter().cloned().collect());
    // The one migration that may be ahead of this release.
    migrations.set_ignore_missing(true);
    migrations.run(&mut *connection).await.map_err(failed)
}

/// Now, in the unit that is stored: microseconds since the Unix epoch.
#[must_use]
pub fn now_us() -> i64 {
    // Fits until the year 294,000.
    i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1000).unwrap_or(i64::MAX)
}

// === impl Statements ===

impl Statements {
    fn of(table: &Table) -> Self {
        let Table { phase, to_close, order, .. } = table;
        // Made of the service's own words only.
        let select =
            |rest: String| AssertSqlSafe(format!("SELECT {phase} AS phase, {COLUMNS} FROM jobs {rest}")).into_sql_str();
        let due = |which: &str| {
            select(format!("WHERE lease_owner IS NULL AND {which} AND due_at_us <= ?1 ORDER BY {order} LIMIT 1"))
        };
        let write = format!(
            "UPDATE jobs SET {phase} = ?2, cancel_requested = ?3, attempt = ?4, failures = ?5, due_at_us = ?6, \
             lease_number = ?7, lease_owner = ?8, lease_until_us = ?9, error = ?10, \
             started_at_us = CASE WHEN ?4 > 0 THEN coalesce(started_at_us, ?11) END, \
             finished_at_us = CASE WHEN ?12 THEN ?11 END WHERE seq = ?1"
        );
        Self {
            work: AssertSqlSafe(fair::next(table)).into_sql_str(),
            close: to_close.map(due),
            of_seq: select("WHERE seq = ?1".to_owned()),
            of_owner: select("WHERE lease_owner = ?1 LIMIT ?2".to_owned()),
            expired: select("WHERE lease_owner IS NOT NULL AND lease_until_us <= ?1 LIMIT ?2".to_owned()),
            write: AssertSqlSafe(write).into_sql_str(),
        }
    }
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
