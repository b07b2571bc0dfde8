//! Joins: final uploads are made of their partial ones, as durable background work.
//!
//! A final upload is a row from the moment it was accepted, and its partial uploads belong to it then. The store copies their
//! bytes itself, part by part, into the multipart upload of the whole; here they are only read once, for the SHA-256 of the
//! whole, and not even that for the first partial upload, whose hash goes on. What was copied is noted like any arrival: parts,
//! offset and hash in one transaction. So a crash repeats at most what was not noted, and the last note hands the upload to the
//! same processing as every other and gives the partial ones up.
//!
//! Every step may be repeated: completing a partial upload's object, beginning the multipart upload (the one that no row
//! names is aborted with the rest), copying a part (the same number replaces it).

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use flame_object_store::{MultipartUpload, PartTag, StoreError};
use futures_util::StreamExt;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::crew::{self, CRASHES_MAX, Crew, Ended};
use crate::depot::{self, AssembleError, Depot};
use crate::digest::{DamagedState, RunningSha256};
use crate::intake::{Intake, PATIENCE};
use crate::memory::NoMemory;
use crate::parts::PARTS_HELD;
use crate::record::{Record, Stage};
use crate::retry;
use crate::store::{Arrival, RecordError, RecordResult};
use crate::writers::Turn;
use flame_service_host::fault;
use plan::{Piece, Run, Source, plan};

pub mod plan;

/// Joins at once. They are the disk's work, so more of them end no sooner; with two a long one does not stand in a short
/// one's way.
const JOINS_MAX: usize = 2;
/// Parts that the store copies at once for one join.
const COPIES_MAX: usize = 2;
/// Longest time without a look at the table, in case that a waking call is lost.
const LOOK: Duration = Duration::from_secs(5);
/// What was copied is noted at most this often: each note is an fsync, and a crash costs that much more work.
const NOTE_EVERY: Duration = Duration::from_millis(100);
/// Bytes hashed in one go, where work may block.
const HASH_BYTES: usize = 1024 * 1024;

/// Does the joining. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Joiner {
    intake: Intake,
}

/// How one try ended.
enum Tried {
    /// The whole is there.
    Complete,
    /// It is no longer this task's: ended by its owner, or the service stops.
    Over,
}

/// Why a try failed.
#[derive(Debug, thiserror::Error)]
enum JoinError {
    #[error("the parts could not be joined")]
    Store(#[from] StoreError),
    #[error("what was joined could not be noted")]
    Record(#[from] RecordError),
    #[error("the hash of the parts cannot go on")]
    Damaged(#[from] DamagedState),
    #[error("the database names other parts of this upload than the plan for it")]
    OffPlan,
    #[error(transparent)]
    NoMemory(#[from] NoMemory),
    #[error("{0}")]
    Lost(String),
}

/// The work on one final upload.
struct Join {
    depot: Depot,
    record: Record,
    partials: Vec<Record>,
    multipart: MultipartUpload,
    /// Bytes whose hash the first partial upload brings with it.
    known_bytes: u64,
}

// === impl Joiner ===

impl Joiner {
    /// A joiner in `intake`.
    #[must_use]
    pub fn new(intake: Intake) -> Self {
        Self { intake }
    }

    /// Joins what is due until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut crew = Crew::default();
        while !stop.is_cancelled() {
            let next = match self.start_due(&mut crew).await {
                Ok(next) => next,
                Err(error) => {
                    tracing::warn!(%error, "joins cannot be looked up");
                    None
                }
            };
            tokio::select! {
                ended = crew.next() => if let Err(error) = self.look_after(ended).await {
                    tracing::warn!(%error, id = %ended.id, "a crash cannot be noted");
                },
                () = self.intake.joins.notified() => {}
                () = tokio::time::sleep(retry::until(next, LOOK)) => {}
                () = stop.cancelled() => {}
            }
        }
        // Each notices the stop by itself and notes what it has.
        crew.finish().await;
    }

    async fn start_due(&self, crew: &mut Crew) -> RecordResult<Option<OffsetDateTime>> {
        let now = OffsetDateTime::now_utc();
        // Running ones are due too, so as many more are asked for.
        let limit = u32::try_from(JOINS_MAX + crew.len()).unwrap_or(u32::MAX);
        for id in self.intake.uploads.due_joins(now, limit).await? {
            if crew.len() < JOINS_MAX {
                let joiner = self.clone();
                crew.start(id, async move {
                    if let Err(error) = joiner.join(id).await {
                        tracing::warn!(%error, %id, "a join is tried again later");
                        tokio::time::sleep(retry::pause(1, joiner.intake.limits.max_backoff.0)).await;
                    }
                });
            }
        }
        self.intake.uploads.next_due_join(now).await
    }

    /// A join that crashed is tried again later, and at last given up.
    async fn look_after(&self, Ended { id, crashes }: Ended) -> RecordResult<()> {
        let Intake { uploads, limits, .. } = &self.intake;
        let Some(record) = uploads.load(id).await?.filter(|record| crashes > 0 && record.stage == Stage::Receiving)
        else {
            return Ok(());
        };
        let reason = crew::reason(crashes);
        if crashes >= CRASHES_MAX {
            uploads.give_up(id, Stage::Receiving, Stage::Refusing, &reason).await?;
            self.intake.processing.notify_one();
            return Ok(());
        }
        let attempts = record.attempts.saturating_add(1);
        let pause = retry::pause(attempts, limits.max_backoff.0);
        uploads.postpone_join(id, attempts, OffsetDateTime::now_utc() + pause, &reason).await?;
        Ok(())
    }

    async fn join(&self, id: Uuid) -> RecordResult<()> {
        let uploads = &self.intake.uploads;
        let Some(turn) = self.intake.writers.take(id, PATIENCE).await else { return Ok(()) };
        let Some(record) = uploads.load(id).await?.filter(|record| record.stage == Stage::Receiving) else {
            return Ok(());
        };
        let error = match self.attempt(&turn, record.clone()).await {
            Ok(Tried::Complete) => {
                tracing::info!(%id, "an upload was made of its parts");
                self.intake.processing.notify_one();
                return Ok(());
            }
            Ok(Tried::Over) => return Ok(()),
            Err(error) => error,
        };
        let reason = flame_service_host::problem::chain(&error);
        if let JoinError::Lost(_) | JoinError::Damaged(_) | JoinError::OffPlan = &error {
            uploads.give_up(id, Stage::Receiving, Stage::Refusing, &reason).await?;
            self.intake.processing.notify_one();
            return Ok(());
        }
        if let JoinError::Store(StoreError::NotFound { .. }) = &error {
            // The partial uploads are there, that was looked at: so it is the store's multipart upload that has gone.
            uploads.rejoin(id).await?;
        }
        let attempts = record.attempts.saturating_add(1);
        let pause = retry::pause(attempts, self.intake.limits.max_backoff.0);
        tracing::warn!(%id, attempts, reason, "a join has to wait");
        uploads.postpone_join(id, attempts, OffsetDateTime::now_utc() + pause, &reason).await?;
        Ok(())
    }

    async fn attempt(&self, turn: &Turn, mut record: Record) -> Result<Tried, JoinError> {
        let Intake { uploads, depot, .. } = &self.intake;
        let partials = uploads.partials(record.id).await?;
        let Some(first) = partials.first() else { return Err(JoinError::OffPlan) };
        let wanted_bytes = (PARTS_HELD as u64 * record.part_bytes).min(record.length_bytes.unwrap_or(u64::MAX));
        let _memory = tokio::select! {
            biased;
            () = turn.wanted_by_another() => return Ok(Tried::Over),
            () = self.intake.stop.cancelled() => return Ok(Tried::Over),
            memory = self.intake.memory.keep(&record.tenant, wanted_bytes, self.intake.limits.idle.0) => memory?,
        };
        for partial in &partials {
            let parts = uploads.parts(partial.id).await?;
            depot.assemble(partial, &parts).await.map_err(|error| match error {
                AssembleError::Store(error) => error.into(),
                error @ AssembleError::Lost { .. } => JoinError::Lost(error.to_string()),
            })?;
            if !depot.has_source(partial).await? {
                return Err(JoinError::Lost(format!(
                    "the object store no longer has the bytes of upload {}",
                    partial.id
                )));
            }
        }
        fault::point("join-partials-whole");
        let multipart = match depot::multipart(&record) {
            Some(multipart) => multipart,
            None => {
                let multipart = depot.begin(&record).await?;
                fault::point("join-begun");
                if !uploads.set_multipart(record.id, &multipart.id).await? {
                    depot.store().abort_multipart(&multipart).await?;
                    return Ok(Tried::Over);
                }
                record.multipart_id = Some(multipart.id.clone());
                multipart
            }
        };
        let known_bytes = first.offset_bytes;
        let state = if record.offset_bytes <= known_bytes { &first.sha256_state } else { &record.sha256_state };
        let sha256 = RunningSha256::resume(state.as_deref())?;
        let join = Arc::new(Join { depot: depot.clone(), record, partials, multipart, known_bytes });
        self.copy(turn, &join, sha256).await
    }

    /// Copies what is not yet noted, hashing beside it.
    async fn copy(&self, turn: &Turn, join: &Arc<Join>, mut sha256: RunningSha256) -> Result<Tried, JoinError> {
        let sources = join.partials.iter().map(Record::as_source).collect::<Vec<_>>();
        let pieces = plan(&sources);
        let done = self.intake.uploads.parts(join.record.id).await?.len();
        let mut at_bytes: u64 = pieces.iter().take(done).map(Piece::size_bytes).sum();
        if at_bytes != join.record.offset_bytes {
            return Err(JoinError::OffPlan);
        }
        let mut ahead = (1_u16..).zip(pieces.clone()).skip(done);
        let mut copies = VecDeque::new();
        let mut staged: Vec<PartTag> = Vec::new();
        let mut noted: Option<Instant> = None;
        for piece in &pieces[done..] {
            copies
                .extend(ahead.by_ref().take(COPIES_MAX - copies.len()).map(|(number, piece)| join.send(number, piece)));
            let copy = copies.pop_front().expect("there are as many copies as pieces");
            let both = async { tokio::join!(copy, join.hash(piece, at_bytes, sha256.clone())) };
            let copied = tokio::select! {
                biased;
                () = turn.wanted_by_another() => None,
                () = self.intake.stop.cancelled() => None,
                copied = both => Some(copied),
            };
            let Some((part, hashed)) = copied else {
                self.note(join, at_bytes, &sha256, staged).await?;
                return Ok(Tried::Over);
            };
            staged.push(part.expect("a copy neither panics nor is it aborted")?);
            sha256 = hashed?;
            at_bytes += piece.size_bytes();
            fault::point("join-part-copied");
            let is_due = noted.is_none_or(|noted| noted.elapsed() >= NOTE_EVERY);
            if is_due && join.record.length_bytes != Some(at_bytes) {
                if !self.note(join, at_bytes, &sha256, std::mem::take(&mut staged)).await? {
                    return Ok(Tried::Over);
                }
                fault::point("join-noted");
                noted = Some(Instant::now());
            }
        }
        fault::point("join-copied");
        let arrival = Arrival::of_join(at_bytes, &sha256, staged);
        let was_there = self.intake.uploads.arrive(&join.record, &arrival, Some(&sha256.hex())).await?;
        fault::point("join-complete-noted");
        Ok(if was_there { Tried::Complete } else { Tried::Over })
    }

    async fn note(
        &self,
        join: &Join,
        at_bytes: u64,
        sha256: &RunningSha256,
        staged: Vec<PartTag>,
    ) -> RecordResult<bool> {
        let arrival = Arrival::of_join(at_bytes, sha256, staged);
        self.intake.uploads.arrive(&join.record, &arrival, None).await
    }
}

// === impl Join ===

impl Join {
    /// Begins to make a part.
    fn send(self: &Arc<Self>, number: u16, piece: Piece) -> AbortOnDropHandle<Result<PartTag, StoreError>> {
        let join = Arc::clone(self);
        AbortOnDropHandle::new(tokio::spawn(async move { join.part(number, &piece).await }))
    }

    /// Has the store make a part.
    async fn part(&self, number: u16, piece: &Piece) -> Result<PartTag, StoreError> {
        if let [run] = piece.runs.as_slice() {
            let key = self.key(run);
            return self.depot.store().copy_part(&self.multipart, number, &key, run.range.clone()).await;
        }
        let size_bytes = usize::try_from(piece.size_bytes()).expect("the plan keeps such pieces short");
        let mut bytes = BytesMut::with_capacity(size_bytes);
        for run in &piece.runs {
            bytes.extend_from_slice(&self.depot.store().get_range(&self.key(run), run.range.clone()).await?);
        }
        self.depot.put_part(&self.multipart, number, bytes.freeze()).await
    }

    /// Goes on hashing with a piece that begins at `at_bytes`, as far as its hash is not known.
    async fn hash(&self, piece: &Piece, at_bytes: u64, mut sha256: RunningSha256) -> Result<RunningSha256, StoreError> {
        let mut at_bytes = at_bytes;
        for run in &piece.runs {
            let skipped_bytes = self.known_bytes.saturating_sub(at_bytes).min(run.size_bytes());
            let range = run.range.start + skipped_bytes..run.range.end;
            if !range.is_empty() {
                sha256 = hash(&self.depot, &self.key(run), range, sha256).await?;
            }
            at_bytes += run.size_bytes();
        }
        Ok(sha256)
    }

    fn key(&self, run: &Run) -> String {
        depot::source_key(&self.partials[run.source])
    }
}

/// Reads a range and hashes it, each batch while the next one is read.
async fn hash(
    depot: &Depot,
    key: &str,
    range: Range<u64>,
    mut sha256: RunningSha256,
) -> Result<RunningSha256, StoreError> {
    let mut body = depot.store().stream(key, Some(range)).await?;
    let mut hashing: Option<tokio::task::JoinHandle<RunningSha256>> = None;
    loop {
        let mut batch: Vec<Bytes> = Vec::new();
        while batch.iter().map(Bytes::len).sum::<usize>() < HASH_BYTES {
            match body.next().await {
                Some(block) => batch.push(block?),
                None => break,
            }
        }
        if let Some(task) = hashing.take() {
            sha256 = task.await.expect("hashing neither panics nor is it aborted");
        }
        if batch.is_empty() {
            return Ok(sha256);
        }
        let mut next = sha256.clone();
        hashing = Some(tokio::task::spawn_blocking(move || {
            batch.iter().for_each(|block| next.update(block));
            next
        }));
    }
}

// === impl Record ===

impl Record {
    fn as_source(&self) -> Source {
        Source { size_bytes: self.offset_bytes, part_bytes: self.part_bytes }
    }
}

// === impl Arrival ===

impl Arrival {
    fn of_join(offset_bytes: u64, sha256: &RunningSha256, parts: Vec<PartTag>) -> Self {
        Self { offset_bytes, sha256_state: sha256.save(), parts, tail: None, expires_at: None }
    }
}
