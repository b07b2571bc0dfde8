//! What each tenant may keep of the queue: so many that wait, so many that have ended. Nobody fills it for others.

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, SqlSafeStr};

use super::{Queue, StoreResult};

/// Most jobs that are forgotten in one transaction: it bounds how long others wait for the database.
const FORGOTTEN_MAX: i64 = 100;

// === impl Queue ===

impl Queue {
    /// How many jobs of `tenant` wait for work, within a transaction.
    ///
    /// # Errors
    /// The database is busy or fails.
    pub async fn waiting(&self, connection: &mut SqliteConnection, tenant: &str) -> StoreResult<u64> {
        // Made of the service's own words only, which are those of an index.
        let to_work = self.table.to_work;
        let count = format!("SELECT count(*) FROM jobs WHERE lease_owner IS NULL AND {to_work} AND tenant = ?1");
        let count: i64 =
            sqlx::query_scalar(AssertSqlSafe(count).into_sql_str()).bind(tenant).fetch_one(connection).await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Forgets, of a tenant who has more than `kept_max` jobs that have ended, the oldest; returns their numbers, at most 100 at a
    /// time. The table has an index of the tenants of what has ended.
    ///
    /// # Errors
    /// The database is busy or fails.
    pub async fn forget(&self, kept_max: u32) -> StoreResult<Vec<i64>> {
        // Looked for without the write lock first: mostly there is nothing.
        let most: Option<(String, i64)> = sqlx::query_as(
            "SELECT tenant, count(*) FROM jobs WHERE finished_at_us IS NOT NULL GROUP BY tenant ORDER BY count(*) DESC LIMIT 1",
        )
        .fetch_optional(&self.readers)
        .await?;
        let Some((tenant, ended)) = most else { return Ok(Vec::new()) };
        let too_many = ended.saturating_sub(i64::from(kept_max)).min(FORGOTTEN_MAX);
        if too_many <= 0 {
            return Ok(Vec::new());
        }
        let mut transaction = self.writing().await?;
        let seqs: Vec<i64> = sqlx::query_scalar(
            "DELETE FROM jobs WHERE seq IN \
             (SELECT seq FROM jobs WHERE tenant = ?1 AND finished_at_us IS NOT NULL ORDER BY seq LIMIT ?2) RETURNING seq",
        )
        .bind(tenant)
        .bind(too_many)
        .fetch_all(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(seqs)
    }
}
