//! One publisher's connection: the socket around the state machines, and what is done of what they say.
//!
//! It reads, lets [`Session`] and [`Packager`] think, asks streaming about the key before any media is taken, and hands media
//! to the [`Driver`], whose chunks never make it wait. It ends with the first thing that is wrong, with silence, with the
//! service, or with a publication that cannot go on, and says in one line of the log which of them it was.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use flame_service_host::problem::chain;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::flv::TagError;
use super::media;
use super::session::{Event, Refusal, Session, SessionError};
use crate::live::driver::{DriveError, Driver, Leaving};
use crate::live::figures::Figures;
use crate::live::grid::Count;
use crate::live::key::{self, KeyError, StreamKey};
use crate::live::packager::{Input, Lengths, PackageError, Packager};
use crate::live::publisher::{Lost, Way};
use crate::live::shares::Share;

/// Octets that are read at once.
const READ_BYTES: usize = 64 << 10;
/// How long a client that is sent away may take to read why.
const FAREWELL: Duration = Duration::from_secs(1);

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
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Drive(#[from] DriveError<PackageError>),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Tag(#[from] TagError),
    #[error("the connection broke")]
    Broken(#[from] std::io::Error),
}

/// A connection under way.
struct Connection<'a> {
    stream: TcpStream,
    peer: SocketAddr,
    terms: &'a Terms,
    session: Session,
    /// Its address's share of the door, until it may publish.
    early: Option<Share>,
    /// Once it may publish.
    published: Option<Driver<Packager>>,
}

/// Serves one connection to its end. The share of its address is given back once it may publish.
pub async fn serve(stream: TcpStream, (peer, early): (SocketAddr, Share), terms: &Terms, stop: &CancellationToken) {
    let session = Session::new(terms.message_max_bytes);
    let mut connection = Connection { stream, peer, terms, session, early: Some(early), published: None };
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
            Self::Key(error) => error.reason(),
            Self::Drive(error) => error.reason(),
            Self::Session(_) => "protocol",
            Self::Tag(_) => "media",
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
        let pushed = published.push(came_at, |packager, now_us, steps| packager.push(input, now_us, steps));
        Ok(pushed.await?)
    }

    /// Asks streaming about the key, and answers.
    async fn publish(&mut self, key: StreamKey) -> Result<(), Ended> {
        match key::terms(self.terms.way.as_ref(), &key).await {
            Ok((way, terms)) => {
                let lengths = Lengths { segment_ms: terms.segment_ms, part_ms: terms.part_ms };
                tracing::info!(peer = %self.peer, channel = %terms.channel, "an encoder publishes");
                self.published = Some(Driver::new(way, key, terms, Packager::new(lengths, Count::MILLISECONDS)));
                self.session.accept();
                self.early = None;
                Ok(())
            }
            Err(error) => {
                let is_wrong = matches!(error, KeyError::Wrong);
                self.session.refuse(if is_wrong { Refusal::BadKey } else { Refusal::NotNow });
                Err(error.into())
            }
        }
    }

    async fn go_on_after(&mut self, lost: Lost) -> Result<(), Ended> {
        match &mut self.published {
            Some(published) => Ok(published.go_on_after(lost).await?),
            None => Ok(()),
        }
    }

    async fn close(mut self, ended: &Ended) {
        let (peer, reason) = (self.peer, ended.reason());
        let channel = self.published.as_ref().map(|published| published.channel().to_string());
        if ended.is_usual() {
            tracing::info!(%peer, channel, reason, "an RTMP connection ended: {ended}");
        } else {
            let counter = if self.published.is_some() { &self.terms.figures.lost } else { &self.terms.figures.refused };
            counter.with_label_values(&[reason]).inc();
            tracing::warn!(%peer, channel, reason, error = chain(ended), "an RTMP connection was ended");
        }
        if let Some(published) = self.published.take() {
            published
                .end(match ended {
                    Ended::Stopped => Leaving::Stopped,
                    Ended::Drive(error) => Leaving::Failed(error),
                    _ => Leaving::Left,
                })
                .await;
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

/// Returns once what is published cannot go on.
async fn lost(published: Option<&mut Driver<Packager>>) -> Lost {
    match published {
        Some(published) => published.lost().await,
        None => std::future::pending().await,
    }
}
