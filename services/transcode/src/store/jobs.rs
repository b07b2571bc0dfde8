//! Jobs as their owners see them: queuing, reading, listing.

use flame_api::Page;
use flame_api::transcode::{Job, JobState, NewJob};
use flame_jobs::cursor::Position;
use flame_jobs::http::{Shown, Shows};
use flame_jobs::job::{Phase, Standing};
use flame_jobs::queue::{Queue, StoreResult, damaged, now_us};
use sqlx::Sqlite;
use sqlx::query::QueryAs;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::types::Json;
use uuid::Uuid;

use super::Store;
use super::rows::{JobRow, select_jobs};
use crate::chains;
use crate::stage::Stage;

/// What became of a request to queue a job.
#[derive(Debug)]
pub enum Created {
    /// It is new.
    New(Job),
    /// It was queued before, just so.
    Known(Job),
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
    /// Only those of this asset.
    pub asset_id: Option<Uuid>,
}

// === impl Store ===

impl Store {
    /// Queues a job of `tenant`. It has reached the disk when this returns.
    pub async fn create(&self, tenant: &str, new: &NewJob) -> StoreResult<Created> {
        let mut transaction = self.queue.writing().await?;
        if let Some(row) = find(&mut transaction, tenant, new.id).await? {
            // The document of a chain that is known by name may have changed with the release.
            let same_document = match &new.document {
                Some(document) => row.document.as_ref() == Some(document),
                None => chains::shipped_text(&new.chain).is_some(),
            };
            let same = row.chain == new.chain
                && same_document
                && row.parameters.0 == new.parameters
                && row.asset_id()? == new.asset_id
                && row.source_key == new.source_key
                && row.probe.0 == new.probe;
            return if same { Ok(Created::Known(row.job()?)) } else { Ok(Created::Taken) };
        }
        if self.queue.waiting(&mut transaction, tenant).await? >= u64::from(self.jobs.queued_max) {
            return Ok(Created::Full);
        }
        let now_us = now_us();
        sqlx::query(
            "INSERT INTO jobs (tenant, id, chain, asset_id, source_key, probe, phase, due_at_us, stage, created_at_us, \
             document, parameters) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?8, ?10, ?11)",
        )
        .bind(tenant)
        .bind(new.id.to_string())
        .bind(&new.chain)
        .bind(new.asset_id.to_string())
        .bind(&new.source_key)
        .bind(Json(&new.probe))
        .bind(Phase::Queued.word())
        .bind(now_us)
        .bind(Stage::of(&Standing::new(now_us)).words())
        // So that the job runs the same whatever comes with a later release.
        .bind(new.document.as_deref().or_else(|| chains::shipped_text(&new.chain)))
        .bind(Json(&new.parameters))
        .execute(&mut *transaction)
        .await?;
        let row = find(&mut transaction, tenant, new.id).await?.ok_or_else(|| damaged("no job", new.id))?;
        transaction.commit().await?;
        self.queue.changes().tell_work();
        Ok(Created::New(row.job()?))
    }

    /// A page of `tenant`'s jobs, newest first.
    pub async fn list(&self, tenant: &str, filter: Filter, from: Position, limit: u32) -> StoreResult<Page<Job>> {
        let query: QueryAs<'_, Sqlite, JobRow, SqliteArguments> = match (filter.state, filter.asset_id) {
            (None, None) => sqlx::query_as(select_jobs!("WHERE tenant = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?3")),
            (Some(_), None) => {
                sqlx::query_as(select_jobs!("WHERE tenant = ?1 AND state = ?4 AND seq < ?2 ORDER BY seq DESC LIMIT ?3"))
            }
            (None, Some(_)) => sqlx::query_as(select_jobs!(
                "WHERE tenant = ?1 AND asset_id = ?5 AND seq < ?2 ORDER BY seq DESC LIMIT ?3"
            )),
            (Some(_), Some(_)) => sqlx::query_as(select_jobs!(
                "WHERE tenant = ?1 AND asset_id = ?5 AND state = ?4 AND seq < ?2 ORDER BY seq DESC LIMIT ?3"
            )),
        };
        let mut rows = query
            .bind(tenant)
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
        let last = rows.last().filter(|_| more).map(|row| Position { before_seq: row.standing.seq }.encode());
        let items = rows.into_iter().map(JobRow::job).collect::<StoreResult<_>>()?;
        Ok(Page { items, next_cursor: last })
    }
}

impl Shows<Job> for Store {
    const WORD: &'static str = "job";

    fn queue(&self) -> &Queue {
        &self.queue
    }

    async fn read(&self, tenant: &str, id: Uuid) -> StoreResult<Option<Shown<Job>>> {
        let mut connection = self.queue.readers().acquire().await?;
        find(&mut connection, tenant, id).await?.map(JobRow::shown).transpose()
    }
}

async fn find(connection: &mut SqliteConnection, tenant: &str, id: Uuid) -> StoreResult<Option<JobRow>> {
    let query = sqlx::query_as(select_jobs!("WHERE tenant = ?1 AND id = ?2"));
    Ok(query.bind(tenant).bind(id.to_string()).fetch_optional(connection).await?)
}
