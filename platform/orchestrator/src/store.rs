//! Deployments and decisions on disk: one SQLite file in WAL mode.
//!
//! A deployment is one value, written whole at each step before the next one is taken, so whoever starts after a crash goes on
//! from there: at most one step is done twice, and each step may be. What a start of a process leaves between its intent and
//! its number is found by a word in its environment (`process`). Decisions are for people; the oldest go.

use std::path::{Path, PathBuf};
use std::time::Duration;

use flame_api::orchestrator::Decision;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

use crate::config::StoreConfig;
use crate::deployment::{Key, Record};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");
/// How long a writer waits for another one.
const WAIT: Duration = Duration::from_secs(5);

/// The database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pool: SqlitePool,
    limits: StoreConfig,
}

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Its folder cannot be made.
    #[error("the folder {path} cannot be made")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What happened.
        #[source]
        source: std::io::Error,
    },
    /// Its schema cannot be brought up to date.
    #[error("the database cannot be migrated")]
    Migration(#[from] MigrateError),
    /// It failed.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// A record is not what this release writes.
    #[error("the record of {0} is damaged")]
    Damaged(String, #[source] serde_json::Error),
}

// === impl Store ===

impl Store {
    pub async fn open(config: &StoreConfig) -> Result<Self, StoreError> {
        let path = &config.database;
        if let Some(folder) = path.parent().filter(|folder| *folder != Path::new("")) {
            let failed = |source| StoreError::Folder { path: folder.to_owned(), source };
            tokio::fs::create_dir_all(folder).await.map_err(failed)?;
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(WAIT);
        let pool =
            SqlitePoolOptions::new().max_connections(2).acquire_timeout(WAIT).idle_timeout(None).max_lifetime(None);
        let pool = pool.connect_with(options).await?;
        // One schema ahead is only more than this release reads.
        let mut migrations = Migrator::with_migrations(MIGRATIONS.iter().cloned().collect());
        migrations.set_ignore_missing(true);
        migrations.run(&pool).await?;
        Ok(Self { pool, limits: config.clone() })
    }

    /// Whether it answers.
    pub async fn check(&self) -> Result<(), StoreError> {
        sqlx::query_scalar::<_, i64>("SELECT count(*) FROM deployments").fetch_one(&self.pool).await?;
        Ok(())
    }

    /// All that is deployed.
    pub async fn load(&self) -> Result<Vec<(Key, Record)>, StoreError> {
        let rows: Vec<(String, String, String, String)> =
            sqlx::query_as("SELECT tenant, sfc, sfci, record FROM deployments").fetch_all(&self.pool).await?;
        let read = |(tenant, sfc, sfci, text): (String, String, String, String)| {
            let record = serde_json::from_str(&text);
            let record = record.map_err(|error| StoreError::Damaged(format!("{tenant}/{sfc}/{sfci}"), error))?;
            Ok(((tenant, sfc, sfci), record))
        };
        rows.into_iter().map(read).collect()
    }

    /// Writes a deployment; synced when it returns.
    pub async fn save(&self, (tenant, sfc, sfci): &Key, record: &Record) -> Result<(), StoreError> {
        let text = serde_json::to_string(record)
            .map_err(|error| StoreError::Damaged(format!("{tenant}/{sfc}/{sfci}"), error))?;
        let write = "INSERT INTO deployments (tenant, sfc, sfci, record) VALUES (?, ?, ?, ?) \
                     ON CONFLICT (tenant, sfc, sfci) DO UPDATE SET record = excluded.record";
        sqlx::query(write).bind(tenant).bind(sfc).bind(sfci).bind(text).execute(&self.pool).await?;
        Ok(())
    }

    /// Forgets a deployment. What was decided of it stays, to be read.
    pub async fn remove(&self, (tenant, sfc, sfci): &Key) -> Result<(), StoreError> {
        let delete = "DELETE FROM deployments WHERE tenant = ? AND sfc = ? AND sfci = ?";
        sqlx::query(delete).bind(tenant).bind(sfc).bind(sfci).execute(&self.pool).await?;
        Ok(())
    }

    /// Notes a decision, and forgets the oldest beyond the bound.
    pub async fn decided(
        &self,
        (tenant, sfc, sfci): &Key,
        at_ms: u64,
        (subject, action, reason): (&str, &str, &str),
    ) -> Result<(), StoreError> {
        let insert =
            "INSERT INTO decisions (tenant, sfc, sfci, at_ms, subject, action, reason) VALUES (?, ?, ?, ?, ?, ?, ?)";
        sqlx::query(insert)
            .bind(tenant)
            .bind(sfc)
            .bind(sfci)
            .bind(at_ms.cast_signed())
            .bind(subject)
            .bind(action)
            .bind(reason)
            .execute(&self.pool)
            .await?;
        let trim = "DELETE FROM decisions WHERE tenant = ?1 AND sfc = ?2 AND sfci = ?3 AND id <= \
                    (SELECT id FROM decisions WHERE tenant = ?1 AND sfc = ?2 AND sfci = ?3 ORDER BY id DESC LIMIT 1 OFFSET ?4)";
        sqlx::query(trim).bind(tenant).bind(sfc).bind(sfci).bind(self.limits.decisions).execute(&self.pool).await?;
        Ok(())
    }

    /// Forgets what was decided of deployments that are gone: what is old, and the oldest beyond the bound.
    pub async fn forget_old(&self, now_ms: u64) -> Result<(), StoreError> {
        let gone_for_ms = u64::try_from(self.limits.gone_for.0.as_millis()).unwrap_or(u64::MAX);
        let until_ms = now_ms.saturating_sub(gone_for_ms);
        let delete = "WITH gone AS (SELECT id, at_ms FROM decisions AS one WHERE NOT EXISTS (SELECT 1 FROM deployments AS there \
                      WHERE there.tenant = one.tenant AND there.sfc = one.sfc AND there.sfci = one.sfci)) \
                      DELETE FROM decisions WHERE id IN (SELECT id FROM gone WHERE at_ms < ?1 \
                      UNION SELECT id FROM (SELECT id FROM gone ORDER BY id DESC LIMIT -1 OFFSET ?2))";
        let delete = sqlx::query(delete).bind(until_ms.cast_signed()).bind(self.limits.gone_decisions);
        delete.execute(&self.pool).await?;
        Ok(())
    }

    /// What was decided, oldest first.
    pub async fn decisions(&self, (tenant, sfc, sfci): &Key) -> Result<Vec<Decision>, StoreError> {
        let select = "SELECT id, at_ms, subject, action, reason FROM decisions \
                      WHERE tenant = ? AND sfc = ? AND sfci = ? ORDER BY id";
        let rows: Vec<(i64, i64, String, String, String)> =
            sqlx::query_as(select).bind(tenant).bind(sfc).bind(sfci).fetch_all(&self.pool).await?;
        let read = |(id, at_ms, subject, action, reason): (i64, i64, String, String, String)| Decision {
            id,
            at_unix_ms: at_ms.cast_unsigned(),
            subject,
            action,
            reason,
        };
        Ok(rows.into_iter().map(read).collect())
    }
}
