//! One request to transcode: the source's segments while they come, and the renditions' while they are made.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use flame_api::client::ClientError;
use flame_api::live::{LadderTracks, NewLadder, RUNGS_MAX};
use flame_cmaf::chunks::CHUNK_SIZE_MAX_BYTES;
use flame_cmaf::relay::{Message, Messages, RelayError};
use futures_util::stream::{self, BoxStream, unfold};
use futures_util::{Stream, StreamExt};
use thiserror::Error;
use tokio::time::timeout;

use super::{Party, named};
use crate::live::packager::Track;
use crate::live::publisher::Way;
use crate::live::queue::{Dropped, Queue, Segment, Sent};

/// The most octets of a message: a chunk, and the boxes around its samples.
const MESSAGE_MAX_BYTES: usize = CHUNK_SIZE_MAX_BYTES + (1 << 20);

/// How often it is looked whether something is overdue, in the time after which it is.
const LOOKS: u32 = 8;

/// Why there is no ladder, or no more.
#[derive(Debug, Error)]
pub(super) enum LadderError {
    /// The encoder brings variants of its own.
    #[error("the encoder sends several renditions itself")]
    Several,
    /// A rendition and a track of the encoder have one name.
    #[error("the encoder calls a track {0:?}, as a rung is called")]
    Name(String),
    /// Another encoder has the channel.
    #[error("another encoder has the channel")]
    Aside,
    /// Transcode could not be asked, or says no.
    #[error("transcode makes no ladder")]
    Client(#[source] Box<ClientError>),
    /// It did not answer in time.
    #[error("transcode did not begin within {} s", .0.as_secs())]
    Late(std::time::Duration),
    /// The answer broke off.
    #[error("transcode broke off")]
    Broken(#[source] reqwest::Error),
    /// The answer ended while there was more to do.
    #[error("transcode ended its answer too early")]
    Early,
    /// Nothing comes of what was sent.
    #[error("transcode has made nothing for {} s of what was sent", .0.as_secs())]
    Stuck(std::time::Duration),
    /// What it answered is no ladder.
    #[error("transcode answered something else: {0}")]
    Answer(String),
    /// Its messages.
    #[error(transparent)]
    Relay(#[from] RelayError),
}

/// See the module. Dropping it ends the request.
pub(super) struct Session {
    tracks: Vec<Track>,
    feed: Arc<Queue>,
    messages: Messages,
    octets: BoxStream<'static, reqwest::Result<Bytes>>,
}

/// What of a queue is being sent.
struct Sending {
    queue: Arc<Queue>,
    segment: Option<(Arc<Segment>, Chunks)>,
}

type Chunks = Pin<Box<dyn Stream<Item = Result<Sent, Dropped>> + Send>>;

// === impl LadderError ===

impl LadderError {
    /// Whether trying again gives the same.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Several | Self::Name(_) | Self::Aside => true,
            Self::Client(error) => matches!(error.status(), Some(400 | 422)),
            Self::Late(_) | Self::Broken(_) | Self::Early | Self::Stuck(_) | Self::Answer(_) | Self::Relay(_) => false,
        }
    }

    /// A word for `/metrics`.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Several | Self::Name(_) => "variants",
            Self::Aside => "standby",
            Self::Client(_) if self.is_final() => "refused",
            Self::Client(_) | Self::Late(_) => "away",
            Self::Stuck(_) => "stuck",
            Self::Broken(_) | Self::Early | Self::Answer(_) | Self::Relay(_) => "broken",
        }
    }
}

// === impl Session ===

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("tracks", &self.tracks).finish_non_exhaustive()
    }
}

impl Session {
    /// Begins one that sends what comes into `feed`; returned once transcode has said what it makes.
    ///
    /// # Errors
    /// [`LadderError`].
    pub(super) async fn open(
        way: &Way,
        wanted: &NewLadder,
        init: &Bytes,
        feed: &Arc<Queue>,
    ) -> Result<Self, LadderError> {
        let patience = way.ladder.patience.0;
        match timeout(patience, Self::begin(way, wanted, init, feed)).await {
            Ok(begun) => begun,
            Err(_) => Err(LadderError::Late(patience)),
        }
    }

    async fn begin(way: &Way, wanted: &NewLadder, init: &Bytes, feed: &Arc<Queue>) -> Result<Self, LadderError> {
        let json = serde_json::to_vec(wanted).map_err(|error| LadderError::Answer(error.to_string()))?;
        let opening = [Message::Head(json.into()), Message::Init { track: 0, bytes: init.clone() }];
        let opening = stream::iter(opening.map(|message| Ok::<_, Infallible>(message.encode())));
        let body = reqwest::Body::wrap_stream(opening.chain(segments(Arc::clone(feed))));
        let answer = way.client.climb(body).await.map_err(|error| LadderError::Client(Box::new(error)))?;
        let (messages, octets) = (Messages::new(MESSAGE_MAX_BYTES), answer.bytes_stream().boxed());
        let mut session = Self { tracks: Vec::new(), feed: Arc::clone(feed), messages, octets };
        let other = |what: &str| LadderError::Answer(what.to_owned());
        let Some(Message::Head(json)) = session.next().await? else { return Err(other("no description")) };
        let described: LadderTracks = serde_json::from_slice(&json).map_err(|error| other(&error.to_string()))?;
        if described.tracks.is_empty() || described.tracks.len() > RUNGS_MAX {
            return Err(other("no renditions, or too many"));
        }
        for live in described.tracks {
            let Some(Message::Init { bytes, .. }) = session.next().await? else { return Err(other("no init segment")) };
            session.tracks.push(Track { name: named(&live.name), live, init: bytes });
        }
        Ok(session)
    }

    /// What is made.
    pub(super) fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// Where it takes the source from.
    pub(super) fn feed(&self) -> Arc<Queue> {
        Arc::clone(&self.feed)
    }

    /// Brings what is made to the tracks' queues until all is made; `party` hears of each segment that all have, once the slowest has it.
    ///
    /// # Errors
    /// [`LadderError`], where it breaks off.
    pub(super) async fn relay(&mut self, lanes: &[Arc<Queue>], party: &Party) -> Result<(), LadderError> {
        let mut under_way = vec![None; lanes.len()];
        // How many segments each has, and all have.
        let (mut had, mut all_had) = (vec![0_u64; lanes.len()], 0);
        while let Some(message) = self.owed(party).await? {
            party.came();
            let (track, number, bytes, ends) = match message {
                Message::Chunk { track, number, bytes } => (track, number, bytes, false),
                Message::End { track, number } => (track, number, Bytes::new(), true),
                Message::Head(_) | Message::Init { .. } => {
                    return Err(LadderError::Answer("another description".to_owned()));
                }
            };
            let at = usize::from(track);
            let (Some(lane), Some(current)) = (lanes.get(at), under_way.get_mut(at)) else {
                return Err(LadderError::Answer(format!("a rendition {track} that was not announced")));
            };
            let begins = *current != Some(number);
            // An end of what never began.
            if ends && begins {
                continue;
            }
            let dropped = lane.take(number, Sent { bytes, whole_at: Instant::now() }, begins, ends);
            party.way.figures.dropped_segments.inc_by(dropped);
            *current = (!ends).then_some(number);
            had[at] += u64::from(ends);
            let slowest = had.iter().copied().min().unwrap_or(0);
            if slowest > all_had {
                all_had = slowest;
                party.made(number);
            }
        }
        if self.feed.is_closed() { Ok(()) } else { Err(LadderError::Early) }
    }

    /// The next message, unless it is overdue: a process that hangs does not end by itself.
    async fn owed(&mut self, party: &Party) -> Result<Option<Message>, LadderError> {
        let stuck = party.way.ladder.stuck.0;
        loop {
            match timeout(stuck / LOOKS, self.next()).await {
                Ok(next) => return next,
                Err(_) if party.owed_for() > stuck => return Err(LadderError::Stuck(stuck)),
                Err(_) => {}
            }
        }
    }

    async fn next(&mut self) -> Result<Option<Message>, LadderError> {
        loop {
            if let Some(message) = self.messages.message()? {
                return Ok(Some(message));
            }
            match self.octets.next().await {
                Some(octets) => self.messages.push(&octets.map_err(LadderError::Broken)?),
                None => {
                    self.messages.end()?;
                    return Ok(None);
                }
            }
        }
    }
}

/// The segments of a queue as messages, each chunk as soon as it is there, until the queue is closed.
fn segments(queue: Arc<Queue>) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    unfold(Sending { queue, segment: None }, |mut sending| async move {
        loop {
            let Some((segment, chunks)) = &mut sending.segment else {
                let oldest = sending.queue.oldest().await?;
                let chunks: Chunks = Box::pin(oldest.chunks());
                sending.segment = Some((oldest, chunks));
                continue;
            };
            let number = segment.number;
            let message = match chunks.next().await {
                Some(Ok(sent)) => Message::Chunk { track: 0, number, bytes: sent.bytes },
                // It is not in the queue any more; who reads sees that another one follows.
                Some(Err(Dropped { .. })) => {
                    sending.segment = None;
                    continue;
                }
                None => {
                    sending.queue.done(segment);
                    sending.segment = None;
                    Message::End { track: 0, number }
                }
            };
            return Some((Ok(message.encode()), sending));
        }
    })
}
