//! Jobs as workers see them: claiming, reporting, and taking back what a dead worker held.

use flame_api::quality::jobs::GateVerdict;
use sqlx::sqlite::SqliteConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::rows::{self, JobRow, select_jobs};
use super::{Store, StoreError, StoreResult, now_us};
use crate::changes::Change;
use crate::job::{Event, Refused, Report};
use crate::verdict::{Asked, Found};

/// Most jobs that are taken back in one transaction: it bounds how long others wait for the database.
const TAKEN_BACK_MAX: u32 = 100;

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
    /// Takes the oldest job that is due, for `owner`.
    pub async fn claim(&self, owner: &str) -> StoreResult<Option<Claimed>> {
        let mut transaction = self.writing().await?;
        let now_us = now_us();
        let row: Option<JobRow> = sqlx::query_as(select_jobs!(
            "WHERE lease_owner IS NULL AND state = 'queued' AND due_at_us <= ?1 ORDER BY seq LIMIT 1"
        ))
        .bind(now_us)
        .fetch_optional(&mut *transaction)
        .await?;
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
            tenant: row.tenant,
            asked: row.asked.0,
            attempt: after.attempt,
        }))
    }

    /// Renews the lease and notes how far the job is. Returns whether somebody wants it cancelled.
    pub async fn renew(&self, lease: LeaseKey, progress: f64) -> Result<bool, ReportError> {
        let mut transaction = self.writing().await?;
        let (before, now_us) = (self.held(&mut transaction, lease).await?.standing()?, now_us());
        let alive = Event::Held { number: lease.number, report: Report::Alive };
        let after = before.after(alive, now_us, &self.bounds)?;
        sqlx::query("UPDATE jobs SET lease_until_us = ?2, progress = ?3 WHERE seq = ?1")
            .bind(lease.seq)
            .bind(after.lease.as_ref().map(|lease| lease.until_us))
            .bind(if progress.is_finite() { progress.clamp(0.0, 1.0) } else { 0.0 })
            .execute(&mut *transaction)
            .await
            .map_err(StoreError::from)?;
        transaction.commit().await.map_err(StoreError::from)?;
        self.changes.tell(Change { seq: lease.seq, cancel_requested: after.cancel_requested });
        Ok(after.cancel_requested)
    }

    /// Takes what was measured: the job has succeeded.
    pub async fn succeed(&self, lease: LeaseKey, measured: &Measured) -> Result<(), ReportError> {
        self.change(lease, Report::Succeed, Some(measured)).await
    }

    /// Takes any other report of the holder of a lease.
    pub async fn report(&self, lease: LeaseKey, report: Report) -> Result<(), ReportError> {
        self.change(lease, report, None).await
    }

    async fn change(&self, lease: LeaseKey, report: Report, measured: Option<&Measured>) -> Result<(), ReportError> {
        let mut transaction = self.writing().await?;
        let (before, now_us) = (self.held(&mut transaction, lease).await?.standing()?, now_us());
        let after = before.after(Event::Held { number: lease.number, report }, now_us, &self.bounds)?;
        rows::write_standing(&mut transaction, lease.seq, &after, now_us).await?;
        if let Some(Measured { found, gates }) = measured {
            sqlx::query("UPDATE jobs SET result = ?2, gates = ?3 WHERE seq = ?1")
                .bind(lease.seq)
                .bind(Json(found))
                .bind(Json(gates))
                .execute(&mut *transaction)
                .await
                .map_err(StoreError::from)?;
        }
        transaction.commit().await.map_err(StoreError::from)?;
        self.changes.tell(Change { seq: lease.seq, cancel_requested: after.cancel_requested });
        if !after.state.is_final() {
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

    /// Takes back all that `owner` held before it started anew; returns how many. Only for an owner that knows that its
    /// predecessor is dead.
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
