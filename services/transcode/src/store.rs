//! The jobs on disk: the table of conditioning jobs in a durable [queue](flame_jobs::queue), which keeps where each of them stands.
//!
//! Here is what is of conditioning only: what was asked for, how far the stages of the chain are, what was made. What is made is
//! noted in the transaction that commits it; nothing about a job is kept in memory only.
//!
//! What was made before is noted beside them, by what it was made of, so that it is not made again.
//!
//! Chunks of jobs wait in a table of their own, and are claimed as jobs are.
//!
//! **What is forgotten.** Of each tenant the jobs that have ended, the oldest first, beyond `jobs.kept_max`: what they made is in the
//! catalogue, with how it was made.

mod chunks;
mod jobs;
mod outputs;
mod rows;
mod work;

use flame_jobs::changes::Changes;
use flame_jobs::job::Standing;
use flame_jobs::queue::{Opening, Queue, StoreResult, Table};
use futures_util::future::BoxFuture;
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnection;

pub use chunks::{Chunk, ChunkLease, ChunkState, ClaimedChunk, GoneChunk, WantedChunk};
pub use jobs::{Created, Filter};
pub use work::Claimed;

use crate::config::{ChunkConfig, Config, JobConfig, ReuseConfig};
use crate::stage::{Progress, Stage};

/// The schema, in the order in which it grew; its numbers have no gaps.
static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

static TABLE: Table = Table {
    phase: "phase",
    to_work: "phase IN ('queued', 'publishing')",
    to_close: Some("phase IN ('failing', 'cancelling')"),
    order: "priority DESC, seq",
    beside,
};

/// The jobs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    queue: Queue,
    jobs: JobConfig,
    reuse: ReuseConfig,
    chunks: ChunkConfig,
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
        Ok(Self { queue, jobs: config.jobs.clone(), reuse: config.reuse, chunks: config.chunks })
    }

    /// Where each job stands.
    #[must_use]
    pub fn queue(&self) -> &Queue {
        &self.queue
    }
}

/// What a job is doing follows from where it has come to stand.
fn beside<'a>(connection: &'a mut SqliteConnection, seq: i64, after: &'a Standing) -> BoxFuture<'a, StoreResult<()>> {
    Box::pin(async move {
        let stage = Stage::of(after);
        sqlx::query("UPDATE jobs SET stage = ?2, progress = coalesce(?3, progress) WHERE seq = ?1")
            .bind(seq)
            .bind(stage.words())
            .bind(Progress::start(stage).of_whole())
            .execute(connection)
            .await?;
        Ok(())
    })
}
