//! Jobs as their owners see them: queuing, reading, listing.

use std::collections::HashSet;

use flame_api::Page;
use flame_api::quality::jobs::{ComparisonJob, InspectionJob, JobState};
use flame_jobs::cursor::Position;
use flame_jobs::http::{Shown, Shows};
use flame_jobs::queue::{Queue, StoreResult, damaged, now_us};
use sqlx::sqlite::SqliteConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::Store;
use super::rows::{JobRow, Kind, Record, select_jobs};
use crate::verdict::Asked;

/// What became of a request to queue a job.
#[derive(Debug)]
pub enum Created {
    /// It is new.
    New(Record),
    /// It was queued before, just so.
    Known(Record),
    /// The id stands for another job.
    Taken,
    /// As many of the tenant's wait as may.
    Full,
}

/// Which jobs are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Filter {
    /// Only those in this state.
    pub state: Option<JobState>,
    /// Only those whose media is of this asset.
    pub asset_id: Option<Uuid>,
}

// === impl Store ===

impl Store {
    /// Queues a job of `tenant`. It has reached the disk when this returns.
    pub async fn create(&self, tenant: &str, asked: &Asked) -> StoreResult<Created> {
        let (id, measured) = match asked {
            Asked::Comparison(new) => (new.id, &new.distorted),
            Asked::Inspection(new) => (new.id, &new.media),
        };
        let kind = Kind::of(asked);
        let mut transaction = self.queue.writing().await?;
        if let Some(row) = find(&mut transaction, tenant, kind, id).await? {
            return if row.asked.0 == *asked { Ok(Created::Known(row.record()?)) } else { Ok(Created::Taken) };
        }
        if self.queue.waiting(&mut transaction, tenant).await? >= u64::from(self.queued_max) {
            return Ok(Created::Full);
        }
        sqlx::query(
            "INSERT INTO jobs (tenant, kind, id, asset_id, asked, state, due_at_us, created_at_us) \
             VALUES (?1, ?2, ?3, ?4, ?5, 'queued', ?6, ?6)",
        )
        .bind(tenant)
        .bind(kind.word())
        .bind(id.to_string())
        .bind(measured.asset_id().map(|id| id.to_string()))
        .bind(Json(asked))
        .bind(now_us())
        .execute(&mut *transaction)
        .await?;
        let row = find(&mut transaction, tenant, kind, id).await?.ok_or_else(|| damaged("no job", id))?;
        transaction.commit().await?;
        self.queue.changes().tell_work();
        Ok(Created::New(row.record()?))
    }

    /// The job of `tenant`.
    pub async fn record(&self, tenant: &str, kind: Kind, id: Uuid) -> StoreResult<Option<Record>> {
        let mut connection = self.queue.readers().acquire().await?;
        find(&mut connection, tenant, kind, id).await?.map(JobRow::record).transpose()
    }

    /// A page of `tenant`'s jobs, newest first.
    pub async fn list(
        &self,
        tenant: &str,
        kind: Kind,
        filter: Filter,
        from: Position,
        limit: u32,
    ) -> StoreResult<Page<Record>> {
        let query = match (filter.state, filter.asset_id) {
            (None, None) => {
                select_jobs!("WHERE tenant = ?1 AND kind = ?2 AND seq < ?3 ORDER BY seq DESC LIMIT ?4")
            }
            (Some(_), None) => {
                select_jobs!("WHERE tenant = ?1 AND kind = ?2 AND state = ?5 AND seq < ?3 ORDER BY seq DESC LIMIT ?4")
            }
            (None, Some(_)) => {
                select_jobs!(
                    "WHERE tenant = ?1 AND kind = ?2 AND asset_id = ?6 AND seq < ?3 ORDER BY seq DESC LIMIT ?4"
                )
            }
            (Some(_), Some(_)) => select_jobs!(
                "WHERE tenant = ?1 AND kind = ?2 AND asset_id = ?6 AND state = ?5 AND seq < ?3 ORDER BY seq DESC LIMIT ?4"
            ),
        };
        let mut rows: Vec<JobRow> = sqlx::query_as(query)
            .bind(tenant)
            .bind(kind.word())
            .bind(from.before_seq)
            // One more than wanted tells whether there is a next page.
            .bind(i64::from(limit) + 1)
            .bind(filter.state.map(JobState::word))
            .bind(filter.asset_id.map(|id| id.to_string()))
            .fetch_all(self.queue.readers())
            .await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| more).map(|row| Position { before_seq: row.standing.seq }.encode());
        let items = rows.into_iter().map(JobRow::record).collect::<StoreResult<_>>()?;
        Ok(Page { items, next_cursor })
    }

    /// The numbers of all jobs.
    pub async fn all_seqs(&self) -> StoreResult<HashSet<i64>> {
        let seqs: Vec<i64> = sqlx::query_scalar("SELECT seq FROM jobs").fetch_all(self.queue.readers()).await?;
        Ok(seqs.into_iter().collect())
    }
}

impl Shows<ComparisonJob> for Store {
    const WORD: &'static str = "comparison";

    fn queue(&self) -> &Queue {
        &self.queue
    }

    async fn read(&self, tenant: &str, id: Uuid) -> StoreResult<Option<Shown<ComparisonJob>>> {
        let record = self.record(tenant, Kind::Comparison, id).await?;
        Ok(record.and_then(|record| shown(record, Record::comparison)))
    }
}

impl Shows<InspectionJob> for Store {
    const WORD: &'static str = "inspection";

    fn queue(&self) -> &Queue {
        &self.queue
    }

    async fn read(&self, tenant: &str, id: Uuid) -> StoreResult<Option<Shown<InspectionJob>>> {
        let record = self.record(tenant, Kind::Inspection, id).await?;
        Ok(record.and_then(|record| shown(record, Record::inspection)))
    }
}

fn shown<T>(record: Record, of: impl FnOnce(Record) -> Option<T>) -> Option<Shown<T>> {
    let (seq, state) = (record.seq, record.standing.state);
    of(record).map(|job| Shown { seq, state, job })
}

async fn find(connection: &mut SqliteConnection, tenant: &str, kind: Kind, id: Uuid) -> StoreResult<Option<JobRow>> {
    let query = sqlx::query_as(select_jobs!("WHERE tenant = ?1 AND kind = ?2 AND id = ?3"));
    Ok(query.bind(tenant).bind(kind.word()).bind(id.to_string()).fetch_optional(connection).await?)
}
