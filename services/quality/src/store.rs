//! The jobs on disk: the table of comparisons and inspections in a durable [queue](flame_jobs::queue), which is the record of what
//! was measured as well.
//!
//! Here is what is of measuring only: what was asked for, what was found. Scores of single frames are files
//! ([`crate::results`]), in place before the result is.
//!
//! **What is forgotten.** Of each tenant the jobs that have ended, the oldest first, beyond `jobs.kept_max`. Runs of suites ([`suites`]) lie in the same file, and
//! have bounds of their own.

mod jobs;
mod rows;
mod suites;
mod work;

use flame_jobs::changes::Changes;
use flame_jobs::job::{Phase, Standing};
use flame_jobs::queue::{Opening, Queue, StoreResult, Table};
use futures_util::future::BoxFuture;
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnection;

pub use jobs::{Created, Filter};
pub use rows::{Kind, Record};
pub use suites::Noted;
pub use work::{Claimed, Measured, Untold};

use crate::config::{Config, SuiteConfig};

/// The schema, in the order in which it grew; its numbers have no gaps.
static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

static TABLE: Table = Table { phase: "state", to_work: "state = 'queued'", to_close: None, order: "seq", beside };

/// The jobs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    queue: Queue,
    queued_max: u32,
    suites: SuiteConfig,
}

// === impl Store ===

impl Store {
    /// Opens the database of `config`, made if it is not there, and brings its schema up to date. Whoever should know
    /// of a change is told through `changes`.
    pub async fn open(config: &Config, changes: Changes) -> StoreResult<Self> {
        let opening = Opening {
            path: &config.database,
            readers: config.database_readers,
            wait: config.database_wait.0,
            bounds: config.jobs.bounds(),
        };
        let queue = Queue::open(opening, &MIGRATIONS, &TABLE, changes).await?;
        Ok(Self { queue, queued_max: config.jobs.queued_max, suites: config.suites })
    }

    /// Where each job stands.
    #[must_use]
    pub fn queue(&self) -> &Queue {
        &self.queue
    }
}

/// An attempt begins anew; one that ended well is done.
fn beside<'a>(connection: &'a mut SqliteConnection, seq: i64, after: &'a Standing) -> BoxFuture<'a, StoreResult<()>> {
    let progress = match after.phase {
        Phase::Queued | Phase::Running => Some(0.0),
        Phase::Succeeded => Some(1.0),
        Phase::Publishing | Phase::Failing | Phase::Cancelling | Phase::Failed | Phase::Cancelled => None,
    };
    Box::pin(async move {
        sqlx::query("UPDATE jobs SET progress = coalesce(?2, progress) WHERE seq = ?1")
            .bind(seq)
            .bind(progress)
            .execute(connection)
            .await?;
        Ok(())
    })
}
