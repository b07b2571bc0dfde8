//! Chunks on disk: which are wanted, who makes them, which are there.
//!
//! **Who wants.** A job that is under way says again and again until when it wants its chunks. What nobody wants is not begun, and is
//! given up; so a chunk whose job died or was cancelled costs nothing, and nobody has to be alive to say so.
//!
//! **Who makes.** One statement takes a chunk and gives it a lease with a number of its own, against which every report is checked:
//! workers of several processes never both hold one, and one that was taken for dead changes nothing when it comes back. Objects lie
//! under that number, so it overwrites nothing either.
//!
//! **What is swept.** Chunks that nobody wants, when they are old, or when all take more than the budget, the oldest first. A row is
//! marked before its objects are removed, and goes after them, so that a crash leaves no object without a row.

use std::time::Duration;

use flame_jobs::job::Refused;
use flame_jobs::queue::{LeaseKey, ReportError, StoreResult, damaged, now_us};
use flame_media_child::protocol::Fault;
use sqlx::types::Json;

use super::Store;
use crate::chunks::Task;
use crate::reuse::Key;

/// Lives of a lease for which a job wants its chunks: if it dies, whoever takes it over after one of these, and fetches its source, finds
/// those that are under way still wanted.
const WANTED_LIVES: i64 = 4;
/// Rows that are swept at once.
const SWEPT_AT_ONCE: u32 = 100;

/// A chunk that some job wants.
#[derive(Debug, Clone, PartialEq)]
pub struct WantedChunk {
    /// What it is addressed by.
    pub key: Key,
    /// How it is made.
    pub task: Task,
    /// What it is expected to take, bytes.
    pub expected_bytes: u64,
}

/// The right to make a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkLease {
    /// The chunk.
    pub seq: i64,
    /// Number of the lease, from 1.
    pub number: u64,
}

/// A chunk that a worker has taken.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimedChunk {
    /// The right to make it.
    pub lease: ChunkLease,
    /// Whose it is.
    pub tenant: String,
    /// What it is addressed by.
    pub key: Key,
    /// How it is made.
    pub task: Task,
}

/// A chunk, as a job that wants it sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// Which one.
    pub seq: i64,
    /// What it is addressed by.
    pub key: Key,
    /// How far it is.
    pub state: ChunkState,
}

/// How far a chunk is.
#[derive(Debug, Clone, PartialEq)]
pub enum ChunkState {
    /// It waits, or is made: so much of it is done, 0 to 1.
    Waiting {
        /// So much.
        fraction: f64,
    },
    /// It is there.
    Done {
        /// Number of the lease under which it was made.
        lease: u64,
        /// What it takes, bytes.
        size_bytes: u64,
    },
    /// It was given up.
    Failed {
        /// Whose fault it is.
        fault: Fault,
        /// Why.
        reason: String,
    },
}

/// A chunk whose objects are to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoneChunk {
    /// Its newest lease: objects may lie under the number of this one and of all before.
    pub lease: ChunkLease,
    /// Whose it was.
    pub tenant: String,
    /// What it was addressed by.
    pub key: Key,
}

#[derive(sqlx::FromRow)]
struct Row {
    seq: i64,
    key: String,
    state: String,
    progress: f64,
    lease_number: i64,
    /// Leases since a job wants it.
    tries: i64,
    is_held: bool,
    size_bytes: i64,
    is_inputs_fault: bool,
    error: Option<String>,
}

// === impl ChunkLease ===

impl ChunkLease {
    /// As its changes are told, beside those of jobs, whose numbers are above 0.
    #[must_use]
    pub fn told(self) -> LeaseKey {
        LeaseKey { seq: -self.seq, number: self.number }
    }
}

// === impl Store ===

impl Store {
    /// A job of `tenant` wants these, and says so again while it lives. Returns their numbers in the same order; `None` where
    /// there is no room for them.
    pub async fn want_chunks(&self, tenant: &str, wanted: &[WantedChunk]) -> Result<Option<Vec<i64>>, ReportError> {
        let mut transaction = self.queue.writing().await?;
        let now_us = now_us();
        let mut seqs = Vec::new();
        for WantedChunk { key, task, expected_bytes } in wanted {
            // The newest task counts: the source of an older one may be gone.
            let seq: i64 = sqlx::query_scalar(
                "INSERT INTO chunks (tenant, key, task, size_bytes, wanted_until_us, used_at_us) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (tenant, key) DO UPDATE SET task = excluded.task, \
                 wanted_until_us = max(wanted_until_us, excluded.wanted_until_us), used_at_us = excluded.used_at_us, \
                 size_bytes = CASE WHEN state = 'done' THEN size_bytes ELSE excluded.size_bytes END, \
                 leases_before = CASE WHEN state <> 'waiting' OR wanted_until_us <= excluded.used_at_us \
                  THEN lease_number ELSE leases_before END, \
                 failures = CASE WHEN state IN ('failed', 'gone') THEN 0 ELSE failures END, \
                 progress = CASE WHEN state IN ('failed', 'gone') THEN 0 ELSE progress END, \
                 state = CASE WHEN state IN ('failed', 'gone') THEN 'waiting' ELSE state END RETURNING seq",
            )
            .bind(tenant)
            .bind(key.as_str())
            .bind(Json(task))
            .bind(i64::try_from(*expected_bytes).unwrap_or(i64::MAX >> 16))
            .bind(now_us.saturating_add(self.wanted_us()))
            .bind(now_us)
            .fetch_one(&mut *transaction)
            .await?;
            seqs.push(seq);
        }
        let wanted_bytes: i64 =
            sqlx::query_scalar("SELECT coalesce(sum(size_bytes), 0) FROM chunks WHERE wanted_until_us > ?1")
                .bind(now_us)
                .fetch_one(&mut *transaction)
                .await?;
        if u64::try_from(wanted_bytes).unwrap_or(0) > self.chunks.budget.0 {
            return Ok(None);
        }
        transaction.commit().await?;
        self.queue.changes().tell_work();
        Ok(Some(seqs))
    }

    /// These are wanted still.
    pub async fn go_on_wanting_chunks(&self, seqs: &[i64]) -> Result<(), ReportError> {
        let now_us = now_us();
        sqlx::query(
            "UPDATE chunks SET wanted_until_us = max(wanted_until_us, ?2), used_at_us = ?3 \
             WHERE state <> 'gone' AND seq IN (SELECT value FROM json_each(?1))",
        )
        .bind(Json(seqs))
        .bind(now_us.saturating_add(self.wanted_us()))
        .bind(now_us)
        .execute(self.queue.writer())
        .await?;
        Ok(())
    }

    /// These are not wanted any more. Another job that wants them says so again in time, or has one made twice.
    pub async fn let_chunks_go(&self, seqs: &[i64]) -> Result<(), ReportError> {
        sqlx::query(
            "UPDATE chunks SET wanted_until_us = 0 WHERE wanted_until_us > 0 AND seq IN (SELECT value FROM json_each(?1))",
        )
        .bind(Json(seqs))
        .execute(self.queue.writer())
        .await?;
        Ok(())
    }

    /// How far these are, by their numbers.
    pub async fn chunks(&self, seqs: &[i64]) -> Result<Vec<Chunk>, ReportError> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT seq, key, state, progress, lease_number, lease_number - leases_before AS tries, \
             coalesce(lease_until_us > ?2, 0) AS is_held, size_bytes, is_inputs_fault, error FROM chunks \
             WHERE state <> 'gone' AND seq IN (SELECT value FROM json_each(?1)) ORDER BY seq",
        )
        .bind(Json(seqs))
        .bind(now_us())
        .fetch_all(self.queue.readers())
        .await?;
        let attempts_max = i64::from(self.jobs.attempts_max.max(1));
        let chunks = rows.into_iter().map(|row| {
            let state = match row.state.as_str() {
                "waiting" if !row.is_held && row.tries >= attempts_max => {
                    let reason = format!("{} workers have died of it, or let go of it", row.tries);
                    ChunkState::Failed { fault: Fault::Environment, reason }
                }
                "waiting" => ChunkState::Waiting { fraction: row.progress },
                "done" => ChunkState::Done {
                    lease: u64::try_from(row.lease_number).unwrap_or(0),
                    size_bytes: u64::try_from(row.size_bytes).unwrap_or(0),
                },
                "failed" => {
                    let fault = if row.is_inputs_fault { Fault::Input } else { Fault::Environment };
                    ChunkState::Failed { fault, reason: row.error.unwrap_or_default() }
                }
                other => return Err(ReportError::Store(damaged("a state of a chunk", other))),
            };
            Ok(Chunk { seq: row.seq, key: Key::stored(row.key), state })
        });
        chunks.collect()
    }

    /// Takes the next chunk that is wanted for `owner`: of the tenant with the fewest under way, and of its jobs in turn, the one that
    /// begins earliest in its source.
    pub async fn claim_chunk(&self, owner: &str) -> StoreResult<Option<ClaimedChunk>> {
        let now_us = now_us();
        // Looked for without the write lock first: mostly there is nothing.
        let waits: Option<i64> = sqlx::query_scalar(
            "SELECT 1 FROM chunks WHERE state = 'waiting' AND wanted_until_us > ?1 AND due_at_us <= ?1 \
             AND lease_number - leases_before < ?2 AND (lease_owner IS NULL OR lease_until_us <= ?1) LIMIT 1",
        )
        .bind(now_us)
        .bind(self.jobs.attempts_max.max(1))
        .fetch_optional(self.queue.readers())
        .await?;
        if waits.is_none() {
            return Ok(None);
        }
        let row: Option<(i64, i64, String, String, Json<Task>)> = sqlx::query_as(
            "UPDATE chunks SET lease_owner = ?3, lease_number = lease_number + 1, lease_until_us = ?4, progress = 0 \
             WHERE seq = (SELECT seq FROM chunks AS c WHERE state = 'waiting' AND wanted_until_us > ?1 AND due_at_us <= ?1 \
              AND lease_number - leases_before < ?2 AND (lease_owner IS NULL OR lease_until_us <= ?1) \
              ORDER BY (SELECT count(*) FROM chunks AS h WHERE h.tenant = c.tenant AND h.lease_owner IS NOT NULL \
                        AND h.lease_until_us > ?1), json_extract(c.task, '$.range.from'), seq LIMIT 1) \
             RETURNING seq, lease_number, tenant, key, task",
        )
        .bind(now_us)
        .bind(self.jobs.attempts_max.max(1))
        .bind(owner)
        .bind(now_us.saturating_add(self.lease_us()))
        .fetch_optional(self.queue.writer())
        .await?;
        Ok(row.map(|(seq, number, tenant, key, task)| ClaimedChunk {
            lease: ChunkLease { seq, number: u64::try_from(number).unwrap_or(0) },
            tenant,
            key: Key::stored(key),
            task: task.0,
        }))
    }

    /// Renews the lease and notes how far the chunk is. Returns whether it is to be given up, since nobody wants it.
    pub async fn renew_chunk(&self, lease: ChunkLease, fraction: f64) -> Result<bool, ReportError> {
        let now_us = now_us();
        let is_unwanted: Option<bool> = sqlx::query_scalar(
            "UPDATE chunks SET lease_until_us = ?3, progress = ?4 \
             WHERE seq = ?1 AND lease_number = ?2 AND lease_owner IS NOT NULL AND state = 'waiting' \
             RETURNING wanted_until_us <= ?5",
        )
        .bind(lease.seq)
        .bind(number(lease))
        .bind(now_us.saturating_add(self.lease_us()))
        .bind(fraction.clamp(0.0, 1.0))
        .bind(now_us)
        .fetch_optional(self.queue.writer())
        .await?;
        is_unwanted.ok_or(ReportError::Refused(Refused::LeaseLost))
    }

    /// The chunk is stored, and takes so many bytes.
    pub async fn finish_chunk(&self, lease: ChunkLease, size_bytes: u64) -> Result<(), ReportError> {
        let done = sqlx::query(
            "UPDATE chunks SET state = 'done', progress = 1, size_bytes = ?3, error = NULL, lease_owner = NULL, \
             lease_until_us = NULL WHERE seq = ?1 AND lease_number = ?2 AND lease_owner IS NOT NULL AND state = 'waiting'",
        )
        .bind(lease.seq)
        .bind(number(lease))
        .bind(i64::try_from(size_bytes).unwrap_or(i64::MAX >> 16))
        .execute(self.queue.writer())
        .await?;
        self.reported(done.rows_affected())
    }

    /// The chunk could not be made: it is tried again, unless that is useless or was done often enough.
    pub async fn fail_chunk(&self, lease: ChunkLease, fault: Fault, reason: &str) -> Result<(), ReportError> {
        let failed = sqlx::query(
            "UPDATE chunks SET state = CASE WHEN ?3 OR failures + 1 >= ?4 THEN 'failed' ELSE 'waiting' END, \
             failures = failures + 1, is_inputs_fault = ?3, error = ?5, due_at_us = ?6, progress = 0, lease_owner = NULL, \
             lease_until_us = NULL WHERE seq = ?1 AND lease_number = ?2 AND lease_owner IS NOT NULL AND state = 'waiting'",
        )
        .bind(lease.seq)
        .bind(number(lease))
        .bind(fault == Fault::Input)
        .bind(self.jobs.failures_max.max(1))
        .bind(reason)
        .bind(now_us().saturating_add(micros(self.jobs.backoff.0)))
        .execute(self.queue.writer())
        .await?;
        self.reported(failed.rows_affected())
    }

    /// The chunk is somebody else's to make.
    pub async fn let_chunk_go(&self, lease: ChunkLease) -> Result<(), ReportError> {
        let let_go = sqlx::query(
            "UPDATE chunks SET lease_owner = NULL, lease_until_us = NULL, progress = 0 \
             WHERE seq = ?1 AND lease_number = ?2 AND lease_owner IS NOT NULL AND state = 'waiting'",
        )
        .bind(lease.seq)
        .bind(number(lease))
        .execute(self.queue.writer())
        .await?;
        self.reported(let_go.rows_affected())
    }

    /// The objects of a chunk that is done are not there: it is made again.
    pub async fn make_chunk_again(&self, lease: ChunkLease) -> Result<(), ReportError> {
        sqlx::query(
            "UPDATE chunks SET state = 'waiting', progress = 0 WHERE seq = ?1 AND lease_number = ?2 AND state = 'done'",
        )
        .bind(lease.seq)
        .bind(number(lease))
        .execute(self.queue.writer())
        .await?;
        self.queue.changes().tell_work();
        Ok(())
    }

    /// Takes back what `owner` held before it started anew; only for one that knows that its predecessor is dead.
    pub async fn restart_chunks(&self, owner: &str) -> StoreResult<u64> {
        let taken = sqlx::query(
            "UPDATE chunks SET lease_owner = NULL, lease_until_us = NULL, progress = 0 WHERE lease_owner = ?1",
        )
        .bind(owner)
        .execute(self.queue.writer())
        .await?;
        Ok(taken.rows_affected())
    }

    /// Marks some of what is to be swept, and gives all that is marked.
    pub async fn sweep_chunks(&self) -> StoreResult<Vec<GoneChunk>> {
        let now_us = now_us();
        let oldest_us = now_us.saturating_sub(micros(self.chunks.keep.0));
        let budget_bytes = i64::try_from(self.chunks.budget.0).unwrap_or(i64::MAX);
        // Looked for without the write lock first: mostly there is nothing.
        let is_there: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM chunks WHERE state = 'gone' OR (used_at_us <= ?1 AND wanted_until_us <= ?2)) \
             OR (SELECT coalesce(sum(size_bytes), 0) FROM chunks WHERE state = 'done') > ?3",
        )
        .bind(oldest_us)
        .bind(now_us)
        .bind(budget_bytes)
        .fetch_one(self.queue.readers())
        .await?;
        if !is_there {
            return Ok(Vec::new());
        }
        let mut transaction = self.queue.writing().await?;
        sqlx::query(
            "UPDATE chunks SET state = 'gone', lease_owner = NULL, lease_until_us = NULL WHERE seq IN (SELECT seq FROM chunks \
             WHERE state <> 'gone' AND used_at_us <= ?1 AND wanted_until_us <= ?2 \
             AND (lease_owner IS NULL OR lease_until_us <= ?2) ORDER BY used_at_us LIMIT ?3)",
        )
        .bind(oldest_us)
        .bind(now_us)
        .bind(SWEPT_AT_ONCE)
        .execute(&mut *transaction)
        .await?;
        // Those before which, from the newest on, the budget is used up.
        sqlx::query(
            "UPDATE chunks SET state = 'gone' WHERE seq IN (SELECT seq FROM (SELECT seq, wanted_until_us, used_at_us, \
              sum(size_bytes) OVER (ORDER BY wanted_until_us > ?1 DESC, used_at_us DESC, seq DESC) AS so_far_bytes \
              FROM chunks WHERE state = 'done') \
             WHERE wanted_until_us <= ?1 AND so_far_bytes > ?2 ORDER BY used_at_us LIMIT ?3)",
        )
        .bind(now_us)
        .bind(budget_bytes)
        .bind(SWEPT_AT_ONCE)
        .execute(&mut *transaction)
        .await?;
        let rows: Vec<(i64, i64, String, String)> =
            sqlx::query_as("SELECT seq, lease_number, tenant, key FROM chunks WHERE state = 'gone' LIMIT ?1")
                .bind(SWEPT_AT_ONCE)
                .fetch_all(&mut *transaction)
                .await?;
        transaction.commit().await?;
        let gone = rows.into_iter().map(|(seq, number, tenant, key)| GoneChunk {
            lease: ChunkLease { seq, number: u64::try_from(number).unwrap_or(0) },
            tenant,
            key: Key::stored(key),
        });
        Ok(gone.collect())
    }

    /// The objects of a chunk that was swept are removed.
    pub async fn forget_chunk(&self, gone: &GoneChunk) -> StoreResult<()> {
        sqlx::query("DELETE FROM chunks WHERE seq = ?1 AND lease_number = ?2 AND state = 'gone'")
            .bind(gone.lease.seq)
            .bind(number(gone.lease))
            .execute(self.queue.writer())
            .await?;
        Ok(())
    }

    /// Says that a chunk changed to those who wait, if the lease held.
    fn reported(&self, rows: u64) -> Result<(), ReportError> {
        if rows == 0 {
            return Err(ReportError::Refused(Refused::LeaseLost));
        }
        self.queue.changes().tell_work();
        Ok(())
    }

    fn wanted_us(&self) -> i64 {
        self.lease_us().saturating_mul(WANTED_LIVES)
    }

    fn lease_us(&self) -> i64 {
        micros(self.jobs.lease.0)
    }
}

fn number(lease: ChunkLease) -> i64 {
    i64::try_from(lease.number).unwrap_or(i64::MAX)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
