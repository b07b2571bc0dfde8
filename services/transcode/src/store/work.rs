//! Jobs as workers see them: what they claim, and what belongs to their reports.

use std::collections::BTreeMap;

use flame_api::media::Probe;
use flame_api::transcode::StageProgress;
use flame_jobs::job::{Phase, Report};
use flame_jobs::queue::{Lane, LeaseKey, ReportError, StoreResult, damaged};
use sqlx::types::Json;
use uuid::Uuid;

use super::Store;
use super::rows::{JobRow, select_jobs};
use crate::reuse::Output;
use crate::stage::Progress;
use crate::version::Made;

/// A claimed job.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The right to work on it.
    pub lease: LeaseKey,
    /// Its tenant.
    pub tenant: String,
    /// Its id.
    pub id: Uuid,
    /// Its chain.
    pub chain: String,
    /// The chain's document; none of a job of an older release.
    pub document: Option<String>,
    /// Values of its parameters.
    pub parameters: BTreeMap<String, String>,
    /// The asset.
    pub asset_id: Uuid,
    /// Key of the source.
    pub source_key: String,
    /// What the probe measured.
    pub probe: Probe,
    /// `Running`, `Publishing`, `Failing` or `Cancelling`.
    pub phase: Phase,
    /// Attempts begun, this one included.
    pub attempt: u32,
    /// Why it was not done so far.
    pub error: Option<String>,
    /// What was made, once it is committed.
    pub made: Option<Made>,
    /// How far its stages were when that was noted last.
    pub stages: Vec<StageProgress>,
}

// === impl Store ===

impl Store {
    /// Takes the next job of `lane` for `owner`: the first by priority, then by age, that is due.
    pub async fn claim(&self, lane: Lane, owner: &str) -> StoreResult<Option<Claimed>> {
        let Some(claim) = self.queue.claim(lane, owner).await? else { return Ok(None) };
        let seq = claim.lease.seq;
        // Of what the claim has just committed; the rest of a job does not change while it is held.
        let row: Option<JobRow> =
            sqlx::query_as(select_jobs!("WHERE seq = ?1")).bind(seq).fetch_optional(self.queue.readers()).await?;
        let row = row.ok_or_else(|| damaged("no job", seq))?;
        Ok(Some(Claimed {
            lease: claim.lease,
            id: row.id()?,
            asset_id: row.asset_id()?,
            tenant: row.tenant,
            chain: row.chain,
            document: row.document,
            parameters: row.parameters.0,
            source_key: row.source_key,
            probe: row.probe.0,
            phase: claim.standing.phase,
            attempt: claim.standing.attempt,
            error: claim.standing.error,
            made: row.tracks.map(|tracks| Made {
                tracks: tracks.0,
                thumbnails: row.thumbnails.map(|thumbnails| thumbnails.0),
                conditioning: row.conditioning.map(|conditioning| conditioning.0),
            }),
            stages: row.stages.map(|stages| stages.0).unwrap_or_default(),
        }))
    }

    /// Renews the lease and notes how far the job is. Returns whether somebody wants it cancelled.
    pub async fn renew(
        &self,
        lease: LeaseKey,
        progress: Progress,
        stages: &[StageProgress],
    ) -> Result<bool, ReportError> {
        let mut turn = self.queue.renewing(lease).await?;
        sqlx::query(
            "UPDATE jobs SET stage = ?2, progress = coalesce(?3, progress), stages = coalesce(?4, stages) WHERE seq = ?1",
        )
        .bind(lease.seq)
        .bind(progress.stage.words())
        .bind(progress.of_whole())
        .bind((!stages.is_empty()).then_some(Json(stages)))
        .execute(turn.connection())
        .await?;
        Ok(turn.commit().await?.cancel_requested)
    }

    /// Notes that all that was made is stored: the job goes on to publish it, whatever happens. `stages` is how it was made, and
    /// `outputs` what of it others can take.
    pub async fn commit(
        &self,
        lease: LeaseKey,
        made: &Made,
        stages: &[StageProgress],
        outputs: &[Output],
    ) -> Result<(), ReportError> {
        let mut turn = self.queue.reporting(lease, Report::Commit).await?;
        let Made { tracks, thumbnails, conditioning } = made;
        sqlx::query("UPDATE jobs SET tracks = ?2, thumbnails = ?3, conditioning = ?4, stages = ?5 WHERE seq = ?1")
            .bind(lease.seq)
            .bind(Json(tracks))
            .bind(thumbnails.as_ref().map(Json))
            .bind(conditioning.as_ref().map(Json))
            .bind(Json(stages))
            .execute(turn.connection())
            .await?;
        self.note_outputs(turn.connection(), lease, outputs).await?;
        turn.commit().await.map(drop)
    }

    /// Notes how far the stages are, if the lease still holds.
    pub async fn note_stages(&self, lease: LeaseKey, stages: &[StageProgress]) -> StoreResult<()> {
        let number = i64::try_from(lease.number).unwrap_or(i64::MAX);
        sqlx::query("UPDATE jobs SET stages = ?3 WHERE seq = ?1 AND lease_number = ?2 AND lease_owner IS NOT NULL")
            .bind(lease.seq)
            .bind(number)
            .bind(Json(stages))
            .execute(self.queue.writer())
            .await?;
        Ok(())
    }
}
