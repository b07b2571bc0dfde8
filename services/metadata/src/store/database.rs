//! The two databases that the catalogue may lie in: opening, bringing up to date, and the transactions of each.
//!
//! **SQLite** has one writer: so there is one connection that writes, and requests queue for it in order, rather than many
//! that fight for the file's lock. Readers have a pool of their own and see the last commit; they neither wait for the
//! writer nor hold it up.
//!
//! **PostgreSQL** has many writers, also in other processes. What reads an asset, decides and writes takes a lock of that
//! asset's id first (`pg_advisory_xact_lock`), so that between reading and writing nobody else changes it: the same as with
//! SQLite, one asset at a time. A transaction takes one such lock, or several in the order of their keys, and that of its tenant's
//! feed last, so none waits for another in a ring; an import takes that of its tenant's imports before all others. Readers see one
//! state (`REPEATABLE READ`), and wait for nobody.
//!
//! Every wait ends after `database_wait`.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};
use uuid::Uuid;

use super::sql::{Transaction, sql};
use super::{StoreError, StoreResult};
use crate::config::{Config, Location};

/// The schemas, in the order in which they grew. PostgreSQL came with the eighth; from there on a number means the same in both.
static SQLITE: Migrator = sqlx::migrate!("./migrations/sqlite");
pub(super) static POSTGRES: Migrator = sqlx::migrate!("./migrations/postgres");
/// The table in which sqlx notes what it has applied.
const MIGRATIONS_TABLE: &str = "_sqlx_migrations";
/// Log pages after which SQLite copies the log into the database: 4 MiB, which bounds the log and one commit's delay.
const CHECKPOINT_PAGES: &str = "1000";

/// An open database. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) enum Database {
    Sqlite { writer: SqlitePool, readers: SqlitePool },
    Postgres(PgPool),
}

// === impl Database ===

impl Database {
    /// Opens what `config` names, and brings its schema up to date.
    pub(super) async fn open(config: &Config) -> StoreResult<Self> {
        match &config.database {
            Location::Sqlite(path) => open_sqlite(path, config).await,
            Location::Postgres(url) => open_postgres(url, config).await,
        }
    }

    /// A transaction that reads one state of the database, however many queries it takes.
    pub(super) async fn reading(&self) -> StoreResult<Transaction> {
        Ok(match self {
            Self::Sqlite { readers, .. } => Transaction::Sqlite(readers.begin().await?),
            Self::Postgres(pool) => {
                Transaction::Postgres(begun(pool, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
            }
        })
    }

    /// A transaction that writes something of no asset that is there.
    pub(super) async fn writing(&self) -> StoreResult<Transaction> {
        Ok(match self {
            // Takes SQLite's write lock at once, so that what is read cannot change before it is written.
            Self::Sqlite { writer, .. } => Transaction::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?),
            // Not what the server is set to: who waited for a lock has to see what was written meanwhile.
            Self::Postgres(pool) => Transaction::Postgres(begun(pool, "BEGIN ISOLATION LEVEL READ COMMITTED").await?),
        })
    }

    /// A transaction that reads and changes the asset `id`, as nobody else does until it ends.
    pub(super) async fn changing(&self, id: Uuid) -> StoreResult<Transaction> {
        let mut transaction = self.writing().await?;
        if let Transaction::Postgres(_) = &transaction {
            sql("SELECT pg_advisory_xact_lock($1)").bind(lock_key(id)).run(&mut transaction).await?;
        }
        Ok(transaction)
    }

    /// A transaction that reads and changes the assets `ids`, as nobody else does until it ends, and imports for `tenant`, as nobody else
    /// does either. Whoever takes several locks takes them in the order of their keys.
    pub(super) async fn importing(&self, tenant: &str, ids: &[Uuid]) -> StoreResult<Transaction> {
        const LOCK: &str = "SELECT pg_advisory_xact_lock(wanted) FROM unnest(CAST($1 AS BIGINT[])) AS keys (wanted)";
        let mut transaction = self.writing().await?;
        if let Transaction::Postgres(_) = &transaction {
            // Identifiers have no lock of their own: a tenant's imports are decided one after another. Only imports take this lock, and
            // first.
            sql("SELECT pg_advisory_xact_lock(2, hashtext($1))").bind(tenant).run(&mut transaction).await?;
            let mut keys: Vec<i64> = ids.iter().copied().map(lock_key).collect();
            keys.sort_unstable();
            keys.dedup();
            sql(LOCK).bind(keys.as_slice()).run(&mut transaction).await?;
        }
        Ok(transaction)
    }
}

/// The key of an asset's lock.
fn lock_key(id: Uuid) -> i64 {
    let (high, low) = id.as_u64_pair();
    i64::from_ne_bytes((high ^ low).to_ne_bytes())
}

/// Begins a transaction in a task of its own, so that it begins in full or not at all.
///
/// Callers go away at any moment, and what they wait for is dropped then. sqlx rolls back a transaction that is dropped, but not one
/// whose `BEGIN` is under way: that connection would go back to the pool within a transaction that nobody knows of, perhaps one that
/// only reads, and the next caller's writes would be refused.
async fn begun(pool: &PgPool, statement: &'static str) -> StoreResult<sqlx::Transaction<'static, sqlx::Postgres>> {
    let pool = pool.clone();
    let begun = tokio::spawn(async move { pool.begin_with(statement).await }).await;
    begun.map_err(|_| sqlx::Error::WorkerCrashed)?.map_err(StoreError::from)
}

async fn open_sqlite(path: &Path, config: &Config) -> StoreResult<Database> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let failed = |source| StoreError::Folder { path: folder.to_owned(), source };
        tokio::fs::create_dir_all(folder).await.map_err(failed)?;
    }
    let wait = config.database_wait.0;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(wait)
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES);
    let writer = pool(1, wait).connect_with(options.clone()).await?;
    let mut connection = writer.acquire().await?;
    let schema = migrations(&SQLITE, &config.database, &mut *connection).await?;
    schema.run(&mut *connection).await.map_err(|source| unmigrated(&config.database, source))?;
    drop(connection);
    let reading = options.create_if_missing(false).pragma("query_only", "ON");
    let readers = pool(config.database_readers.max(1), wait).connect_with(reading).await?;
    Ok(Database::Sqlite { writer, readers })
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

async fn open_postgres(url: &str, config: &Config) -> StoreResult<Database> {
    let options = PgConnectOptions::from_str(url)?.application_name("flame-metadata");
    let wait = config.database_wait.0;
    // With a connection of its own: a large catalogue may take longer to be brought up to date than a request may wait.
    let mut connection = options.connect().await?;
    let schema = migrations(&POSTGRES, &config.database, &mut connection).await?;
    schema.run(&mut connection).await.map_err(|source| unmigrated(&config.database, source))?;
    connection.close().await?;
    let wait_ms = wait.as_millis().to_string();
    let options = options.options([("lock_timeout", &wait_ms), ("statement_timeout", &wait_ms)]);
    let pool = PgPoolOptions::new().max_connections(config.database_readers.max(1) + 1).acquire_timeout(wait);
    Ok(Database::Postgres(pool.connect_with(options).await?))
}

pub(super) fn unmigrated(at: &Location, source: MigrateError) -> StoreError {
    StoreError::Migration { database: at.to_string(), source }
}

/// Says no to a database that is more than one migration ahead of `schema`, and gives what brings another up to date.
pub(super) async fn migrations<C: Migrate>(
    schema: &Migrator,
    at: &Location,
    connection: &mut C,
) -> StoreResult<Migrator> {
    let failed = |source| unmigrated(at, source);
    connection.ensure_migrations_table(MIGRATIONS_TABLE).await.map_err(failed)?;
    let applied = connection.list_applied_migrations(MIGRATIONS_TABLE).await.map_err(failed)?;
    let found = applied.iter().map(|migration| migration.version).max().unwrap_or(0);
    let newest = schema.iter().map(|migration| migration.version).max().unwrap_or(0) + 1;
    if found > newest {
        return Err(StoreError::TooNew { database: at.to_string(), found, newest });
    }
    let mut migrations = Migrator::with_migrations(schema.iter().cloned().collect());
    // The one migration that may be ahead of this release.
    migrations.set_ignore_missing(true);
    Ok(migrations)
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
