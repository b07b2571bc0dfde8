//! The catalogue on disk: one SQLite file in WAL mode, or a PostgreSQL database; the same functions on both.
//!
//! **What a crash leaves.** Every change is one transaction. With SQLite `synchronous = FULL` syncs the log before the commit
//! returns, with PostgreSQL the server does (`synchronous_commit`, `fsync`: leave them on): what was acknowledged survives the
//! loss of power, what was not is rolled back. Nothing is kept in memory between requests.
//!
//! **Who waits for whom** stands in `database`: one writer of all, or one of each asset. Every wait ends after `database_wait`
//! with 503.
//!
//! **Versions.** Migrations only add, so the release before still works: a database that is one migration ahead is
//! used as it is, one that is further ahead is refused. Down migrations do not exist.
//!
//! **Left out.** No cache, no ORM. A second process may write the same PostgreSQL database, but not the same SQLite file, though
//! the busy timeout would bear it.

mod assets;
mod browse;
mod database;
mod deletions;
mod edits;
mod facts;
mod feed;
mod history;
mod imports;
mod provenance;
mod purges;
mod removals;
mod reopened;
mod rows;
mod scores;
mod sql;
mod subtitles;
mod transfer;
mod trash;
mod unread;
mod versions;
mod webhooks;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::postgres::PgDatabaseError;
use time::OffsetDateTime;
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;

pub use assets::Registered;
pub use browse::Selection;
pub use deletions::Deletion;
pub use edits::{Patched, Restored};
pub use feed::Followed;
pub use history::By;
pub use purges::{DuePurge, Turn};
pub use removals::Removal;
pub use reopened::delete_again;
pub use scores::Scored;
pub use subtitles::{Listed, Unlisted};
pub use transfer::{Copied, TransferError, transfer};
pub use trash::{Deleted, Trashed};
pub use versions::Published;
pub use webhooks::{Held, Hook};

use crate::config::{Config, FeedConfig, HistoryConfig, PurgeConfig, SearchConfig, TrashConfig};
use database::Database;
use sql::{Statement, sql};

/// Bodies with many assets that are read and registered at once: each holds some 20 MiB.
const IMPORTS_MAX: usize = 4;

/// The catalogue. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    database: Database,
    deletion_noted: Arc<Notify>,
    purges: Arc<PurgeConfig>,
    purge_noted: Arc<Notify>,
    trash: TrashConfig,
    trash_noted: Arc<Notify>,
    history: HistoryConfig,
    search: SearchConfig,
    /// Turns for those who register many assets at once: what they send is held in memory.
    imports: Arc<Semaphore>,
    /// Turns for those who look at many assets: one reader is left for all others.
    turns: Arc<Semaphore>,
    wait: Duration,
    feed: FeedConfig,
    changed: watch::Sender<u64>,
    followers: Arc<Semaphore>,
    closed: CancellationToken,
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
        "{database} has schema {found}, and this release works with schemas up to {newest}: start the release that wrote it, \
         or restore a backup that is older than its first start"
    )]
    TooNew {
        /// The database.
        database: String,
        /// Its schema.
        found: i64,
        /// The newest schema that this release works with.
        newest: i64,
    },
    /// The schema cannot be brought up to date.
    #[error("{database} cannot be migrated")]
    Migration {
        /// The database.
        database: String,
        /// What happened.
        #[source]
        source: MigrateError,
    },
    /// No connection, or no lock, within the configured wait: trying again may help.
    #[error("the database is busy")]
    Busy(#[source] sqlx::Error),
    /// The server of the database does not answer: trying again may help.
    #[error("the server of the database is away")]
    Away(#[source] sqlx::Error),
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
const SQLITE_BUSY: i32 = 5;
const SQLITE_FULL: i32 = 13;
/// Of PostgreSQL (its manual, appendix A): no lock, or no end, within the wait; a ring of waits; no connection left.
const POSTGRES_BUSY: [&str; 4] = ["55P03", "57014", "40P01", "53300"];
const POSTGRES_FULL: &str = "53100";
/// It stops, or is about to start.
const POSTGRES_AWAY: [&str; 3] = ["57P01", "57P02", "57P03"];

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if matches!(error, sqlx::Error::PoolTimedOut) {
            return Self::Busy(error);
        }
        if matches!(error, sqlx::Error::Io(_)) {
            return Self::Away(error);
        }
        let said = error.as_database_error();
        let is_postgres = said.is_some_and(|said| said.try_downcast_ref::<PgDatabaseError>().is_some());
        let code = said.and_then(sqlx::error::DatabaseError::code).unwrap_or_default().into_owned();
        let sqlite = code.parse::<i32>().ok().filter(|_| !is_postgres).map(|code| code & 0xff);
        if sqlite == Some(SQLITE_BUSY) || is_postgres && POSTGRES_BUSY.contains(&code.as_str()) {
            Self::Busy(error)
        } else if sqlite == Some(SQLITE_FULL) || is_postgres && code == POSTGRES_FULL {
            Self::Full(error)
        } else if is_postgres && POSTGRES_AWAY.contains(&code.as_str()) {
            Self::Away(error)
        } else {
            Self::Database(error)
        }
    }
}

// === impl Store ===

impl Store {
    /// Opens the database of `config`, made if it is a file that is not there, and brings its schema up to date.
    pub async fn open(config: &Config) -> StoreResult<Self> {
        let database = Database::open(config).await?;
        let purges = Arc::new(config.purges.clone());
        Ok(Self {
            database,
            deletion_noted: Arc::default(),
            purges,
            purge_noted: Arc::default(),
            trash: config.trash,
            trash_noted: Arc::default(),
            history: config.history,
            search: config.search,
            imports: Arc::new(Semaphore::new(IMPORTS_MAX)),
            turns: Arc::new(Semaphore::new(
                usize::try_from(config.database_readers.saturating_sub(1).max(1)).unwrap_or(1),
            )),
            wait: config.database_wait.0,
            feed: config.feed,
            changed: watch::Sender::new(0),
            followers: Arc::new(Semaphore::new(config.feed.followers)),
            closed: CancellationToken::new(),
        })
    }

    /// Whether the database answers.
    pub async fn check(&self) -> StoreResult<()> {
        let mut transaction = self.database.reading().await?;
        sql("SELECT count(*) FROM (SELECT seq FROM assets LIMIT 1) AS first_one")
            .one::<(i64,)>(&mut transaction)
            .await?;
        Ok(())
    }

    /// One statement that writes something of no asset that is there.
    async fn write(&self, statement: Statement) -> StoreResult<()> {
        let mut transaction = self.database.writing().await?;
        statement.run(&mut transaction).await?;
        Ok(transaction.commit().await?)
    }
}

/// Now, in microseconds since the Unix epoch.
pub(crate) fn now_us() -> i64 {
    // Fits until the year 294,000.
    i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1000).unwrap_or(i64::MAX)
}
