//! Pulls: files that this service fetches itself, as durable background work.
//!
//! A pull is a row from the moment it was accepted. What came of it is stored as any upload's bytes are; when a transfer
//! breaks off or the service stops, it goes on with `Range` and `If-Range`, so that never the bytes of two versions of a
//! file are joined. A server that cannot promise that is asked for the whole again.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use reqwest::header::HeaderValue;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::PullConfig;
use crate::crew::{self, CRASHES_MAX, Crew, Ended};
use crate::holdings;
use crate::intake::{Intake, PATIENCE};
use crate::receive::{ReceiveError, Receiver};
use crate::record::{Record, Stage};
use crate::retry;
use crate::store::{RecordError, RecordResult};
use crate::writers::Turn;
use fetch::{Answer, FetchError, Fetcher};
use pace::Pace;

pub mod address;
pub mod fetch;
pub mod pace;

/// Longest time without a look at the table, in case that a waking call is lost.
const LOOK: Duration = Duration::from_secs(5);

/// Runs the pulls.
#[derive(Debug, Clone)]
pub struct Puller {
    intake: Intake,
    fetcher: Fetcher,
    config: PullConfig,
}

/// How one try ended.
enum Tried {
    /// All bytes are here.
    Complete,
    /// It is no longer this task's: ended by its owner, or the service stops.
    Over,
    /// Something broke; `progressed` says whether the try brought bytes that the next one need not ask for.
    Broken { reason: String, progressed: bool },
    /// It will not get better.
    Hopeless(String),
}

// === impl Puller ===

impl Puller {
    /// A puller into `intake`.
    #[must_use]
    pub fn new(intake: Intake, config: PullConfig) -> Self {
        let fetcher = Fetcher::new(config, intake.limits.idle.0);
        Self { intake, fetcher, config }
    }

    /// Runs what is due until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut crew = Crew::default();
        let mut running = HashMap::new();
        while !stop.is_cancelled() {
            let next = match self.start_due(&mut crew, &mut running).await {
                Ok(next) => next,
                Err(error) => {
                    tracing::warn!(%error, "pulls cannot be looked up");
                    None
                }
            };
            tokio::select! {
                ended = crew.next() => {
                    running.remove(&ended.id);
                    if let Err(error) = self.look_after(ended).await {
                        tracing::warn!(%error, id = %ended.id, "a crash cannot be noted");
                    }
                }
                () = self.intake.pulls.notified() => {}
                () = tokio::time::sleep(retry::until(next, LOOK)) => {}
                () = stop.cancelled() => {}
            }
        }
        // Each notices the stop by itself and stores what it has.
        crew.finish().await;
    }

    async fn start_due(
        &self,
        crew: &mut Crew,
        running: &mut HashMap<Uuid, String>,
    ) -> RecordResult<Option<OffsetDateTime>> {
        let now = OffsetDateTime::now_utc();
        let PullConfig { max_running, tenant_running, .. } = self.config;
        // Running ones are due too, so as many more are asked for.
        let limit = u32::try_from(tenant_running + running.len()).unwrap_or(u32::MAX);
        let due = self.intake.uploads.due_pulls(now, limit).await?;
        for id in pace::next(&due, running, max_running, tenant_running) {
            let tenant = due.iter().find(|(of, _)| *of == id).map(|(_, tenant)| tenant.clone());
            running.insert(id, tenant.unwrap_or_default());
            let puller = self.clone();
            crew.start(id, async move {
                if let Err(error) = puller.pull(id).await {
                    tracing::warn!(%error, %id, "a pull is tried again later");
                    tokio::time::sleep(retry::pause(1, puller.intake.limits.max_backoff.0)).await;
                }
            });
        }
        self.intake.uploads.next_due_pull(now).await
    }

    /// A pull that crashed is tried again later, and at last given up.
    async fn look_after(&self, Ended { id, crashes }: Ended) -> RecordResult<()> {
        let Intake { uploads, limits, .. } = &self.intake;
        let Some(record) = uploads.load(id).await?.filter(|record| crashes > 0 && record.stage == Stage::Receiving)
        else {
            return Ok(());
        };
        if crashes >= CRASHES_MAX {
            return self.refuse(id, &crew::reason(crashes)).await;
        }
        let attempts = record.attempts.saturating_add(1);
        let due = OffsetDateTime::now_utc() + retry::pause(attempts, limits.max_backoff.0);
        uploads.postpone(&record, attempts, due, &crew::reason(crashes)).await?;
        Ok(())
    }

    async fn pull(&self, id: Uuid) -> RecordResult<()> {
        let uploads = &self.intake.uploads;
        let Some(turn) = self.intake.writers.take(id, PATIENCE).await else {
            return Ok(());
        };
        let Some(record) = uploads.load(id).await?.filter(|record| record.stage == Stage::Receiving) else {
            return Ok(());
        };
        match self.attempt(&turn, record.clone()).await? {
            Tried::Complete => self.intake.processing.notify_one(),
            Tried::Over => {}
            Tried::Hopeless(reason) => self.refuse(id, &reason).await?,
            Tried::Broken { reason, progressed } => {
                let attempts = if progressed { 1 } else { record.attempts + 1 };
                if attempts >= self.config.max_tries {
                    self.refuse(id, &format!("given up after {attempts} tries: {reason}")).await?;
                } else {
                    let pause = retry::pause(attempts, self.intake.limits.max_backoff.0);
                    tracing::info!(%id, reason, attempts, "a pull broke off and goes on");
                    uploads.postpone(&record, attempts, OffsetDateTime::now_utc() + pause, &reason).await?;
                }
            }
        }
        Ok(())
    }

    async fn refuse(&self, id: Uuid, reason: &str) -> RecordResult<()> {
        self.intake.uploads.give_up(id, Stage::Receiving, Stage::Refusing, reason).await?;
        self.intake.processing.notify_one();
        Ok(())
    }

    /// One request.
    async fn attempt(&self, turn: &Turn, record: Record) -> RecordResult<Tried> {
        let Some(url) = record.url.clone() else {
            return Ok(Tried::Hopeless("the pull has no URL".to_owned()));
        };
        let validator = record.validator.as_deref().and_then(|text| HeaderValue::from_str(text).ok());
        let asked = tokio::select! {
            asked = self.fetcher.fetch(&url, record.offset_bytes, validator.as_ref()) => asked,
            () = turn.wanted_by_another() => return Ok(Tried::Over),
            () = self.intake.stop.cancelled() => return Ok(Tried::Over),
        };
        let answer = match asked {
            Ok(answer) => answer,
            Err(FetchError::Refused(reason)) => return Ok(Tried::Hopeless(reason)),
            Err(FetchError::Later(reason)) => return Ok(Tried::Broken { reason, progressed: false }),
        };
        let max_bytes = self.intake.limits.max_upload.0;
        if let Some(length_bytes) = answer.length_bytes.filter(|length| *length > max_bytes) {
            return Ok(Tried::Hopeless(format!("the file has {length_bytes} bytes, at most {max_bytes} are taken")));
        }
        let restarted = answer.begins_at_bytes != record.offset_bytes;
        let record = match self.begin(record, &answer, restarted).await? {
            Ok(record) => record,
            Err(reason) => return Ok(Tried::Broken { reason, progressed: false }),
        };
        let began_at_bytes = record.offset_bytes;
        let mut receiver = match Receiver::open(&self.intake, record, None).await {
            Ok(opened) => opened,
            Err(error) => return Ok(of_receive(error, false)),
        };
        let ended = self.transfer(turn, &mut receiver, answer).await;
        let whole = matches!(ended, Ok(Tried::Complete));
        let received = match receiver.close(whole).await {
            Ok(received) => received,
            Err(error) => return Ok(of_receive(error, false)),
        };
        let progressed = received.offset_bytes > began_at_bytes && !restarted;
        Ok(match ended {
            Ok(_) if received.complete => Tried::Complete,
            Ok(Tried::Complete) => {
                Tried::Broken { reason: format!("the file ended after {} bytes", received.offset_bytes), progressed }
            }
            Ok(other) => other,
            Err(TransferError::Body(reason)) => Tried::Broken { reason, progressed },
            // What it brought does not count: otherwise it would have our place for ever.
            Err(TransferError::Slow(reason)) => Tried::Broken { reason, progressed: false },
            Err(TransferError::Receive(error)) => of_receive(error, progressed),
        })
    }

    /// Notes what the answer is about. An answer with other bytes than those we have some of begins the pull anew.
    async fn begin(
        &self,
        mut record: Record,
        answer: &Answer,
        restarted: bool,
    ) -> RecordResult<Result<Record, String>> {
        let uploads = &self.intake.uploads;
        if restarted {
            uploads.restart(record.id).await?;
            if let Err(error) = self.intake.depot.discard_parts(&record).await {
                return Ok(Err(flame_service_host::problem::chain(&error)));
            }
        }
        let validator = answer.validator.as_ref().and_then(|value| value.to_str().ok());
        let mut noted = uploads.set_source(record.id, answer.length_bytes, validator).await;
        if let Err(refused) = noted {
            noted = match holdings::make_room(&self.intake, &record.tenant, refused).await {
                Ok(()) => uploads.set_source(record.id, answer.length_bytes, validator).await,
                Err(refused) => Err(refused),
            };
        }
        if let Err(RecordError::Quota(exceeded)) = noted {
            return Ok(Err(exceeded.to_string()));
        }
        noted?;
        if let Some(fresh) = uploads.load(record.id).await? {
            record = fresh;
        }
        Ok(Ok(record))
    }

    async fn transfer(&self, turn: &Turn, receiver: &mut Receiver, answer: Answer) -> Result<Tried, TransferError> {
        let mut response = answer.response;
        let (least, over) = (self.config.min_rate, self.intake.limits.idle);
        let mut pace = Pace::new(least.0, over.0);
        loop {
            let waits_since = Instant::now();
            let chunk = tokio::select! {
                biased;
                () = turn.wanted_by_another() => return Ok(Tried::Over),
                () = self.intake.stop.cancelled() => return Ok(Tried::Over),
                () = receiver.memory_wanted() => {
                    receiver.put_away().await.map_err(TransferError::Receive)?;
                    continue;
                }
                chunk = response.chunk() => chunk,
            };
            match chunk {
                Ok(Some(bytes)) => {
                    if !pace.came(waits_since.elapsed(), bytes.len() as u64) {
                        let reason = format!("it brought less than {least} a second (pulls.min_rate) for {over}");
                        return Err(TransferError::Slow(reason));
                    }
                    let ready = tokio::select! {
                        biased;
                        () = turn.wanted_by_another() => return Ok(Tried::Over),
                        () = self.intake.stop.cancelled() => return Ok(Tried::Over),
                        ready = receiver.make_ready() => ready,
                    };
                    ready.map_err(TransferError::Receive)?;
                    receiver.push(bytes).await.map_err(TransferError::Receive)?;
                }
                Ok(None) => return Ok(Tried::Complete),
                Err(error) => {
                    let reason = flame_service_host::problem::chain(&error.without_url());
                    return Err(TransferError::Body(format!("the transfer broke off: {reason}")));
                }
            }
        }
    }
}

/// Why a transfer stopped.
enum TransferError {
    /// The server's side.
    Body(String),
    /// The server takes too long.
    Slow(String),
    /// Our side.
    Receive(ReceiveError),
}

fn of_receive(error: ReceiveError, progressed: bool) -> Tried {
    match &error {
        ReceiveError::Ended => Tried::Over,
        ReceiveError::Quota | ReceiveError::Record(RecordError::Quota(_)) => Tried::Hopeless(error.to_string()),
        // Our own troubles use up none of the tries.
        ReceiveError::Store(_) | ReceiveError::Record(_) | ReceiveError::NoMemory(_) => {
            Tried::Broken { reason: flame_service_host::problem::chain(&error), progressed: true }
        }
        ReceiveError::TooLong { .. } => Tried::Broken { reason: error.to_string(), progressed },
        ReceiveError::TooLarge { .. } | ReceiveError::Checksum | ReceiveError::Damaged(_) => {
            Tried::Hopeless(error.to_string())
        }
    }
}
