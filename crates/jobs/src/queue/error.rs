//! What can go wrong with a queue. Nothing here says what a caller is told; [`crate::http`] does.

use std::path::PathBuf;

use sqlx::migrate::MigrateError;

use crate::job::Refused;

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

/// A report that was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The job does not stand so that it could be.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The database did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

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

// === impl ReportError ===

impl From<sqlx::Error> for ReportError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}
