//! Jobs as workers see them: what they claim, and what belongs to their reports.

use flame_api::quality::jobs::GateVerdict;
use flame_jobs::job::Report;
use flame_jobs::queue::{Lane, LeaseKey, ReportError, StoreResult, damaged, now_us};
use sqlx::types::Json;
use uuid::Uuid;

use super::Store;
use super::rows::{JobRow, Record, select_jobs};
use crate::verdict::{Asked, Found};

/// A claimed job.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The right to work on it.
    pub lease: LeaseKey,
    /// Its tenant.
    pub tenant: String,
    /// Its id.
    pub id: Uuid,
    /// What is asked for.
    pub asked: Asked,
    /// Attempts begun, this one included.
    pub attempt: u32,
}

/// What an attempt has measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The figures.
    pub found: Found,
    /// What the gates say of them.
    pub gates: Vec<GateVerdict>,
    /// The version of the asset that they are of, where there is one.
    pub version: Option<String>,
}

/// A job that has succeeded, of which the catalogue does not know.
#[derive(Debug, Clone, PartialEq)]
pub struct Untold {
    /// The job.
    pub record: Record,
    /// The version of the asset that it measured.
    pub version: Option<String>,
}

// === impl Store ===

impl Store {
    /// Takes the oldest job that is due, for `owner`.
    pub async fn claim(&self, owner: &str) -> StoreResult<Option<Claimed>> {
        let Some(claim) = self.queue.claim(Lane::Work, owner).await? else { return Ok(None) };
        let seq = claim.lease.seq;
        // Of what the claim has just committed; the rest of a job does not change while it is held.
        let row: Option<JobRow> =
            sqlx::query_as(select_jobs!("WHERE seq = ?1")).bind(seq).fetch_optional(self.queue.readers()).await?;
        let row = row.ok_or_else(|| damaged("no job", seq))?;
        Ok(Some(Claimed {
            lease: claim.lease,
            id: row.id()?,
            tenant: row.tenant,
            asked: row.asked.0,
            attempt: claim.standing.attempt,
        }))
    }

    /// Renews the lease and notes how far the job is. Returns whether somebody wants it cancelled.
    pub async fn renew(&self, lease: LeaseKey, progress: f64) -> Result<bool, ReportError> {
        let mut turn = self.queue.renewing(lease).await?;
        sqlx::query("UPDATE jobs SET progress = ?2 WHERE seq = ?1")
            .bind(lease.seq)
            .bind(if progress.is_finite() { progress.clamp(0.0, 1.0) } else { 0.0 })
            .execute(turn.connection())
            .await?;
        Ok(turn.commit().await?.cancel_requested)
    }

    /// Takes what was measured: the job has succeeded.
    pub async fn succeed(&self, lease: LeaseKey, measured: &Measured) -> Result<(), ReportError> {
        let mut turn = self.queue.reporting(lease, Report::Succeed).await?;
        let Measured { found, gates, version } = measured;
        sqlx::query("UPDATE jobs SET result = ?2, gates = ?3, version = ?4 WHERE seq = ?1")
            .bind(lease.seq)
            .bind(Json(found))
            .bind(Json(gates))
            .bind(version)
            .execute(turn.connection())
            .await?;
        turn.commit().await.map(drop)
    }

    /// The oldest jobs that have measured something of an asset, of which the catalogue does not know.
    pub async fn untold(&self, limit: u32) -> StoreResult<Vec<Untold>> {
        let rows: Vec<JobRow> = sqlx::query_as(select_jobs!(
            "WHERE state = 'succeeded' AND asset_id IS NOT NULL AND told_at_us IS NULL ORDER BY seq LIMIT ?1"
        ))
        .bind(limit)
        .fetch_all(self.queue.readers())
        .await?;
        let untold = rows.into_iter().map(|mut row| {
            let version = row.version.take();
            Ok(Untold { record: row.record()?, version })
        });
        untold.collect()
    }

    /// Notes that the catalogue knows of the job `seq`, or never will.
    pub async fn told(&self, seq: i64) -> StoreResult<()> {
        sqlx::query("UPDATE jobs SET told_at_us = ?2 WHERE seq = ?1")
            .bind(seq)
            .bind(now_us())
            .execute(self.queue.writer())
            .await?;
        Ok(())
    }
}
