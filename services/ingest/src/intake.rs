//! How every upload begins and how its bytes are taken in, whichever door they come through.
//!
//! The work is done in a task of the service's own, not in the request: when a connection dies, its request is dropped,
//! but what arrived must still be stored. The request only hands pieces over, through a channel of
//! [`PIECES_WAITING`], and says at the end whether the body was whole. Silence is a broken connection, never an end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use time::OffsetDateTime;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::concat::Concat;
use crate::config::Limits;
use crate::depot::Depot;
use crate::digest::{Promise, RunningSha256};
use crate::holdings::{self, Looks};
use crate::labels::Labels;
use crate::memory::Memory;
use crate::parts::part_bytes;
use crate::receive::{ReceiveError, Received, Receiver};
use crate::record::{Origin, Record, Stage};
use crate::store::{JoinRefusal, RecordResult, Uploads};
use crate::writers::{Turn, Writers};

/// Pieces of a body (each what one read of a socket gave) between a request and its task.
const PIECES_WAITING: usize = 2;
/// How long a newcomer waits for the one who writes to store what it has.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What all doors share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Intake {
    /// What is known of every upload.
    pub uploads: Uploads,
    /// Where the bytes go.
    pub depot: Depot,
    /// Who may write.
    pub writers: Writers,
    /// What bounds everything.
    pub limits: Limits,
    /// Wakes the processing.
    pub processing: Arc<Notify>,
    /// Wakes the pulls.
    pub pulls: Arc<Notify>,
    /// Wakes the joins.
    pub joins: Arc<Notify>,
    /// Bodies being taken in; the service's stop waits for them.
    pub tasks: TaskTracker,
    /// The service stops.
    pub stop: CancellationToken,
    /// Whoever looks at what tenants hold.
    pub looks: Looks,
    /// What all bytes on their way to the store may take.
    pub memory: Memory,
}

/// A new upload.
#[derive(Debug)]
pub struct Announcement {
    /// Who owns it.
    pub tenant: String,
    /// How its bytes come.
    pub origin: Origin,
    /// Its length, if it is known.
    pub length_bytes: Option<u64>,
    /// What the uploader says about it.
    pub labels: Labels,
    /// Where a pull comes from.
    pub url: Option<String>,
    /// Whether it is a part of another one, or made of such.
    pub concat: Option<Concat>,
}

/// How the bytes of a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The body was whole.
    Whole,
    /// The connection broke.
    Broken,
    /// Nothing came for too long.
    Idle,
    /// Another connection goes on with the upload.
    Displaced,
    /// The service stops.
    Stopping,
}

enum Piece {
    Bytes(Bytes),
    End(End),
}

// === impl Intake ===

impl Intake {
    /// An intake into `uploads` and `depot`.
    #[must_use]
    pub fn new(uploads: Uploads, depot: Depot, limits: Limits, stop: CancellationToken) -> Self {
        Self {
            uploads,
            depot,
            writers: Writers::default(),
            limits,
            processing: Arc::default(),
            pulls: Arc::default(),
            joins: Arc::default(),
            tasks: TaskTracker::new(),
            stop,
            looks: Looks::default(),
            memory: Memory::new(limits.receive_memory.0, limits.memory_turn.0),
        }
    }

    /// Begins an upload. One of no bytes is complete at once.
    pub async fn announce(&self, announcement: Announcement) -> RecordResult<Record> {
        let record = self.record(announcement);
        if let Err(refused) = self.uploads.insert(&record).await {
            holdings::make_room(self, &record.tenant, refused).await?;
            self.uploads.insert(&record).await?;
        }
        if record.is_complete() {
            self.processing.notify_one();
        }
        Ok(record)
    }

    /// Begins an upload that is made of partial ones, in this order. The same list again gives the same upload.
    pub async fn announce_final(
        &self,
        announcement: Announcement,
        partials: &[Uuid],
    ) -> RecordResult<Result<Record, JoinRefusal>> {
        let (tenant, max_bytes) = (announcement.tenant.clone(), self.limits.max_upload.0);
        let record_of = |length_bytes| self.record(Announcement { length_bytes: Some(length_bytes), ..announcement });
        let added = self.uploads.insert_final(&tenant, partials, max_bytes, record_of).await?;
        self.joins.notify_one();
        self.processing.notify_one();
        Ok(added)
    }

    /// The row of a new upload.
    fn record(&self, announcement: Announcement) -> Record {
        let Announcement { tenant, origin, length_bytes, labels, url, concat } = announcement;
        // A partial upload of no bytes is complete too, but there is nothing to do about it.
        let empty = length_bytes == Some(0) && concat != Some(Concat::Partial);
        let expires = origin == Origin::Tus && !empty && !matches!(concat, Some(Concat::Final(_)));
        let now = OffsetDateTime::now_utc();
        Record {
            id: Uuid::now_v7(),
            tenant,
            origin,
            stage: if empty { Stage::Assemble } else { Stage::Receiving },
            attempts: 0,
            looks: 0,
            offset_bytes: 0,
            length_bytes,
            part_bytes: part_bytes(self.limits.part.0, length_bytes.unwrap_or(self.limits.max_upload.0)),
            labels,
            url,
            validator: None,
            multipart_id: None,
            tail: None,
            sha256_state: None,
            sha256: empty.then(|| RunningSha256::default().hex()),
            concat,
            probe: None,
            poster_key: None,
            duplicate_of: None,
            asset_id: None,
            job_id: None,
            error: None,
            created_at: now,
            expires_at: expires.then(|| now + self.limits.expiry.0),
        }
    }

    /// Takes in a body. What came is stored and acknowledged, however the connection ends, also when the caller of this
    /// is dropped.
    pub async fn take_in<S, E>(
        &self,
        turn: Turn,
        record: Record,
        promise: Option<Promise>,
        body: S,
    ) -> Result<(Received, End), ReceiveError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::fmt::Display,
    {
        let (pieces, arriving) = mpsc::channel(PIECES_WAITING);
        let task = self.tasks.spawn(self.clone().run(turn, record, promise, arriving));
        hand_over(body, pieces, self.limits.idle.0).await;
        task.await.expect("the task is neither aborted nor does it panic")
    }

    async fn run(
        self,
        turn: Turn,
        record: Record,
        promise: Option<Promise>,
        pieces: mpsc::Receiver<Piece>,
    ) -> Result<(Received, End), ReceiveError> {
        let (id, origin) = (record.id, record.origin);
        let taken = self.receive(&turn, record, promise, pieces).await;
        let complete = matches!(taken, Ok((Received { complete: true, .. }, _)));
        if complete {
            self.processing.notify_one();
        } else if origin == Origin::Put {
            // Nobody can go on with it.
            let reason = taken.as_ref().map_or_else(ToString::to_string, |(_, end)| end.to_string());
            if let Err(error) = self.end(id, Stage::Receiving, &reason).await {
                tracing::warn!(%error, %id, "a cut upload is cleaned up at the next start");
            }
        }
        drop(turn);
        taken
    }

    async fn receive(
        &self,
        turn: &Turn,
        record: Record,
        promise: Option<Promise>,
        mut pieces: mpsc::Receiver<Piece>,
    ) -> Result<(Received, End), ReceiveError> {
        let mut receiver = Receiver::open(self, record, promise).await?;
        let end = loop {
            let piece = tokio::select! {
                biased;
                () = turn.wanted_by_another() => break End::Displaced,
                () = self.stop.cancelled() => break End::Stopping,
                () = receiver.memory_wanted() => {
                    receiver.put_away().await?;
                    continue;
                }
                piece = pieces.recv() => piece,
            };
            match piece {
                Some(Piece::Bytes(bytes)) => {
                    let ready = tokio::select! {
                        biased;
                        () = turn.wanted_by_another() => break End::Displaced,
                        () = self.stop.cancelled() => break End::Stopping,
                        ready = receiver.make_ready() => ready,
                    };
                    let taken = match ready {
                        Ok(()) => receiver.push(bytes).await,
                        Err(error) => Err(error),
                    };
                    if let Err(error) = taken {
                        // What came before is stored, if it can be: the client need not send it again.
                        let is_whole_before = matches!(
                            error,
                            ReceiveError::TooLong { .. } | ReceiveError::TooLarge { .. } | ReceiveError::NoMemory(_)
                        );
                        if is_whole_before {
                            receiver.close(false).await?;
                        }
                        return Err(error);
                    }
                }
                Some(Piece::End(end)) => break end,
                None => break End::Broken,
            }
        };
        Ok((receiver.close(end == End::Whole).await?, end))
    }

    /// Ends an upload: what is stored of it is deleted soon. `false` if it was no longer in `from`.
    pub async fn end(&self, id: Uuid, from: Stage, reason: &str) -> RecordResult<bool> {
        let ended = self.uploads.give_up(id, from, Stage::Ending, reason).await?;
        self.processing.notify_one();
        Ok(ended)
    }
}

/// Hands a body over, piece by piece, until it ends or nobody takes it any more.
async fn hand_over<S, E>(mut body: S, pieces: mpsc::Sender<Piece>, idle: Duration)
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: std::fmt::Display,
{
    loop {
        let next = tokio::select! {
            next = tokio::time::timeout(idle, body.next()) => next,
            // The receiver has failed, or somebody else goes on.
            () = pieces.closed() => return,
        };
        let piece = match next {
            Ok(Some(Ok(bytes))) => Piece::Bytes(bytes),
            Ok(Some(Err(error))) => {
                tracing::debug!(%error, "a body broke off");
                Piece::End(End::Broken)
            }
            Ok(None) => Piece::End(End::Whole),
            Err(_elapsed) => Piece::End(End::Idle),
        };
        let last = matches!(piece, Piece::End(_));
        if pieces.send(piece).await.is_err() || last {
            return;
        }
    }
}

// === impl End ===

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Whole => "the body was whole",
            Self::Broken => "the connection broke before the body was whole",
            Self::Idle => "nothing came for too long",
            Self::Displaced => "another connection goes on with this upload",
            Self::Stopping => "the service stops",
        })
    }
}
