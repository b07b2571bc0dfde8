//! The way to streaming: one publication, one request a segment of a track, sent while it is made.
//!
//! Each track has a queue and a task that sends its segments in order. What fails for a moment is sent again from the
//! segment's first chunk (streaming takes nothing twice); when it has failed for too long, or streaming says no, the task
//! ends and says why. It never tells the encoder anything: who owns a publication does.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use flame_api::Client;
use flame_api::client::ClientError;
use flame_api::live::{Publication, Taken};
use flame_cmaf::Chunk;
use flame_service_host::problem::chain;
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::figures::Figures;
use super::key::StreamKey;
use super::packager::Track;
use super::queue::{Bound, Queue, Segment};
use crate::config::LadderConfig;
use crate::retry;

/// Longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How streaming is spoken to.
#[derive(Debug, Clone)]
pub struct Way {
    /// The client of the service.
    pub client: Client,
    /// Bound of each track's queue.
    pub bound: Bound,
    /// How long streaming may be away.
    pub patience: Duration,
    /// How long an answer may take once all of a request is sent.
    pub answer_timeout: Duration,
    /// What bounds ladders.
    pub ladder: LadderConfig,
    /// What is counted.
    pub figures: Figures,
}

/// How other services are reached, from every door.
#[derive(Debug, Clone)]
pub struct Reach {
    /// The client of the service.
    pub client: Client,
    /// What bounds ladders.
    pub ladder: LadderConfig,
}

/// A publication under way. Dropping it stops the sending.
pub struct Publisher {
    way: Way,
    publication: Publication,
    lanes: Vec<(Cow<'static, str>, Arc<Queue>)>,
    /// What became of the last segment that streaming took.
    taken: watch::Sender<Option<Taken>>,
    tasks: JoinSet<Ended>,
}

/// How the sending of a track ended, and whether it is one that is made of what the encoder sends.
struct Ended {
    track: Cow<'static, str>,
    is_rendition: bool,
    sent: Result<(), Lost>,
}

/// Why a publication does not go on.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// Streaming does not know it, or has given its channel to another encoder.
    #[error("streaming does not take the publication any more")]
    Gone(#[source] Box<ClientError>),
    /// Streaming was away for too long.
    #[error("streaming was away for {} s", .patience.as_secs())]
    Away {
        /// How long it was waited for.
        patience: Duration,
        /// What it was at last.
        #[source]
        source: Box<SendError>,
    },
    /// Streaming said no.
    #[error("streaming refuses the media")]
    Refused(#[source] Box<ClientError>),
    /// The channel's ladder can be made now, or is another than before.
    #[error("the renditions of the channel change")]
    Ladder,
    /// What is made of the media was refused before anything of it was sent; the media was not.
    #[error("streaming does not take the renditions of the channel")]
    Renditions(#[source] Box<SendError>),
    /// What is made of the media cannot be sent; the media can.
    #[error("rendition {track:?} cannot be sent")]
    Rendition {
        /// Which.
        track: String,
        /// Why not.
        #[source]
        source: Box<Lost>,
    },
}

/// Why a request brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The client says why.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// No answer came.
    #[error("streaming gave no answer within {} s", .after.as_secs())]
    Overdue {
        /// How long it was waited for.
        after: Duration,
    },
}

// === impl Lost ===

impl Lost {
    /// A word for `/metrics`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Gone(_) => "gone",
            Self::Away { .. } => "away",
            Self::Refused(_) => "refused",
            Self::Ladder => "ladder",
            Self::Renditions(_) | Self::Rendition { .. } => "rendition",
        }
    }
}

// === impl SendError ===

impl SendError {
    /// Whether it is said of what should be sent, and not of who sends it: another publication may be taken.
    fn is_about_tracks(&self) -> bool {
        match self {
            Self::Client(error) => matches!(error.status(), Some(400 | 409 | 413 | 422)),
            Self::Overdue { .. } => false,
        }
    }
}

// === impl Publisher ===

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("publication", &self.publication).finish_non_exhaustive()
    }
}

impl Publisher {
    /// Begins a publication of what an encoder sends and of what is made of it, with a key, and sends their init segments. Where streaming
    /// refuses that because of the renditions, it begins without them, and what was said of them is returned beside it.
    ///
    /// # Errors
    /// What streaming said; nothing is under way then.
    pub async fn begin(
        way: Way,
        key: &StreamKey,
        tracks: Vec<Track>,
        renditions: Vec<Track>,
    ) -> Result<(Self, Option<Lost>), SendError> {
        let of_encoder = tracks.len();
        let all = tracks.iter().cloned().chain(renditions).collect::<Vec<_>>();
        let has_renditions = all.len() > of_encoder;
        match Self::begin_all(way.clone(), key, all, of_encoder).await {
            Ok(publisher) => Ok((publisher, None)),
            Err(refused) if has_renditions && refused.is_about_tracks() => {
                let publisher = Self::begin_all(way, key, tracks, of_encoder).await?;
                Ok((publisher, Some(Lost::Renditions(Box::new(refused)))))
            }
            Err(error) => Err(error),
        }
    }

    /// The same of all these, the first `of_encoder` of which are the encoder's own.
    async fn begin_all(way: Way, key: &StreamKey, tracks: Vec<Track>, of_encoder: usize) -> Result<Self, SendError> {
        let tracks_of = tracks.iter().map(|track| track.live.clone()).collect();
        let client = way.client.clone().with_deadline(way.answer_timeout);
        let publication = key.publish(&client, tracks_of).await?;
        if let Err(error) = send_inits(&way, &publication, &tracks).await {
            // It notices by itself that nothing comes.
            let _ = client.unpublish(publication.id).await;
            return Err(error);
        }
        way.figures.publications.inc();
        way.figures.open.inc();
        let (lanes, taken, tasks) = (Vec::new(), watch::Sender::new(None), JoinSet::new());
        let mut publisher = Self { way, publication, lanes, taken, tasks };
        for (at, Track { name: track, .. }) in tracks.into_iter().enumerate() {
            let (queue, is_rendition) = (Arc::new(Queue::new(publisher.way.bound)), at >= of_encoder);
            publisher.lanes.push((track.clone(), Arc::clone(&queue)));
            let (way, publication) = (publisher.way.clone(), publisher.publication.clone());
            let taken = publisher.taken.clone();
            publisher.tasks.spawn(async move {
                let sent = deliver(way, publication, (track.clone(), queue), taken).await;
                Ended { track, is_rendition, sent }
            });
        }
        Ok(publisher)
    }

    /// The publication.
    #[must_use]
    pub fn publication(&self) -> &Publication {
        &self.publication
    }

    /// What became of the last segment that streaming took: whether it has the channel, or stands by.
    #[must_use]
    pub fn taken(&self) -> watch::Receiver<Option<Taken>> {
        self.taken.subscribe()
    }

    /// What waits of a track.
    #[must_use]
    pub fn lane(&self, track: &str) -> Option<Arc<Queue>> {
        self.lanes.iter().find(|(name, _)| *name == track).map(|(_, queue)| Arc::clone(queue))
    }

    /// Sends a chunk; `whole_at` is when the octets came that made it whole. Never waits.
    pub fn push(&self, track: &str, chunk: &Chunk, whole_at: Instant) {
        if let Some((_, queue)) = self.lanes.iter().find(|(name, _)| *name == track) {
            let dropped = queue.push(chunk, whole_at);
            if dropped > 0 {
                self.way.figures.dropped_segments.inc_by(dropped);
                let (channel, number) = (self.publication.channel, chunk.number);
                tracing::warn!(%channel, track, number, dropped, "streaming does not keep up: segments were dropped");
            }
        }
    }

    /// Returns once a track cannot go on. It may be dropped and called again.
    pub async fn lost(&mut self) -> Lost {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(Ended { track, is_rendition: true, sent: Err(lost) })) => {
                    return Lost::Rendition { track: track.into_owned(), source: Box::new(lost) };
                }
                Some(Ok(Ended { sent: Err(lost), .. })) => return lost,
                // No task ends before its queue is closed.
                Some(Ok(Ended { sent: Ok(()), .. }) | Err(_)) => {}
                None => std::future::pending::<()>().await,
            }
        }
    }

    /// Sends what waits, for as long as `patience`, and ends the publication.
    pub async fn finish(mut self, patience: Duration) {
        self.lanes.iter().for_each(|(_, queue)| queue.close());
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                if let Ok(Ended { sent: Err(lost), .. }) = ended {
                    tracing::warn!(error = chain(&lost), channel = %self.publication.channel, "the end of a publication was lost");
                }
            }
        };
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!(channel = %self.publication.channel, "streaming did not take the end of a publication in time");
        }
        self.unpublish().await;
    }

    /// Ends the publication without what waits.
    pub async fn give_up(mut self) {
        self.tasks.shutdown().await;
        self.unpublish().await;
    }

    async fn unpublish(&self) {
        let client = self.way.client.clone().with_deadline(self.way.answer_timeout);
        if let Err(error) = client.unpublish(self.publication.id).await {
            // It notices by itself that nothing comes.
            tracing::warn!(error = chain(&error), channel = %self.publication.channel, "a publication could not be ended");
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.way.figures.open.dec();
    }
}

async fn send_inits(way: &Way, publication: &Publication, tracks: &[Track]) -> Result<(), SendError> {
    for track in tracks {
        let sent = way.client.put_live_init(publication.id, &track.name, track.init.clone());
        match tokio::time::timeout(way.answer_timeout, sent).await {
            Ok(sent) => sent?,
            Err(_) => return Err(SendError::Overdue { after: way.answer_timeout }),
        }
    }
    Ok(())
}

/// Sends the segments of one track until there are no more.
async fn deliver(
    way: Way,
    publication: Publication,
    (track, queue): (Cow<'static, str>, Arc<Queue>),
    role: watch::Sender<Option<Taken>>,
) -> Result<(), Lost> {
    let mut attempts = 0;
    let mut failing_since: Option<Instant> = None;
    while let Some(segment) = queue.oldest().await {
        let sent = tokio::select! {
            sent = send(&way, &publication, &track, &segment) => sent,
            () = overdue(&segment, way.answer_timeout) => Err(SendError::Overdue { after: way.answer_timeout }),
        };
        let error = match sent {
            Ok(taken) => {
                role.send_if_modified(|last| last.replace(taken) != Some(taken));
                queue.done(&segment);
                (attempts, failing_since) = (0, None);
                continue;
            }
            Err(error) => error,
        };
        match error {
            _ if segment.is_dropped() => {}
            SendError::Client(error) if matches!(error.status(), Some(404 | 409)) && !error.is_transient() => {
                return Err(Lost::Gone(Box::new(error)));
            }
            // Nothing came of this track for a while: no fault of anybody's, however long that goes on.
            SendError::Client(error) if error.status() == Some(408) => {
                tracing::debug!(channel = %publication.channel, %track, "nothing comes of a track");
                (attempts, failing_since) = (0, None);
                tokio::time::sleep(retry::pause(1, PAUSE_MAX)).await;
            }
            SendError::Client(error) if !error.is_transient() => {
                return Err(Lost::Refused(Box::new(error)));
            }
            SendError::Client(_) | SendError::Overdue { .. } => {
                let since = *failing_since.get_or_insert_with(Instant::now);
                if since.elapsed() > way.patience {
                    return Err(Lost::Away { patience: way.patience, source: Box::new(error) });
                }
                attempts += 1;
                tracing::warn!(error = chain(&error), channel = %publication.channel, %track, "a segment is sent again");
                tokio::time::sleep(retry::pause(attempts, PAUSE_MAX)).await;
            }
        }
    }
    Ok(())
}

async fn send(way: &Way, publication: &Publication, track: &str, segment: &Arc<Segment>) -> Result<Taken, SendError> {
    let figures = way.figures.clone();
    let chunks = segment.chunks().map(move |sent| {
        sent.map(|sent| -> Bytes {
            figures.chunks.inc();
            figures.wait_seconds.observe(sent.whole_at.elapsed().as_secs_f64());
            sent.bytes
        })
    });
    let number = publication.first_number + segment.number;
    let body = reqwest::Body::wrap_stream(chunks);
    way.client.put_live_segment(publication.id, track, number, body).await.map_err(SendError::Client)
}

/// Returns once an answer has been due for too long.
async fn overdue(segment: &Segment, after: Duration) {
    segment.ended().await;
    tokio::time::sleep(after).await;
}
