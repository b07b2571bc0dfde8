//! What was made before, by what it was made of: noted with the commit of a job, looked for by the next ones.
//!
//! A row says where something lies, and keeps nothing: its objects belong to a version, and go with its asset. So a row may name
//! what is gone, and whoever finds that out has it forgotten. Rows are bounded: in number, of each tenant, by the transaction that
//! adds some, and in age.

use flame_jobs::queue::{LeaseKey, StoreResult, now_us};
use sqlx::sqlite::SqliteConnection;

use super::Store;
use crate::reuse::{Key, Output, What};

/// Versions of one output that are looked at, the newest first: of more, one is there, or hardly any.
const PLACES_MAX: u32 = 4;
/// Rows that are forgotten in one statement.
const FORGOTTEN_AT_ONCE: u32 = 1000;

// === impl Store ===

impl Store {
    /// Where `tenant` has what this key stands for, the newest first; nothing that is older than `[reuse] keep`.
    pub async fn outputs(&self, tenant: &str, key: &Key) -> StoreResult<Vec<Output>> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            // The signs keep SQLite from walking all that the tenant has by its age: a key has few places.
            "SELECT prefix, what FROM outputs WHERE tenant = ?1 AND key = ?2 AND +made_at_us > ?3 \
             ORDER BY +made_at_us DESC LIMIT ?4",
        )
        .bind(tenant)
        .bind(key.as_str())
        .bind(self.oldest_us())
        .bind(PLACES_MAX)
        .fetch_all(self.queue.readers())
        .await?;
        // What another release has written in other words is as good as not there.
        let output = |(prefix, what): (String, String)| {
            let what: What = serde_json::from_str(&what).ok()?;
            Some(Output { key: key.clone(), prefix, what })
        };
        Ok(rows.into_iter().filter_map(output).collect())
    }

    /// Forgets an output that is not there any more.
    pub async fn forget_output(&self, tenant: &str, output: &Output) -> StoreResult<()> {
        sqlx::query("DELETE FROM outputs WHERE tenant = ?1 AND key = ?2 AND prefix = ?3")
            .bind(tenant)
            .bind(output.key.as_str())
            .bind(&output.prefix)
            .execute(self.queue.writer())
            .await?;
        Ok(())
    }

    /// Forgets some of what is older than `[reuse] keep`; returns how many.
    pub async fn forget_old_outputs(&self) -> StoreResult<u64> {
        let oldest_us = self.oldest_us();
        // Looked for without the write lock first: mostly there is nothing.
        let is_there: Option<i64> = sqlx::query_scalar("SELECT 1 FROM outputs WHERE made_at_us <= ?1 LIMIT 1")
            .bind(oldest_us)
            .fetch_optional(self.queue.readers())
            .await?;
        if is_there.is_none() {
            return Ok(0);
        }
        let forgotten = sqlx::query(
            "DELETE FROM outputs WHERE (tenant, key, prefix) IN \
             (SELECT tenant, key, prefix FROM outputs WHERE made_at_us <= ?1 ORDER BY made_at_us LIMIT ?2)",
        )
        .bind(oldest_us)
        .bind(FORGOTTEN_AT_ONCE)
        .execute(self.queue.writer())
        .await?;
        Ok(forgotten.rows_affected())
    }

    /// Notes what a job has made, or taken again, in the transaction that commits it; of more than `[reuse] outputs_max`
    /// of its tenant the oldest are forgotten.
    pub(super) async fn note_outputs(
        &self,
        connection: &mut SqliteConnection,
        lease: LeaseKey,
        outputs: &[Output],
    ) -> StoreResult<()> {
        let now_us = now_us();
        for output in outputs {
            let what = serde_json::to_string(&output.what).expect("strings and numbers always become JSON");
            sqlx::query(
                "INSERT INTO outputs (tenant, key, prefix, what, made_at_us) \
                 SELECT tenant, ?2, ?3, ?4, ?5 FROM jobs WHERE seq = ?1 \
                 ON CONFLICT (tenant, key, prefix) DO UPDATE SET what = excluded.what, made_at_us = excluded.made_at_us",
            )
            .bind(lease.seq)
            .bind(output.key.as_str())
            .bind(&output.prefix)
            .bind(what)
            .bind(now_us)
            .execute(&mut *connection)
            .await?;
        }
        if !outputs.is_empty() {
            sqlx::query(
                "DELETE FROM outputs WHERE tenant = (SELECT tenant FROM jobs WHERE seq = ?1) AND made_at_us <= \
                 (SELECT made_at_us FROM outputs WHERE tenant = (SELECT tenant FROM jobs WHERE seq = ?1) \
                  ORDER BY made_at_us DESC LIMIT 1 OFFSET ?2)",
            )
            .bind(lease.seq)
            .bind(self.reuse.outputs_max)
            .execute(&mut *connection)
            .await?;
        }
        Ok(())
    }

    /// What was made at this moment, or before, is too old, microseconds since the Unix epoch.
    fn oldest_us(&self) -> i64 {
        let keep_us = i64::try_from(self.reuse.keep.0.as_micros()).unwrap_or(i64::MAX);
        now_us().saturating_sub(keep_us)
    }
}
