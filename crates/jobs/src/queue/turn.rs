//! Jobs as workers see them: claiming, reporting, and taking back what a dead worker held.

use sqlx::sqlite::SqliteConnection;
use sqlx::{Sqlite, Transaction};

use super::{Lane, Queue, ReportError, StandingRow, StoreResult, now_us};
use crate::changes::Change;
use crate::job::{Event, Refused, Report, Standing};

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
pub struct Claim {
    /// The right to work on it.
    pub lease: LeaseKey,
    /// How it stands now.
    pub standing: Standing,
}

/// A report that is taken, if the transaction is committed: what belongs to it is written within.
#[derive(Debug)]
pub struct Turn<'a> {
    queue: &'a Queue,
    transaction: Transaction<'static, Sqlite>,
    seq: i64,
    after: Standing,
}

// === impl Queue ===

impl Queue {
    /// Takes the next job of `lane` that is due, for `owner`.
    ///
    /// # Errors
    /// The database is busy or fails.
    pub async fn claim(&self, lane: Lane, owner: &str) -> StoreResult<Option<Claim>> {
        let statement = match lane {
            Lane::Work => Some(&self.statements.work),
            Lane::Closing => self.statements.close.as_ref(),
        };
        let Some(statement) = statement else { return Ok(None) };
        let mut transaction = self.writing().await?;
        let now_us = now_us();
        let row: Option<StandingRow> =
            sqlx::query_as(statement.clone()).bind(now_us).fetch_optional(&mut *transaction).await?;
        let Some(row) = row else { return Ok(None) };
        let claim = Event::Claim { owner: owner.to_owned() };
        // The query asks for what the decision demands; if they ever differ, the decision counts.
        let Ok(standing) = row.standing()?.after(claim, now_us, &self.bounds) else { return Ok(None) };
        self.write(&mut transaction, row.seq, &standing, now_us).await?;
        transaction.commit().await?;
        self.changes.tell(Change { seq: row.seq, cancel_requested: standing.cancel_requested });
        Ok(Some(Claim { lease: LeaseKey { seq: row.seq, number: standing.lease_number }, standing }))
    }

    /// Renews a lease. What is written in the turn is how far the job is.
    ///
    /// # Errors
    /// The lease is lost, or the database is busy or fails.
    pub async fn renewing(&self, lease: LeaseKey) -> Result<Turn<'_>, ReportError> {
        let mut turn = self.turn(lease, Report::Alive).await?.0;
        sqlx::query("UPDATE jobs SET lease_until_us = ?2 WHERE seq = ?1")
            .bind(lease.seq)
            .bind(turn.after.lease.as_ref().map(|lease| lease.until_us))
            .execute(turn.connection())
            .await?;
        Ok(turn)
    }

    /// Takes any other report of the holder of a lease. What is written in the turn belongs to it.
    ///
    /// # Errors
    /// The job does not stand so that it could be taken, or the database is busy or fails.
    pub async fn reporting(&self, lease: LeaseKey, report: Report) -> Result<Turn<'_>, ReportError> {
        let (mut turn, now_us) = self.turn(lease, report).await?;
        self.write(&mut turn.transaction, lease.seq, &turn.after, now_us).await?;
        Ok(turn)
    }

    /// Takes a report to which nothing belongs.
    ///
    /// # Errors
    /// As [`Queue::reporting`].
    pub async fn report(&self, lease: LeaseKey, report: Report) -> Result<(), ReportError> {
        self.reporting(lease, report).await?.commit().await.map(drop)
    }

    async fn turn(&self, lease: LeaseKey, report: Report) -> Result<(Turn<'_>, i64), ReportError> {
        let mut transaction = self.writing().await?;
        let row = self.row(&mut transaction, lease.seq).await?.ok_or(Refused::LeaseLost)?;
        let now_us = now_us();
        let after = row.standing()?.after(Event::Held { number: lease.number, report }, now_us, &self.bounds)?;
        Ok((Turn { queue: self, transaction, seq: lease.seq, after }, now_us))
    }

    /// Takes back the jobs whose lease is over; returns how many.
    ///
    /// # Errors
    /// The database is busy or fails.
    pub async fn expire(&self) -> StoreResult<u64> {
        self.take_back(None).await
    }

    /// Takes back all that `owner` held before it started anew; returns how many. Only for an owner that knows that
    /// its predecessor is dead.
    ///
    /// # Errors
    /// The database is busy or fails.
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
        let due = || match owner {
            Some(owner) => sqlx::query_as::<Sqlite, StandingRow>(self.statements.of_owner.clone()).bind(owner),
            None => sqlx::query_as::<Sqlite, StandingRow>(self.statements.expired.clone()).bind(now_us),
        };
        // Looked for without the write lock first: mostly there is nothing.
        let some: Vec<StandingRow> = due().bind(TAKEN_BACK_MAX).fetch_all(&self.readers).await?;
        if some.is_empty() {
            return Ok(0);
        }
        let mut transaction = self.writing().await?;
        let held: Vec<StandingRow> = due().bind(TAKEN_BACK_MAX).fetch_all(&mut *transaction).await?;
        let mut changes = Vec::new();
        for row in held {
            let event = match owner {
                Some(owner) => Event::Restart { owner: owner.to_owned() },
                None => Event::Expire,
            };
            let Ok(after) = row.standing()?.after(event, now_us, &self.bounds) else { continue };
            self.write(&mut transaction, row.seq, &after, now_us).await?;
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

// === impl Turn ===

impl Turn<'_> {
    /// Where the service writes what belongs to the report.
    pub fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }

    /// Takes the report, and tells of it. Returns how the job stands now.
    ///
    /// # Errors
    /// The database is busy or fails; nothing has changed then.
    pub async fn commit(self) -> Result<Standing, ReportError> {
        self.transaction.commit().await?;
        self.queue.changes.tell(Change { seq: self.seq, cancel_requested: self.after.cancel_requested });
        if self.after.lease.is_none() && !self.after.phase.is_final() {
            self.queue.changes.tell_work();
        }
        Ok(self.after)
    }
}
