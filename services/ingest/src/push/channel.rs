//! One channel that is pushed to: the task that owns its publication, and the requests that bring its media.
//!
//! Requests read and take apart; the task decides and sends. Of one track one request is read at a time, the next waits for
//! its end: encoders often begin a segment before the answer to the one before has come. What one request holds is one fragment, and
//! one more waits for the task.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use flame_api::live::LiveTerms;
use flame_cmaf::Sample;
use flame_cmaf::pushed::{Piece, Pushed, PushedError, PushedTrack};
use flame_cmaf::samples::InitInfo;
use flame_service_host::problem::chain;
use futures_util::StreamExt;
use tokio::sync::{Mutex as Turn, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::ChannelKey;
use super::programme::{Bounds, Programme, ProgrammeError};
use crate::config::PushConfig;
use crate::live::driver::{DriveError, Driver, Leaving};
use crate::live::figures::Figures;
use crate::live::key::KeyError;
use crate::live::packager::Lengths;
use crate::live::publisher::{Lost, Way};

/// Fragments that wait for the task.
const MESSAGES_MAX: usize = 1;
/// Requests of one track that wait for their turn.
const WAITING_MAX: usize = 4;

/// A channel, as requests see it.
#[derive(Debug)]
pub struct Channel {
    id: Uuid,
    sender: mpsc::Sender<Message>,
    streams: Mutex<HashMap<String, Arc<Stream>>>,
    streams_max: usize,
    fragment_max_bytes: usize,
    idle: Duration,
    ended: Mutex<Option<Arc<Ended>>>,
    /// Nothing of it is under way any more.
    closed: CancellationToken,
}

/// One track, as requests see it.
#[derive(Debug)]
struct Stream {
    places: Semaphore,
    /// What the header said, held by the request that is read.
    info: Turn<Option<InitInfo>>,
}

#[derive(Debug)]
enum Message {
    Track(String, Box<PushedTrack>),
    Media(String, Vec<Sample>, Instant),
    Last(String),
}

/// Why a channel is not pushed to any more.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The encoder said so, or nothing came for a while.
    #[error("the encoder left")]
    Left,
    /// The service stops.
    #[error("the service stops")]
    Stopped,
    /// Its publications do not go on.
    #[error(transparent)]
    Drive(#[from] DriveError<ProgrammeError>),
}

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The key opens nothing now.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Too many keys are being asked about.
    #[error("too many keys are being looked up")]
    Busy,
    /// Too many channels.
    #[error("{limit} channels are pushed to, and more are not taken")]
    Full {
        /// How many may be.
        limit: usize,
    },
    /// What was sent before is not with streaming yet.
    #[error("the publication before this one has not ended yet")]
    Closing,
    /// Too many tracks.
    #[error("a channel has {limit} tracks at most")]
    Tracks {
        /// How many may be.
        limit: usize,
    },
    /// Too many requests of one track.
    #[error("{WAITING_MAX} requests of this track wait already")]
    Waiting,
    /// What came is no track.
    #[error(transparent)]
    Media(#[from] PushedError),
    /// The body broke off.
    #[error("the body broke off")]
    Broken(#[source] axum::Error),
    /// Nothing came.
    #[error("nothing came for {} s", .0.as_secs())]
    Idle(Duration),
    /// The channel's publication has ended.
    #[error(transparent)]
    Ended(Arc<Ended>),
}

/// The task's side.
struct Task {
    channel: Arc<Channel>,
    driver: Driver<Programme>,
    figures: Figures,
    idle: Duration,
}

/// A channel, and the task that takes what is pushed to it; it ends when nothing has come for a while.
pub(super) fn open(
    way: Way,
    key: &ChannelKey,
    terms: &LiveTerms,
    config: &PushConfig,
    stop: CancellationToken,
) -> (Arc<Channel>, impl Future<Output = ()> + Send + use<>) {
    let (sender, receiver) = mpsc::channel(MESSAGES_MAX);
    let channel = Arc::new(Channel {
        id: terms.channel,
        sender,
        streams: Mutex::default(),
        streams_max: config.max_tracks,
        fragment_max_bytes: usize::try_from(config.max_fragment.0).unwrap_or(usize::MAX),
        idle: config.idle.0,
        ended: Mutex::default(),
        closed: CancellationToken::new(),
    });
    let lengths = Lengths { segment_ms: terms.segment_ms, part_ms: terms.part_ms };
    let bounds = Bounds {
        gather_us: i64::try_from(config.gather.0.as_micros()).unwrap_or(i64::MAX),
        held_max_bytes: usize::try_from(config.held.0).unwrap_or(usize::MAX),
        tracks_max: config.max_tracks,
    };
    let programme = Programme::new(lengths, bounds);
    let figures = way.figures.clone();
    let driver = Driver::new(way, key.to_shown(), terms.clone(), programme);
    let task = Task { channel: Arc::clone(&channel), driver, figures, idle: config.idle.0 };
    (channel, task.run(receiver, stop))
}

// === impl Channel ===

impl Channel {
    /// Whether it takes media: not where its end is still on its way.
    ///
    /// # Errors
    /// [`PushError::Ended`] where another encoder has the channel: this one would only take it back, and so for ever.
    pub(super) fn is_open(&self) -> Result<bool, PushError> {
        match self.ended() {
            None => Ok(true),
            Some(ended) if is_taken(&ended) => Err(PushError::Ended(ended)),
            Some(_) => Ok(false),
        }
    }

    /// Nothing of it is under way any more, and it is not found any more.
    pub(super) fn close(&self) {
        self.closed.cancel();
    }

    pub(super) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    fn ended(&self) -> Option<Arc<Ended>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads a request to its end: header, fragments, or both, of the track `name`.
    ///
    /// # Errors
    /// [`PushError`].
    pub async fn receive(&self, name: &str, body: Body, received: impl Fn(u64)) -> Result<(), PushError> {
        let stream = self.stream(name)?;
        let _place = stream.places.try_acquire().map_err(|_| PushError::Waiting)?;
        let mut info = timeout(self.idle, stream.info.lock()).await.map_err(|_| PushError::Waiting)?;
        let mut pushed = Pushed::new(self.fragment_max_bytes, info.clone());
        let mut body = body.into_data_stream();
        loop {
            let octets = tokio::select! {
                octets = timeout(self.idle, body.next()) => octets.map_err(|_| PushError::Idle(self.idle))?,
                () = self.sender.closed() => return Err(self.gone()),
            };
            let Some(octets) = octets else { break };
            let octets = octets.map_err(PushError::Broken)?;
            received(octets.len() as u64);
            pushed.push(&octets);
            let came_at = Instant::now();
            while let Some(piece) = pushed.piece()? {
                let name = name.to_owned();
                let message = match piece {
                    Piece::Track(track) => {
                        *info = Some(track.info.clone());
                        Message::Track(name, track)
                    }
                    Piece::Samples(samples) => Message::Media(name, samples, came_at),
                    Piece::Last => Message::Last(name),
                };
                self.send(message).await?;
            }
        }
        if pushed.end()? {
            self.send(Message::Last(name.to_owned())).await?;
        }
        Ok(())
    }

    async fn send(&self, message: Message) -> Result<(), PushError> {
        self.sender.send(message).await.map_err(|_| self.gone())
    }

    fn gone(&self) -> PushError {
        PushError::Ended(self.ended().unwrap_or_else(|| Arc::new(Ended::Left)))
    }

    fn stream(&self, name: &str) -> Result<Arc<Stream>, PushError> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stream) = streams.get(name) {
            return Ok(Arc::clone(stream));
        }
        if streams.len() >= self.streams_max {
            return Err(PushError::Tracks { limit: self.streams_max });
        }
        let stream = Arc::new(Stream { places: Semaphore::new(1 + WAITING_MAX), info: Turn::new(None) });
        streams.insert(name.to_owned(), Arc::clone(&stream));
        Ok(stream)
    }
}

// === impl Task ===

impl Task {
    async fn run(mut self, mut receiver: mpsc::Receiver<Message>, stop: CancellationToken) {
        let channel = self.channel.id;
        tracing::info!(%channel, "an encoder pushes");
        let ended = Arc::new(self.serve(&mut receiver, &stop).await);
        *self.channel.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&ended));
        // Requests that are being read notice it now.
        drop(receiver);
        if matches!(*ended, Ended::Left | Ended::Stopped) {
            tracing::info!(%channel, "a push ended: {ended}");
        } else {
            self.figures.lost.with_label_values(&[ended.reason()]).inc();
            tracing::warn!(%channel, reason = ended.reason(), error = chain(&*ended), "a push was ended");
        }
        let idle = self.idle;
        self.driver
            .end(match &*ended {
                Ended::Left => Leaving::Left,
                Ended::Stopped => Leaving::Stopped,
                Ended::Drive(error) => Leaving::Failed(error),
            })
            .await;
        if is_taken(&ended) {
            // Who goes on sending hears why for a while.
            tokio::select! { () = tokio::time::sleep(idle) => {}, () = stop.cancelled() => {} }
        }
    }

    async fn serve(&mut self, receiver: &mut mpsc::Receiver<Message>, stop: &CancellationToken) -> Ended {
        loop {
            let message = tokio::select! {
                message = timeout(self.idle, receiver.recv()) => message,
                lost = self.driver.lost() => match self.driver.go_on_after(lost).await {
                    Ok(()) => continue,
                    Err(error) => return error.into(),
                },
                () = stop.cancelled() => return Ended::Stopped,
            };
            let Ok(Some(message)) = message else { return Ended::Left };
            if let Err(ended) = self.take(message).await {
                return ended;
            }
        }
    }

    async fn take(&mut self, message: Message) -> Result<(), Ended> {
        match message {
            Message::Track(name, track) => {
                let taken =
                    |programme: &mut Programme, now_us, steps: &mut _| programme.track(&name, *track, now_us, steps);
                self.driver.push(Instant::now(), taken).await?;
            }
            Message::Media(name, samples, came_at) => {
                let taken =
                    |programme: &mut Programme, now_us, steps: &mut _| programme.media(&name, samples, now_us, steps);
                self.driver.push(came_at, taken).await?;
            }
            Message::Last(name) => {
                if self.driver.package().last(&name) {
                    return Err(Ended::Left);
                }
            }
        }
        Ok(())
    }
}

// === impl Ended ===

impl Ended {
    /// A word for `/metrics`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Stopped => "stopped",
            Self::Drive(error) => error.reason(),
        }
    }
}

/// Whether another encoder has the channel.
fn is_taken(ended: &Ended) -> bool {
    matches!(ended, Ended::Drive(DriveError::Lost(Lost::Gone(_))))
}
