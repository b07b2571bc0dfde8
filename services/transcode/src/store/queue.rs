//! Jobs as workers see them: claiming, reporting, and taking back what a dead worker held.

use std::collections::BTreeMap;

use flame_api::media::Probe;
use flame_api::transcode::StageProgress;
use sqlx::sqlite::SqliteConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::rows::{self, JobRow, select_jobs};
use super::{Store, StoreError, StoreResult, now_us};
use crate::changes::Change;
use crate::job::{Event, Phase, Refused, Report};
use crate::stage::Progress;
use crate::version::Made;

/// Most jobs that are taken back in one transaction: it bounds how long others wait for the database.
const TAKEN_BACK_MAX: u32 = 100;

/// Which jobs a worker takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Those that are to be encoded or published.
    Work,
    /// Those whose remains are to be removed. They never wait for an encoder.
    Closing,
}

/// The right to work on a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseKey {
    /// The job, as its changes are told.
    pub seq: i64,
    /// Number of the lease.
    pub number: u64,
}

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

/// A report that was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The job does not stand so that it could be.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The database did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

// === impl Store ===

impl Store {
    /// Takes the next job of `lane` for `owner`: the first by priority, then by age, that is due.
    pub async fn claim(&self, lane: Lane, owner: &str) -> StoreResult<Option<Claimed>> {
        let mut transaction = self.writing().await?;
        let now_us = now_us();
        let query = match lane {
            Lane::Work => sqlx::query_as(select_jobs!(
                "WHERE lease_owner IS NULL AND phase IN ('queued', 'publishing') AND due_at_us <= ?1 \
                 ORDER BY priority DESC, seq LIMIT 1"
            )),
            Lane::Closing => sqlx::query_as(select_jobs!(
                "WHERE lease_owner IS NULL AND phase IN ('failing', 'cancelling') AND due_at_us <= ?1 \
                 ORDER BY priority DESC, seq LIMIT 1"
            )),
        };
        let row: Option<JobRow> = query.bind(now_us).fetch_optional(&mut *transaction).await?;
        let Some(row) = row else { return Ok(None) };
        let claim = Event::Claim { owner: owner.to_owned() };
        // The query asks for what the decision demands; if they ever differ, the decision counts.
        let Ok(after) = row.standing()?.after(claim, now_us, &self.bounds) else { return Ok(None) };
        rows::write_standing(&mut transaction, row.seq, &after, now_us).await?;
        transaction.commit().await?;
        self.changes.tell(Change { seq: row.seq, cancel_requested: after.cancel_requested });
        Ok(Some(Claimed {
            lease: LeaseKey { seq: row.seq, number: after.lease_number },
            id: row.id()?,
            asset_id: row.asset_id()?,
            tenant: row.tenant,
            chain: row.chain,
            document: row.document,
            parameters: row.parameters.0,
            source_key: row.source_key,
            probe: row.probe.0,
            phase: after.phase,
            attempt: after.attempt,
            error: after.error,
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
        let mut transaction = self.writing().await?;
        let (before, now_us) = (self.held(&mut transaction, lease).await?.standing()?, now_us());
        let alive = Event::Held { number: lease.number, report: Report::Alive };
        let after = before.after(alive, now_us, &self.bounds)?;
        let until_us = after.lease.as_ref().map(|lease| lease.until_us);
        sqlx::query(
            "UPDATE jobs SET lease_until_us = ?2, stage = ?3, progress = coalesce(?4, progress), \
             stages = coalesce(?5, stages) WHERE seq = ?1",
        )
        .bind(lease.seq)
        .bind(until_us)
        .bind(progress.stage.words())
        .bind(progress.of_whole())
        .bind((!stages.is_empty()).then_some(Json(stages)))
        .execute(&mut *transaction)
        .await
        .map_err(StoreError::from)?;
        transaction.commit().await.map_err(StoreError::from)?;
        self.changes.tell(Change { seq: lease.seq, cancel_requested: after.cancel_requested });
        Ok(after.cancel_requested)
    }

    /// Notes that all that was made is stored: the job goes on to publish it, whatever happens. `stages` is how it was made.
    pub async fn commit(&self, lease: LeaseKey, made: &Made, stages: &[StageProgress]) -> Result<(), ReportError> {
        self.change(lease, Report::Commit, Some((made, stages))).await
    }

    /// Notes how far the stages are, if the lease still holds.
    pub async fn note_stages(&self, lease: LeaseKey, stages: &[StageProgress]) -> StoreResult<()> {
        let number = i64::try_from(lease.number).unwrap_or(i64::MAX);
        sqlx::query("UPDATE jobs SET stages = ?3 WHERE seq = ?1 AND lease_number = ?2 AND lease_owner IS NOT NULL")
            .bind(lease.seq)
            .bind(number)
            .bind(Json(stages))
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Takes any other report of the holder of a lease.
    pub async fn report(&self, lease: LeaseKey, report: Report) -> Result<(), ReportError> {
        self.change(lease, report, None).await
    }

    async fn change(
        &self,
        lease: LeaseKey,
        report: Report,
        made: Option<(&Made, &[StageProgress])>,
    ) -> Result<(), ReportError> {
        let mut transaction = self.writing().await?;
        let (before, now_us) = (self.held(&mut transaction, lease).await?.standing()?, now_us());
        let event = Event::Held { number: lease.number, report };
        let after = before.after(event, now_us, &self.bounds)?;
        rows::write_standing(&mut transaction, lease.seq, &after, now_us).await?;
        if let Some((Made { tracks, thumbnails, conditioning }, stages)) = made {
            sqlx::query("UPDATE jobs SET tracks = ?2, thumbnails = ?3, conditioning = ?4, stages = ?5 WHERE seq = ?1")
                .bind(lease.seq)
                .bind(Json(tracks))
                .bind(thumbnails.as_ref().map(Json))
                .bind(conditioning.as_ref().map(Json))
                .bind(Json(stages))
                .execute(&mut *transaction)
                .await
                .map_err(StoreError::from)?;
        }
        transaction.commit().await.map_err(StoreError::from)?;
        self.changes.tell(Change { seq: lease.seq, cancel_requested: after.cancel_requested });
        if after.lease.is_none() && !after.phase.is_final() {
            self.changes.tell_work();
        }
        Ok(())
    }

    async fn held(&self, connection: &mut SqliteConnection, lease: LeaseKey) -> Result<JobRow, ReportError> {
        let row: Option<JobRow> = sqlx::query_as(select_jobs!("WHERE seq = ?1"))
            .bind(lease.seq)
            .fetch_optional(connection)
            .await
            .map_err(StoreError::from)?;
        row.ok_or(ReportError::Refused(Refused::LeaseLost))
    }

    /// Takes back the jobs whose lease is over; returns how many.
    pub async fn expire(&self) -> StoreResult<u64> {
        self.take_back(None).await
    }

    /// Takes back all that `owner` held before it started anew; returns how many. Only for an owner that knows that
    /// its predecessor is dead.
    pub async fn restart(&self, owner: &str) -> StoreResult<u64> {
        let mut taken = 0;
        loop {
            let some = self.take_back(Some(owner)).await?;
            taken += some;
            if some < u64::from(TAKEN_BACK_MAX) {
                return Ok(taken);
            }
        }
    }

    async fn take_back(&self, owner: Option<&str>) -> StoreResult<u64> {
        let now_us = now_us();
        let due = match owner {
            Some(_) => select_jobs!("WHERE lease_owner = ?1 AND ?2 >= 0 LIMIT ?3"),
            None => select_jobs!("WHERE lease_owner IS NOT NULL AND lease_until_us <= ?2 AND ?1 IS NULL LIMIT ?3"),
        };
        // Looked for without the write lock first: mostly there is nothing.
        let some: Vec<JobRow> =
            sqlx::query_as(due).bind(owner).bind(now_us).bind(TAKEN_BACK_MAX).fetch_all(&self.readers).await?;
        if some.is_empty() {
            return Ok(0);
        }
        let mut transaction = self.writing().await?;
        let held: Vec<JobRow> =
            sqlx::query_as(due).bind(owner).bind(now_us).bind(TAKEN_BACK_MAX).fetch_all(&mut *transaction).await?;
        let mut changes = Vec::new();
        for row in held {
            let event = match owner {
                Some(owner) => Event::Restart { owner: owner.to_owned() },
                None => Event::Expire,
            };
            let Ok(after) = row.standing()?.after(event, now_us, &self.bounds) else { continue };
            rows::write_standing(&mut transaction, row.seq, &after, now_us).await?;
            changes.push(Change { seq: row.seq, cancel_requested: after.cancel_requested });
        }
        transaction.commit().await?;
        let taken = u64::try_from(changes.len()).unwrap_or(u64::MAX);
        for change in changes {
            self.changes.tell(change);
        }
        self.changes.tell_work();
        Ok(taken)
    }
}
