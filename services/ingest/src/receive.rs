//! Bytes on their way into the object store, with bounded memory whatever the length.
//!
//! Bytes gather until they fill a part; while parts go to the store the next one fills, so [`PARTS_HELD`] parts are the
//! most that one upload holds in memory. It has leave for each ([`crate::memory`]); where others wait it is one, and what has come of
//! it is laid in the store, as the tail is, when a slow client's turn is over. A part that the store has, and all before it, is noted in the database, and only
//! then does the offset that clients see move. What fills no part when the connection ends is stored as an object of its own, the tail, and
//! put in front of what comes next. A short upload that never fills a part becomes the source by one plain put.
//!
//! Each note is an fsync, so it is made beside the bytes that come, one at a time, and a fast upload has several parts noted
//! at once. A PUT is not noted before its end: if it breaks, nothing of it is kept.
//!
//! With a promised checksum nothing is noted before all bytes of the request are here and the checksum is right. Parts
//! that a wrong one leaves in the store are not named by any row: the next attempt replaces them, for part numbers
//! follow from the offset.
//!
//! A crash at any point leaves the row as it was, and the row is right.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use flame_object_store::{MultipartUpload, PartTag, StoreError};
use time::OffsetDateTime;
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use crate::depot::{self, Depot};
use crate::digest::{Promise, RunningSha256};
use crate::filling::{Digests, Filling};
use crate::holdings;
use crate::intake::Intake;
use crate::memory::Grant;
use crate::parts::PARTS_HELD;
use crate::record::{Origin, Record, Tail};
use crate::store::{Arrival, RecordError, Uploads};
use flame_service_host::fault;

pub use error::ReceiveError;

mod error;

/// Parts are noted at most this often while bytes come, so a crash costs a fast client that much more to send again.
const NOTE_EVERY: Duration = Duration::from_millis(100);

/// Takes in the bytes of one upload, from one connection.
#[derive(Debug)]
pub struct Receiver {
    intake: Intake,
    uploads: Uploads,
    depot: Depot,
    record: Record,
    /// Whether the request's bytes have been promised a checksum that is not yet known to be right.
    is_promised: bool,
    max_bytes: u64,
    /// Without a length: where the tenant's quota ends, as it was when this connection began. The exact bound is kept when the
    /// bytes are noted; this one keeps the rest of a body from being stored for nothing.
    quota_end_bytes: Option<u64>,
    /// Time that an unfinished upload has from its last byte on.
    life: Duration,
    /// Bytes taken in, acknowledged or not.
    total_bytes: u64,
    /// Bytes that fill no part yet.
    filling: Filling,
    /// Where those are while they are not in memory: the upload's tail, or what was laid away.
    away: Option<Tail>,
    /// Leave to hold the part that fills; none while nothing has come for one.
    grant: Option<Grant>,
    /// Leave to hold further parts.
    ahead: Vec<Grant>,
    multipart: Option<MultipartUpload>,
    next_part: u16,
    /// Oldest first.
    in_flight: VecDeque<InFlight>,
    /// The memory of a part that has arrived, for the next one: fresh pages cost more than what is written to them.
    spare: Option<BytesMut>,
    /// Parts that the store has and no row names: the checksum is not yet known to be right, or they are to be noted
    /// with the next.
    staged: Vec<PartTag>,
    /// The note being made.
    noting: Option<Noting>,
    /// When a note was begun last.
    noted: Option<Instant>,
}

/// A note of parts that the store has, on its way to the disk.
#[derive(Debug)]
struct Noting {
    /// Whether the upload was still there.
    task: JoinHandle<Result<bool, RecordError>>,
    offset_bytes: u64,
}

/// A part on its way to the store.
#[derive(Debug)]
struct InFlight {
    task: AbortOnDropHandle<Result<PartTag, StoreError>>,
    bytes: Bytes,
    /// What may be acknowledged once it is there.
    end_bytes: u64,
    sha256_state: Vec<u8>,
}

/// Where an upload stands when a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Bytes acknowledged.
    pub offset_bytes: u64,
    /// Whether that is all of it.
    pub complete: bool,
}

// === impl Receiver ===

impl Receiver {
    /// Goes on with `record` where it stands.
    pub async fn open(intake: &Intake, record: Record, promise: Option<Promise>) -> Result<Self, ReceiveError> {
        let Intake { uploads, depot, limits, .. } = intake.clone();
        let sha256 = RunningSha256::resume(record.sha256_state.as_deref())?;
        let tail_bytes = record.tail.as_ref().map_or(0, |tail| tail.size_bytes);
        // What a promised length takes of the tenant's quota was looked at when it was promised.
        let quota_end_bytes = match record.length_bytes {
            Some(_) => None,
            None => quota_end_bytes(&uploads, &record).await?,
        };
        let is_promised = promise.is_some();
        let whole_parts = (record.offset_bytes - tail_bytes) / record.part_bytes;
        let next_part = u16::try_from(whole_parts + 1).expect("part_bytes keeps every upload below 10,000 parts");
        let multipart = depot::multipart(&record);
        let (total_bytes, away) = (record.offset_bytes, record.tail.clone());
        Ok(Self {
            intake: intake.clone(),
            uploads,
            depot,
            record,
            is_promised,
            max_bytes: limits.max_upload.0,
            quota_end_bytes,
            life: limits.expiry.0,
            total_bytes,
            filling: Filling::new(BytesMut::new(), Digests { sha256, promise }),
            away,
            grant: None,
            ahead: Vec::new(),
            multipart,
            next_part,
            in_flight: VecDeque::new(),
            spare: None,
            staged: Vec::new(),
            noting: None,
            noted: None,
        })
    }

    /// Bytes taken in so far, acknowledged or not.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Waits for the memory that the next bytes need, unless it is there. May be given up while it waits.
    ///
    /// # Errors
    /// [`ReceiveError::NoMemory`] after `limits.idle`; the store's, where what was laid away cannot be read.
    pub async fn make_ready(&mut self) -> Result<(), ReceiveError> {
        if self.grant.is_some() {
            return Ok(());
        }
        let begins_at_bytes = self.total_bytes - self.away.as_ref().map_or(0, |tail| tail.size_bytes);
        let wanted = self.intake.memory.take(
            &self.record.tenant,
            part_size_bytes(&self.record, begins_at_bytes),
            self.intake.limits.idle.0,
        );
        let grant = wanted.await?;
        let mut memory = room(&self.record, begins_at_bytes);
        if let Some(tail) = &self.away {
            memory.extend_from_slice(&self.depot.tail(tail).await?);
        }
        self.filling.resume(memory);
        self.grant = Some(grant);
        // The tail that the row names stays until another one is named.
        let read = self.away.take().filter(|read| self.record.tail.as_ref().is_none_or(|tail| tail.key != read.key));
        if let Some(read) = read {
            self.depot.drop_tail(&read).await;
        }
        Ok(())
    }

    /// Ends when others need the memory that this upload holds, and it has had its turn; then it is to be
    /// [put away](Self::put_away). Not before a last step for which everything has come.
    pub async fn memory_wanted(&self) {
        match &self.grant {
            Some(grant) if self.record.length_bytes != Some(self.total_bytes) => grant.wanted().await,
            Some(_) | None => std::future::pending().await,
        }
    }

    /// Lays what fills no part in the store and gives all memory back. Nothing is acknowledged by that; with the next bytes it is
    /// read again.
    ///
    /// # Errors
    /// The store's; what was not acknowledged is lost then.
    pub async fn put_away(&mut self) -> Result<(), ReceiveError> {
        let put = self.lay_away().await;
        self.leave_nothing_behind(put).await
    }

    async fn lay_away(&mut self) -> Result<(), ReceiveError> {
        self.settle_all().await?;
        self.filling.digests().await;
        let bytes = self.filling.replace(BytesMut::new());
        if !bytes.is_empty() {
            self.away = Some(self.depot.put_tail(&self.record, self.total_bytes, bytes).await?);
        }
        (self.spare, self.grant) = (None, None);
        self.ahead.clear();
        Ok(())
    }

    /// Takes in more bytes. It waits while all parts that it may hold are full, so a client sends no faster than the store takes.
    pub async fn push(&mut self, bytes: Bytes) -> Result<(), ReceiveError> {
        let taken = self.take(bytes).await;
        self.leave_nothing_behind(taken).await
    }

    async fn take(&mut self, mut bytes: Bytes) -> Result<(), ReceiveError> {
        let total_bytes = self.total_bytes + bytes.len() as u64;
        if let Some(length_bytes) = self.record.length_bytes
            && total_bytes > length_bytes
        {
            return Err(ReceiveError::TooLong { length_bytes });
        }
        if total_bytes > self.max_bytes {
            return Err(ReceiveError::TooLarge { max_bytes: self.max_bytes });
        }
        if self.quota_end_bytes.is_some_and(|end| total_bytes > end) && !self.has_room_now(total_bytes).await? {
            return Err(ReceiveError::Quota);
        }
        self.make_ready().await?;
        let part_bytes = usize::try_from(self.record.part_bytes).expect("a part fits into memory");
        while !bytes.is_empty() {
            let room = part_bytes - self.filling.size_bytes();
            let piece = bytes.split_to(room.min(bytes.len()));
            self.total_bytes += piece.len() as u64;
            self.filling.push(&piece).await;
            if let Some(grant) = &self.grant {
                grant.brought(piece.len() as u64);
            }
            if self.filling.size_bytes() == part_bytes {
                self.ship().await?;
            }
        }
        Ok(())
    }

    /// Whether the tenant has room for so many bytes of this upload, now that what it holds was looked at again.
    async fn has_room_now(&mut self, total_bytes: u64) -> Result<bool, ReceiveError> {
        self.end_note().await?;
        holdings::look_for(&self.intake, &self.record.tenant).await?;
        self.quota_end_bytes = quota_end_bytes(&self.uploads, &self.record).await?;
        Ok(self.quota_end_bytes.is_none_or(|end| total_bytes <= end))
    }

    /// Ends the connection's bytes: all of them (`whole`), or as many as came before it broke. What came is stored and
    /// acknowledged; with the last byte the upload's processing begins.
    pub async fn close(mut self, whole: bool) -> Result<Received, ReceiveError> {
        if self.is_promised {
            if !whole {
                // What cannot be verified is not kept.
                return Ok(Received { offset_bytes: self.record.offset_bytes, complete: false });
            }
            let promise = self.filling.digests().await.promise.take();
            if promise.is_some_and(|promise| !promise.is_kept()) {
                return Err(ReceiveError::Checksum);
            }
            self.is_promised = false;
        }
        let complete = match self.record.length_bytes {
            Some(length_bytes) => self.total_bytes == length_bytes,
            None => whole && self.record.origin != Origin::Tus,
        };
        let closed = if complete { self.finish().await } else { self.pause().await };
        self.leave_nothing_behind(closed).await
    }

    /// After a failure whoever comes next reads from the row where to go on: no note may come after that.
    async fn leave_nothing_behind<T>(&mut self, outcome: Result<T, ReceiveError>) -> Result<T, ReceiveError> {
        if outcome.is_err()
            && let Err(error) = self.end_note().await
        {
            tracing::debug!(error = &error as &dyn std::error::Error, "a note failed after something else had");
        }
        outcome
    }

    /// Sends a full part on its way; enough of those before must have arrived.
    async fn ship(&mut self) -> Result<(), ReceiveError> {
        while self.in_flight.len() + 1 >= PARTS_HELD {
            self.settle().await?;
        }
        let multipart = self.multipart().await?;
        let sha256_state = self.filling.digests().await.sha256.save();
        let bytes = self.filling.replace(BytesMut::new());
        self.send(multipart, bytes, sha256_state);
        if self.ahead.len() < self.in_flight.len() && self.record.length_bytes != Some(self.total_bytes) {
            let size_bytes = part_size_bytes(&self.record, self.total_bytes);
            match self.intake.memory.more(&self.record.tenant, size_bytes) {
                Some(grant) => self.ahead.push(grant),
                // Others wait: the next part fills once this one is stored, in the same memory.
                None => self.settle_all().await?,
            }
        }
        let next = self.spare.take().unwrap_or_else(|| room(&self.record, self.total_bytes));
        self.filling.resume(next);
        Ok(())
    }

    /// Sends the next part on its way.
    fn send(&mut self, multipart: MultipartUpload, bytes: Bytes, sha256_state: Vec<u8>) {
        let number = self.next_part;
        self.next_part += 1;
        let (depot, sent) = (self.depot.clone(), bytes.clone());
        let task = tokio::spawn(async move { depot.put_part(&multipart, number, sent).await });
        let (task, end_bytes) = (AbortOnDropHandle::new(task), self.total_bytes);
        self.in_flight.push_back(InFlight { task, bytes, end_bytes, sha256_state });
    }

    /// Waits for all parts on their way.
    async fn settle_all(&mut self) -> Result<(), ReceiveError> {
        while !self.in_flight.is_empty() {
            self.settle().await?;
        }
        Ok(())
    }

    /// Waits for the oldest part on its way, and begins to acknowledge it with those before it, unless a checksum is still
    /// to come, nothing is to be noted before the end, or something was acknowledged just now.
    async fn settle(&mut self) -> Result<(), ReceiveError> {
        let Some(InFlight { task, bytes, end_bytes, sha256_state }) = self.in_flight.pop_front() else {
            return Ok(());
        };
        let part = task.await.expect("the task is neither aborted nor does it panic")?;
        // Unless the client of the store still holds it.
        if let Ok(mut memory) = bytes.try_into_mut() {
            memory.clear();
            self.spare = Some(memory);
        }
        self.staged.push(part);
        fault::point("part-stored");
        // The last byte is acknowledged together with the stage that it leads to, by `finish`.
        let last = self.record.length_bytes == Some(end_bytes);
        let may_note = !self.is_promised && !last && self.record.origin != Origin::Put;
        let is_due = self.noted.is_none_or(|noted| noted.elapsed() >= NOTE_EVERY);
        if may_note && is_due && self.noting.as_ref().is_none_or(|noting| noting.task.is_finished()) {
            self.end_note().await?;
            self.begin_note(end_bytes, sha256_state);
        }
        Ok(())
    }

    /// Notes the parts that the store has, beside the bytes that come.
    fn begin_note(&mut self, offset_bytes: u64, sha256_state: Vec<u8>) {
        let arrival = self.arrival(offset_bytes, sha256_state, None);
        let (uploads, record) = (self.uploads.clone(), self.record.clone());
        let task = tokio::spawn(async move { uploads.arrive(&record, &arrival, None).await });
        self.noting = Some(Noting { task, offset_bytes });
        self.noted = Some(Instant::now());
    }

    /// Waits for the note being made.
    async fn end_note(&mut self) -> Result<(), ReceiveError> {
        let Some(Noting { task, offset_bytes }) = self.noting.take() else { return Ok(()) };
        let was_there = task.await.expect("the task is neither aborted nor does it panic")?;
        self.arrived(was_there, offset_bytes, None).await
    }

    /// Stores what fills no part and acknowledges everything.
    async fn pause(&mut self) -> Result<Received, ReceiveError> {
        self.settle_all().await?;
        self.end_note().await?;
        if self.total_bytes > self.record.offset_bytes || !self.staged.is_empty() {
            let sha256_state = self.filling.digests().await.sha256.save();
            let bytes = self.filling.replace(BytesMut::new());
            let tail = match bytes.is_empty() {
                // What was laid away is the tail.
                true => self.away.take(),
                false => Some(self.depot.put_tail(&self.record, self.total_bytes, bytes).await?),
            };
            fault::point("tail-stored");
            self.arrive(self.total_bytes, sha256_state, tail, None).await?;
        }
        Ok(Received { offset_bytes: self.total_bytes, complete: false })
    }

    /// Stores the last bytes and hands the upload over to be processed.
    async fn finish(&mut self) -> Result<Received, ReceiveError> {
        if self.away.is_some() {
            self.make_ready().await?;
        }
        let digests = self.filling.digests().await;
        let (sha256, sha256_state) = (digests.sha256.hex(), digests.sha256.save());
        let bytes = self.filling.replace(BytesMut::new());
        if !bytes.is_empty() {
            if self.next_part == 1 {
                self.depot.put_whole(&self.record, bytes).await?;
            } else {
                let multipart = self.multipart().await?;
                self.send(multipart, bytes, sha256_state.clone());
            }
        }
        self.settle_all().await?;
        self.end_note().await?;
        fault::point("last-part-stored");
        // A part of another upload is complete, and becomes nothing by itself.
        let sha256 = (!self.record.is_partial()).then_some(sha256.as_str());
        self.arrive(self.total_bytes, sha256_state, None, sha256).await?;
        fault::point("complete-noted");
        Ok(Received { offset_bytes: self.total_bytes, complete: true })
    }

    async fn arrive(
        &mut self,
        offset_bytes: u64,
        sha256_state: Vec<u8>,
        tail: Option<Tail>,
        sha256: Option<&str>,
    ) -> Result<(), ReceiveError> {
        let arrival = self.arrival(offset_bytes, sha256_state, tail.clone());
        let was_there = self.uploads.arrive(&self.record, &arrival, sha256).await?;
        self.arrived(was_there, offset_bytes, tail).await
    }

    fn arrival(&mut self, offset_bytes: u64, sha256_state: Vec<u8>, tail: Option<Tail>) -> Arrival {
        let parts = std::mem::take(&mut self.staged);
        let expires_at = self.record.expires_at.map(|_| OffsetDateTime::now_utc() + self.life);
        Arrival { offset_bytes, sha256_state, parts, tail, expires_at }
    }

    /// What follows from a note.
    async fn arrived(&mut self, was_there: bool, offset_bytes: u64, tail: Option<Tail>) -> Result<(), ReceiveError> {
        if !was_there {
            return Err(ReceiveError::Ended);
        }
        let old = std::mem::replace(&mut self.record.tail, tail);
        if let Some(old) = old.filter(|old| self.record.tail.as_ref().is_none_or(|new| new.key != old.key)) {
            self.depot.drop_tail(&old).await;
        }
        self.record.offset_bytes = offset_bytes;
        Ok(())
    }

    async fn multipart(&mut self) -> Result<MultipartUpload, ReceiveError> {
        if let Some(multipart) = &self.multipart {
            return Ok(multipart.clone());
        }
        let multipart = self.depot.begin(&self.record).await?;
        fault::point("multipart-begun");
        if !self.uploads.set_multipart(self.record.id, &multipart.id).await? {
            self.depot.store().abort_multipart(&multipart).await?;
            return Err(ReceiveError::Ended);
        }
        self.record.multipart_id = Some(multipart.id.clone());
        self.multipart = Some(multipart.clone());
        Ok(multipart)
    }
}

/// Memory for the part that begins at `offset_bytes`.
fn room(record: &Record, offset_bytes: u64) -> BytesMut {
    Filling::room(usize::try_from(part_size_bytes(record, offset_bytes)).expect("a part fits into memory"))
}

/// The most that the part that begins at `offset_bytes` can have.
fn part_size_bytes(record: &Record, offset_bytes: u64) -> u64 {
    record.part_bytes.min(record.length_bytes.map_or(u64::MAX, |length| length.saturating_sub(offset_bytes)))
}

/// Where an upload ends for want of room, as its tenant stands now.
async fn quota_end_bytes(uploads: &Uploads, record: &Record) -> Result<Option<u64>, RecordError> {
    Ok(uploads.room_bytes(&record.tenant).await?.map(|room| record.offset_bytes.saturating_add(room)))
}
