//! What is due: work that waits for its time, uploads whose time is over.

use sqlx::Row;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{RecordResult, SqliteQuery, Uploads, failed, rows, to_ms};

impl Uploads {
    /// Uploads with work that is due, longest waiting first.
    pub async fn due(&self, now: OffsetDateTime, limit: u32) -> RecordResult<Vec<Uuid>> {
        let find = sqlx::query(
            "SELECT id FROM uploads WHERE due_at_ms <= ? AND stage <> 'receiving' ORDER BY due_at_ms LIMIT ?",
        );
        self.ids(find.bind(to_ms(now)).bind(limit)).await
    }

    /// When the next work is due that is not due yet.
    pub async fn next_due(&self, now: OffsetDateTime) -> RecordResult<Option<OffsetDateTime>> {
        let find =
            sqlx::query("SELECT min(due_at_ms) AS at_ms FROM uploads WHERE due_at_ms > ? AND stage <> 'receiving'");
        self.moment(find.bind(to_ms(now))).await
    }

    /// Pulls that are due, longest waiting first.
    pub async fn due_pulls(&self, now: OffsetDateTime, limit: u32) -> RecordResult<Vec<Uuid>> {
        let find = sqlx::query(
            "SELECT id FROM uploads WHERE due_at_ms <= ? AND stage = 'receiving' ORDER BY due_at_ms LIMIT ?",
        );
        self.ids(find.bind(to_ms(now)).bind(limit)).await
    }

    /// When the next pull is due that is not due yet.
    pub async fn next_due_pull(&self, now: OffsetDateTime) -> RecordResult<Option<OffsetDateTime>> {
        let find =
            sqlx::query("SELECT min(due_at_ms) AS at_ms FROM uploads WHERE due_at_ms > ? AND stage = 'receiving'");
        self.moment(find.bind(to_ms(now))).await
    }

    /// Pulls that wait or run.
    pub async fn open_pulls(&self) -> RecordResult<u32> {
        let count = sqlx::query("SELECT count(*) FROM uploads WHERE due_at_ms IS NOT NULL AND stage = 'receiving'");
        let row = count.fetch_one(&self.readers).await.map_err(failed("count pulls"))?;
        Ok(row.get(0))
    }

    /// Unfinished uploads whose time is over.
    pub async fn expired(&self, now: OffsetDateTime, limit: u32) -> RecordResult<Vec<Uuid>> {
        let find = sqlx::query("SELECT id FROM uploads WHERE expires_at_ms <= ? AND stage = 'receiving' LIMIT ?");
        self.ids(find.bind(to_ms(now)).bind(limit)).await
    }

    /// Forgets uploads that are gone and whose time of remembrance is over.
    pub async fn forget(&self, now: OffsetDateTime) -> RecordResult<u64> {
        let delete = sqlx::query("DELETE FROM uploads WHERE expires_at_ms <= ? AND stage = 'gone'").bind(to_ms(now));
        Ok(delete.execute(&self.writer).await.map_err(failed("forget uploads"))?.rows_affected())
    }

    /// Gives up PUTs that a stop of the service cut off: nobody can go on with them.
    pub async fn end_cut_puts(&self) -> RecordResult<u64> {
        let end = sqlx::query(
            "UPDATE uploads SET stage = 'ending', due_at_ms = ?, error = 'the service stopped before the body was whole'
             WHERE origin = 'put' AND stage = 'receiving'",
        );
        let ended = end.bind(to_ms(OffsetDateTime::now_utc())).execute(&self.writer).await;
        Ok(ended.map_err(failed("end cut uploads"))?.rows_affected())
    }

    /// Final uploads whose parts are to be joined, longest waiting first.
    pub async fn due_joins(&self, now: OffsetDateTime, limit: u32) -> RecordResult<Vec<Uuid>> {
        let find = sqlx::query(
            "SELECT id FROM uploads WHERE join_at_ms <= ? AND stage = 'receiving' ORDER BY join_at_ms LIMIT ?",
        );
        self.ids(find.bind(to_ms(now)).bind(limit)).await
    }

    /// When the next join is due that is not due yet.
    pub async fn next_due_join(&self, now: OffsetDateTime) -> RecordResult<Option<OffsetDateTime>> {
        let find =
            sqlx::query("SELECT min(join_at_ms) AS at_ms FROM uploads WHERE join_at_ms > ? AND stage = 'receiving'");
        self.moment(find.bind(to_ms(now))).await
    }

    async fn moment(&self, find: SqliteQuery<'_>) -> RecordResult<Option<OffsetDateTime>> {
        let row = find.fetch_one(&self.readers).await.map_err(failed("find work"))?;
        row.get::<Option<i64>, _>("at_ms").map(|_| rows::time(&row, "at_ms")).transpose()
    }

    async fn ids(&self, find: SqliteQuery<'_>) -> RecordResult<Vec<Uuid>> {
        let rows = find.fetch_all(&self.readers).await.map_err(failed("find work"))?;
        rows.iter().map(|row| rows::uuid(row, "id")).collect()
    }
}
