//! One publisher's connection: the socket around the state machines, and what is done of what they say.
//!
//! It reads, lets [`Session`] and [`Packager`] think, asks streaming about the key before any media is taken, and hands chunks
//! to the [`Publisher`], which never makes it wait. It ends with the first thing that is wrong, with silence, with the
//! service, or with a publication that cannot go on, and says in one line of the log which of them it was.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use flame_api::client::ClientError;
use flame_api::live::{ChannelState, LiveKey, LiveTerms, stream_key};
use flame_service_host::problem::chain;
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::flv::TagError;
use super::media;
use super::session::{Event, Refusal, Session, SessionError, StreamKey};
use crate::live::figures::Figures;
use crate::live::packager::{Input, Lengths, PackageError, Packager, Step};
use crate::live::publisher::{Lost, Publisher, SendError, Way};

/// Octets that are read at once.
const READ_BYTES: usize = 64 << 10;
/// How long a client that is sent away may take to read why, and streaming for the end where the service stops.
const FAREWELL: Duration = Duration::from_secs(1);

/// What streaming says of a key that opens nothing, or nothing any more.
const WRONG_KEY: [&str; 2] = ["wrong-key", "channel-ended"];

/// What is the same for all connections.
#[derive(Debug)]
pub struct Terms {
    /// The way to streaming, if there is one.
    pub way: Option<Way>,
    /// What is counted.
    pub figures: Figures,
    /// Time from the first octet to leave to publish.
    pub handshake: Duration,
    /// Time without an octet after which a publisher has gone.
    pub idle: Duration,
    /// Longest message.
    pub message_max_bytes: u32,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    /// It ended what it published, or closed the connection after it had begun.
    #[error("it left")]
    Left,
    /// The service stops.
    #[error("the service stops")]
    Stopped,
    /// It never asked to publish.
    #[error("it closed the connection before it published")]
    Nothing,
    #[error("nothing came of it for {} s", .after.as_secs())]
    Idle { after: Duration },
    #[error("it did not get to publishing within {} s", .after.as_secs())]
    Slow { after: Duration },
    #[error("its key opens nothing")]
    BadKey,
    #[error("this service knows no router, so no streaming")]
    NoWay,
    #[error("streaming could not be asked about its key")]
    NotAsked(#[source] SendError),
    #[error("streaming did not take its publication")]
    NotBegun(#[source] SendError),
    #[error("its publication was lost")]
    Lost(#[source] Lost),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Tag(#[from] TagError),
    #[error(transparent)]
    Package(#[from] PackageError),
    #[error("the connection broke")]
    Broken(#[from] std::io::Error),
}

/// A connection under way.
struct Connection<'a> {
    stream: TcpStream,
    peer: SocketAddr,
    terms: &'a Terms,
    session: Session,
    /// Once it may publish.
    published: Option<Published>,
}

struct Published {
    way: Way,
    key: StreamKey,
    terms: LiveTerms,
    packager: Packager,
    publisher: Option<Publisher>,
}

/// Serves one connection to its end.
pub async fn serve(stream: TcpStream, peer: SocketAddr, terms: &Terms, stop: &CancellationToken) {
    let session = Session::new(terms.message_max_bytes);
    let mut connection = Connection { stream, peer, terms, session, published: None };
    let ended = connection.run(stop).await;
    connection.close(&ended).await;
}

// === impl Ended ===

impl Ended {
    /// Whether it is nothing that anybody should look at.
    fn is_usual(&self) -> bool {
        matches!(self, Self::Left | Self::Stopped | Self::Nothing)
    }

    /// A word for `/metrics`.
    fn reason(&self) -> &'static str {
        match self {
            Self::Left | Self::Nothing => "left",
            Self::Stopped => "stopped",
            Self::Idle { .. } | Self::Slow { .. } => "idle",
            Self::BadKey => "key",
            Self::NoWay | Self::NotAsked(_) | Self::NotBegun(_) => "away",
            Self::Lost(lost) => lost.reason(),
            Self::Session(_) => "protocol",
            Self::Tag(_) | Self::Package(_) => "media",
            Self::Broken(_) => "broken",
        }
    }
}

// === impl Connection ===

impl Connection<'_> {
    async fn run(&mut self, stop: &CancellationToken) -> Ended {
        let deadline = tokio::time::Instant::now() + self.terms.handshake;
        let mut buffer = vec![0; READ_BYTES];
        let mut events = Vec::new();
        loop {
            let read = tokio::select! {
                read = timeout(self.terms.idle, self.stream.read(&mut buffer)) => read,
                lost = lost(self.published.as_mut()) => match self.go_on_after(lost).await {
                    Ok(()) => continue,
                    Err(ended) => return ended,
                },
                () = tokio::time::sleep_until(deadline), if self.published.is_none() => {
                    return Ended::Slow { after: self.terms.handshake };
                }
                () = stop.cancelled() => return Ended::Stopped,
            };
            let length = match read {
                Ok(Ok(0)) if self.published.is_some() => return Ended::Left,
                Ok(Ok(0)) => return Ended::Nothing,
                Ok(Ok(length)) => length,
                Ok(Err(error)) => return error.into(),
                Err(_) => return Ended::Idle { after: self.terms.idle },
            };
            let came_at = Instant::now();
            let understood = self.session.receive(&buffer[..length], &mut events);
            for event in events.drain(..) {
                let taken = tokio::select! {
                    taken = self.take(event, came_at) => taken,
                    () = stop.cancelled() => Err(Ended::Stopped),
                };
                if let Err(ended) = taken {
                    return ended;
                }
            }
            if let Err(error) = self.answer().await {
                return error.into();
            }
            if let Err(error) = understood {
                return error.into();
            }
        }
    }

    /// What the session says is sent; a client that takes nothing of it is not waited for.
    async fn answer(&mut self) -> std::io::Result<()> {
        let octets = self.session.take_output();
        match timeout(self.terms.idle, self.stream.write_all(&octets)).await {
            Ok(written) => written,
            Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
        }
    }

    async fn take(&mut self, event: Event, came_at: Instant) -> Result<(), Ended> {
        let sent = match event {
            Event::Publish(key) => return self.publish(key).await,
            Event::End => return Err(Ended::Left),
            Event::Sent(sent) => sent,
        };
        let (Some(input), Some(published)) = (media::read(sent)?, &mut self.published) else { return Ok(()) };
        if let Input::Media { data, .. } = &input {
            self.terms.figures.received_bytes.inc_by(data.len() as u64);
        }
        let patience = published.way.patience;
        let mut steps = Vec::new();
        let packaged = published.packager.push(input, now_us(), &mut steps);
        published.follow(steps, came_at, patience).await?;
        Ok(packaged?)
    }

    /// Asks streaming about the key, and answers.
    async fn publish(&mut self, key: StreamKey) -> Result<(), Ended> {
        match self.look_up(&key).await {
            Ok((way, terms)) => {
                let lengths = Lengths { segment_ms: terms.segment_ms, part_ms: terms.part_ms };
                tracing::info!(peer = %self.peer, channel = %terms.channel, "an encoder publishes");
                self.published = Some(Published { way, key, terms, packager: Packager::new(lengths), publisher: None });
                self.session.accept();
                Ok(())
            }
            Err(ended) => {
                let refusal = if matches!(ended, Ended::BadKey) { Refusal::BadKey } else { Refusal::NotNow };
                self.session.refuse(refusal);
                Err(ended)
            }
        }
    }

    async fn look_up(&self, key: &StreamKey) -> Result<(Way, LiveTerms), Ended> {
        let Some(way) = &self.terms.way else { return Err(Ended::NoWay) };
        let client = way.client.clone().with_deadline(way.answer_timeout);
        let terms = client.live_terms(&LiveKey { key: stream_key(key.reveal()).0.to_owned() }).await;
        match terms {
            Ok(terms) => Ok((way.clone(), terms)),
            Err(ClientError::Refused { problem, .. }) if WRONG_KEY.contains(&problem.slug()) => Err(Ended::BadKey),
            Err(error) => Err(Ended::NotAsked(error.into())),
        }
    }

    /// A publication that streaming has forgotten is begun again with the next key frame, unless another encoder has taken
    /// the channel: two that take it from each other would help nobody.
    async fn go_on_after(&mut self, lost: Lost) -> Result<(), Ended> {
        let (Lost::Gone(_), Some(published)) = (&lost, &mut self.published) else { return Err(Ended::Lost(lost)) };
        let channel = published.terms.channel;
        let client = published.way.client.clone().with_deadline(published.way.answer_timeout);
        let is_free = matches!(client.channel(channel).await, Ok(Some(channel)) if channel.state == ChannelState::Idle);
        // Who stands by takes nothing from anybody.
        let may_go_on = is_free || stream_key(published.key.reveal()).1;
        let Some(publisher) = published.publisher.take().filter(|_| may_go_on) else { return Err(Ended::Lost(lost)) };
        tracing::warn!(%channel, error = chain(&lost), "streaming has forgotten a publication: another is begun");
        self.terms.figures.lost.with_label_values(&[lost.reason()]).inc();
        publisher.give_up().await;
        // What it still had to say belongs to the one that is lost.
        published.packager.restart(&mut Vec::new())?;
        Ok(())
    }

    async fn close(mut self, ended: &Ended) {
        let (peer, reason) = (self.peer, ended.reason());
        let channel = self.published.as_ref().map(|published| published.terms.channel.to_string());
        if ended.is_usual() {
            tracing::info!(%peer, channel, reason, "an RTMP connection ended: {ended}");
        } else {
            let counter = if self.published.is_some() { &self.terms.figures.lost } else { &self.terms.figures.refused };
            counter.with_label_values(&[reason]).inc();
            tracing::warn!(%peer, channel, reason, error = chain(ended), "an RTMP connection was ended");
        }
        if let Some(published) = self.published.take() {
            published.end(ended).await;
        }
        // It is told why, if that can be said; the rest of what it sends is read, or its system would throw the answer away.
        let farewell = async {
            self.answer().await?;
            self.stream.shutdown().await?;
            let mut buffer = vec![0; READ_BYTES];
            while self.stream.read(&mut buffer).await? > 0 {}
            std::io::Result::Ok(())
        };
        let _ = timeout(FAREWELL, farewell).await;
    }
}

// === impl Published ===

impl Published {
    /// Does what the packager says. The end of a publication may take as long as `patience`.
    async fn follow(&mut self, steps: Vec<Step>, came_at: Instant, patience: Duration) -> Result<(), Ended> {
        let mut steps = VecDeque::from(steps);
        while let Some(step) = steps.pop_front() {
            match step {
                Step::Begin(tracks) => {
                    let begun = Publisher::begin(self.way.clone(), self.key.reveal(), tracks).await;
                    let publisher = begun.map_err(Ended::NotBegun)?;
                    let publication = publisher.publication();
                    let (channel, first_number) = (publication.channel, publication.first_number);
                    tracing::info!(%channel, publication = %publication.id, first_number, "a publication began");
                    let mut held = Vec::new();
                    let packaged = self.packager.begun(&mut held);
                    self.publisher = Some(publisher);
                    // What was held comes before what is next.
                    held.into_iter().rev().for_each(|step| steps.push_front(step));
                    packaged?;
                }
                Step::Chunk { track, chunk } => {
                    if let Some(publisher) = &self.publisher {
                        publisher.push(track, &chunk, came_at);
                    }
                }
                Step::End => {
                    if let Some(publisher) = self.publisher.take() {
                        publisher.finish(patience).await;
                    }
                }
            }
        }
        Ok(())
    }

    /// Ends what is published: with all that came, unless streaming is the reason.
    async fn end(mut self, ended: &Ended) {
        if matches!(ended, Ended::Lost(_)) {
            if let Some(publisher) = self.publisher.take() {
                publisher.give_up().await;
            }
            return;
        }
        // A service that stops does not wait for one that is away.
        let patience = if matches!(ended, Ended::Stopped) { FAREWELL } else { self.way.patience };
        let mut steps = Vec::new();
        let packager = std::mem::replace(&mut self.packager, Packager::new(Lengths { segment_ms: 1, part_ms: 1 }));
        if let Err(error) = packager.finish(&mut steps) {
            tracing::warn!(error = chain(&error), channel = %self.terms.channel, "the end of a publication was lost");
        }
        // Nothing begins here, so nothing can fail.
        let _ = self.follow(steps, Instant::now(), patience).await;
        // Where the packager could not end it.
        if let Some(publisher) = self.publisher.take() {
            publisher.finish(patience).await;
        }
    }
}

/// Returns once what is published cannot go on.
async fn lost(published: Option<&mut Published>) -> Lost {
    match published.and_then(|published| published.publisher.as_mut()) {
        Some(publisher) => publisher.lost().await,
        None => std::future::pending().await,
    }
}

fn now_us() -> i64 {
    i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1000).unwrap_or(i64::MAX)
}
