//! Scores of assets: noting what was measured, and giving it back. The oldest of too many go.

use flame_api::metadata::{NewScore, SCORES_KEPT_MAX, Score};
use sqlx::types::Json;
use uuid::Uuid;

use super::assets::{find_kept, find_own};
use super::rows;
use super::sql::{Transaction, json, sql};
use super::{Store, StoreResult};

/// What became of a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scored {
    /// It is noted.
    New,
    /// It was noted before.
    Known,
    /// There is no such asset.
    Missing,
}

#[derive(Debug, sqlx::FromRow)]
struct ScoreRow {
    job_id: String,
    score: Json<NewScore>,
}

// === impl Store ===

impl Store {
    /// Notes what the job `job` has measured of the tenant's asset. What a job found does not change, so the first one stays.
    pub async fn score(&self, tenant: &str, id: Uuid, job: Uuid, new: &NewScore) -> StoreResult<Scored> {
        let mut transaction = self.database.changing(id).await?;
        let Some((seq, _)) = find_kept(&mut transaction, tenant, id).await? else { return Ok(Scored::Missing) };
        let noted = sql("INSERT INTO scores (tenant, asset_seq, job_id, score) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (asset_seq, job_id) DO NOTHING")
        .bind(tenant)
        .bind(seq)
        .bind(job.to_string())
        .bind(json(new)?)
        .run(&mut transaction)
        .await?;
        if noted == 0 {
            return Ok(Scored::Known);
        }
        sql("DELETE FROM scores WHERE asset_seq = $1 AND seq NOT IN \
             (SELECT seq FROM scores WHERE asset_seq = $1 ORDER BY seq DESC LIMIT $2)")
        .bind(seq)
        .bind(i64::from(SCORES_KEPT_MAX))
        .run(&mut transaction)
        .await?;
        transaction.commit().await?;
        Ok(Scored::New)
    }

    /// What was measured of the tenant's asset, newest first.
    pub async fn scores(&self, tenant: &str, id: Uuid) -> StoreResult<Option<Vec<Score>>> {
        let mut transaction = self.database.reading().await?;
        let Some((seq, _)) = find_own(&mut transaction, tenant, id).await? else { return Ok(None) };
        of_asset(&mut transaction, seq).await.map(Some)
    }
}

/// What was measured of an asset, newest first.
pub(super) async fn of_asset(transaction: &mut Transaction, asset_seq: i64) -> StoreResult<Vec<Score>> {
    let query = sql("SELECT job_id, score FROM scores WHERE asset_seq = $1 ORDER BY seq DESC LIMIT $2");
    let found: Vec<ScoreRow> = query.bind(asset_seq).bind(i64::from(SCORES_KEPT_MAX)).all(transaction).await?;
    let score = |row: ScoreRow| Ok(Score { job_id: rows::uuid(&row.job_id)?, score: row.score.0 });
    found.into_iter().map(score).collect()
}
