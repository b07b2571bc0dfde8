//! Runs of suites: noted, listed, and forgotten where there are more than are kept. What they say is never judged anew.
//!
//! **What is forgotten**, in the transaction that notes a run: of its suite the oldest runs beyond `suites.runs_max`; of its tenant the
//! suites that were run longest ago, beyond `suites.suites_max`.

use flame_api::Page;
use flame_api::quality::suites::{CaseOutcome, NewSuiteRun, SuiteRun, SuiteSummary};
use flame_jobs::cursor::Position;
use flame_jobs::queue::{StoreResult, damaged, now_us};
use sqlx::sqlite::SqliteConnection;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Store;

/// What became of a request to note a run.
#[derive(Debug)]
pub enum Noted {
    /// It is new.
    New(SuiteRun),
    /// It was noted before, just so.
    Known(SuiteRun),
    /// The id stands for another run.
    Taken,
}

#[derive(Debug, sqlx::FromRow)]
struct RunRow {
    seq: i64,
    run: Json<NewSuiteRun>,
    received_at_us: i64,
}

#[derive(Debug, sqlx::FromRow)]
struct SuiteRow {
    suite: String,
    runs: i64,
    received_at_us: i64,
    passed: i64,
    failed: i64,
    not_measured: i64,
}

// === impl Store ===

impl Store {
    /// Notes what a run of a suite of `tenant` found. It has reached the disk when this returns.
    pub async fn note_run(&self, tenant: &str, new: &NewSuiteRun) -> StoreResult<Noted> {
        let mut transaction = self.queue.writing().await?;
        if let Some(known) = find(&mut transaction, tenant, new.id).await? {
            return if known.run.0 == *new { Ok(Noted::Known(known.run()?)) } else { Ok(Noted::Taken) };
        }
        let count = |outcome| {
            let cases = new.cases.iter().filter(|case| case.outcome == outcome).count();
            i64::try_from(cases).unwrap_or(i64::MAX)
        };
        sqlx::query(
            "INSERT INTO suite_runs (tenant, suite, id, run, passed, failed, not_measured, received_at_us) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )
        .bind(tenant)
        .bind(&new.suite)
        .bind(new.id.to_string())
        .bind(Json(new))
        .bind(count(CaseOutcome::Passed))
        .bind(count(CaseOutcome::Failed))
        .bind(count(CaseOutcome::NotMeasured))
        .bind(now_us())
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "DELETE FROM suite_runs WHERE seq IN \
             (SELECT seq FROM suite_runs WHERE tenant = ?1 AND suite = ?2 ORDER BY seq DESC LIMIT -1 OFFSET ?3)",
        )
        .bind(tenant)
        .bind(&new.suite)
        .bind(self.suites.runs_max.max(1))
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "DELETE FROM suite_runs WHERE tenant = ?1 AND suite IN (SELECT suite FROM suite_runs WHERE tenant = ?1 \
             GROUP BY suite ORDER BY max(seq) DESC LIMIT -1 OFFSET ?2)",
        )
        .bind(tenant)
        .bind(self.suites.suites_max.max(1))
        .execute(&mut *transaction)
        .await?;
        let noted = find(&mut transaction, tenant, new.id).await?.ok_or_else(|| damaged("no run", new.id))?;
        transaction.commit().await?;
        Ok(Noted::New(noted.run()?))
    }

    /// The suites of `tenant` of which runs are kept, the one that was run last first.
    pub async fn suites(&self, tenant: &str) -> StoreResult<Vec<SuiteSummary>> {
        // Beside max(), SQLite takes the other columns from the row that has it.
        let rows: Vec<SuiteRow> = sqlx::query_as(
            "SELECT suite, count(*) AS runs, max(seq) AS newest, received_at_us, passed, failed, not_measured FROM suite_runs \
             WHERE tenant = ?1 GROUP BY suite ORDER BY newest DESC",
        )
        .bind(tenant)
        .fetch_all(self.queue.readers())
        .await?;
        rows.into_iter().map(SuiteRow::summary).collect()
    }

    /// A page of the runs of a suite, newest first.
    pub async fn runs(&self, tenant: &str, suite: &str, from: Position, limit: u32) -> StoreResult<Page<SuiteRun>> {
        let mut rows: Vec<RunRow> = sqlx::query_as(
            "SELECT seq, run, received_at_us FROM suite_runs WHERE tenant = ?1 AND suite = ?2 AND seq < ?3 ORDER BY seq DESC LIMIT ?4",
        )
        .bind(tenant)
        .bind(suite)
        .bind(from.before_seq)
        // One more than wanted tells whether there is a next page.
        .bind(i64::from(limit) + 1)
        .fetch_all(self.queue.readers())
        .await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| more).map(|row| Position { before_seq: row.seq }.encode());
        let items = rows.into_iter().map(RunRow::run).collect::<StoreResult<_>>()?;
        Ok(Page { items, next_cursor })
    }
}

// === impl RunRow ===

impl RunRow {
    fn run(self) -> StoreResult<SuiteRun> {
        let received_at = moment(self.received_at_us)?;
        Ok(SuiteRun { run: self.run.0, received_at })
    }
}

// === impl SuiteRow ===

impl SuiteRow {
    fn summary(self) -> StoreResult<SuiteSummary> {
        Ok(SuiteSummary {
            suite: self.suite,
            runs: self.runs.unsigned_abs(),
            last_at: moment(self.received_at_us)?,
            passed: self.passed.unsigned_abs(),
            failed: self.failed.unsigned_abs(),
            not_measured: self.not_measured.unsigned_abs(),
        })
    }
}

async fn find(connection: &mut SqliteConnection, tenant: &str, id: Uuid) -> StoreResult<Option<RunRow>> {
    let query = "SELECT seq, run, received_at_us FROM suite_runs WHERE tenant = ?1 AND id = ?2";
    Ok(sqlx::query_as(query).bind(tenant).bind(id.to_string()).fetch_optional(connection).await?)
}

fn moment(at_us: i64) -> StoreResult<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_us) * 1000).map_err(|_| damaged("no time", at_us))
}
