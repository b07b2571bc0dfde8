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

    /// Pulls that are due with their tenants, longest waiting first: so many of each tenant.
    pub async fn due_pulls(&self, now: OffsetDateTime, limit_of_tenant: u32) -> RecordResult<Vec<(Uuid, String)>> {
        let find = sqlx::query(
            "SELECT id, tenant FROM (SELECT id, tenant, due_at_ms, row_number() OVER (PARTITION BY tenant ORDER BY due_at_ms) AS nth
             FROM uploads WHERE due_at_ms <= ? AND stage = 'receiving') WHERE nth <= ? ORDER BY due_at_ms",
        );
        let find = find.bind(to_ms(now)).bind(limit_of_tenant);
        let found = find.fetch_all(&self.readers).await.map_err(failed("find work"))?;
        found.iter().map(|row| Ok((rows::uuid(row, "id")?, row.get("tenant")))).collect()
    }

    /// When the next pull is due that is not due yet.
    pub async fn next_due_pull(&self, now: OffsetDateTime) -> RecordResult<Option<OffsetDateTime>> {
        let find =
            sqlx::query("SELECT min(due_at_ms) AS at_ms FROM uploads WHERE due_at_ms > ? AND stage = 'receiving'");
        self.moment(find.bind(to_ms(now))).await
    }

    /// Pulls that wait or run: all, and those of this tenant.
    pub async fn open_pulls(&self, tenant: &str) -> RecordResult<(u32, u32)> {
        let count = sqlx::query(
            "SELECT count(*), count(*) FILTER (WHERE tenant = ?) FROM uploads WHERE due_at_ms IS NOT NULL AND stage = 'receiving'",
        );
        let row = count.bind(tenant).fetch_one(&self.readers).await.map_err(failed("count pulls"))?;
        Ok((row.get(0), row.get(1)))
    }

    /// Unfinished uploads whose time is over.
    pub async fn expired(&self, now: OffsetDateTime, limit: u32) -> RecordResult<Vec<Uuid>> {
        let find = sqlx::query("SELECT id FROM uploads WHERE expires_at_ms <= ? AND stage = 'receiving' LIMIT ?");
        self.ids(find.bind(to_ms(now)).bind(limit)).await
    }

    /// Forgets uploads that failed or are gone, and whose time of remembrance is over.
    pub async fn forget(&self, now: OffsetDateTime) -> RecordResult<u64> {
        let delete = sqlx::query("DELETE FROM uploads WHERE expires_at_ms <= ? AND stage IN ('failed', 'gone')");
        let delete = delete.bind(to_ms(now));
        Ok(delete.execute(&self.writer).await.map_err(failed("forget uploads"))?.rows_affected())
    }

    /// Gives those that failed and have no time of remembrance one: an earlier release remembered them for ever.
    pub async fn remember_failed_until(&self, forget_at: OffsetDateTime) -> RecordResult<u64> {
        let change =
            sqlx::query("UPDATE uploads SET expires_at_ms = ? WHERE stage = 'failed' AND expires_at_ms IS NULL");
        let changed = change.bind(to_ms(forget_at)).execute(&self.writer).await;
        Ok(changed.map_err(failed("date failed uploads"))?.rows_affected())
    }

    /// PUTs that are not whole and were announced before `before`.
    pub async fn open_puts(&self, before: OffsetDateTime, limit: u32) -> RecordResult<Vec<Uuid>> {
        let find = sqlx::query(
            "SELECT id FROM uploads WHERE origin = 'put' AND stage = 'receiving' AND created_at_ms <= ? ORDER BY id LIMIT ?",
        );
        self.ids(find.bind(to_ms(before)).bind(limit)).await
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

    /// Notes that a look into the file begins, before it does.
    pub async fn begin_look(&self, id: Uuid) -> RecordResult<bool> {
        let change = sqlx::query("UPDATE uploads SET looks = looks + 1 WHERE id = ?");
        self.change("note a look into a file", change.bind(id.to_string())).await
    }

    /// Notes that a look was cut off from outside.
    pub async fn take_look_back(&self, id: Uuid) -> RecordResult<bool> {
        let change = sqlx::query("UPDATE uploads SET looks = looks - 1 WHERE id = ? AND looks > 0");
        self.change("take a look into a file back", change.bind(id.to_string())).await
    }

    /// Notes that it came back, with whatever it found.
    pub async fn end_look(&self, id: Uuid) -> RecordResult<bool> {
        let change = sqlx::query("UPDATE uploads SET looks = 0 WHERE id = ?");
        self.change("note the end of a look into a file", change.bind(id.to_string())).await
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
