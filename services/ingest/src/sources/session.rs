//! One try at a source: read, paced and published, until it ends, breaks, or is not wanted any more.

use std::time::Instant;

use flame_api::live::{Channel, LiveLadder, LiveTerms, SourceStanding, SourceState};
use flame_service_host::problem::chain;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::blend::{Blend, BlendError, Piece, runs};
use super::pace::Pace;
use super::reader::{Read, Reader, SourceError};
use crate::live::driver::{DriveError, Driver, Leaving, Package};
use crate::live::key::StreamKey;
use crate::live::packager::Lengths;
use crate::live::publisher::{Lost, Way};

/// Segments between the reader and the rest, besides what each of them holds.
const READ_MAX: usize = 1;

/// How a session ended.
#[derive(Debug, Error)]
pub enum Ended {
    /// The source says that nothing more comes.
    #[error("the source has ended")]
    Over,
    /// The service stops, or the channel has ended.
    #[error("it is not wanted any more")]
    Stopped,
    /// It cannot be read on.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Nothing can be published of it.
    #[error(transparent)]
    Drive(#[from] DriveError<BlendError>),
}

/// For whom it is fetched.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The way to streaming.
    pub way: Way,
    /// The channel, as it was when this began.
    pub channel: Channel,
    /// What is held ahead of its time.
    pub held_max_bytes: usize,
}

/// A session under way.
struct Session {
    source: Fetched,
    pace: Option<Pace<Piece>>,
    driver: Option<Driver<Blend>>,
}

/// Runs one.
pub async fn run(reader: &Reader, source: Fetched, stop: &CancellationToken) -> Ended {
    let mut session = Session { source, pace: None, driver: None };
    let ended = session.serve(reader, stop).await;
    let (channel, is_calm) = (session.source.channel.id, matches!(ended, Ended::Over | Ended::Stopped));
    if is_calm {
        tracing::info!(%channel, "a source is left: {ended}");
    } else {
        tracing::warn!(%channel, error = chain(&ended), "a source was left");
    }
    if let Some(driver) = session.driver {
        if !is_calm {
            session.source.way.figures.lost.with_label_values(&[ended.reason()]).inc();
        }
        driver
            .end(match &ended {
                Ended::Over | Ended::Source(_) => Leaving::Left,
                Ended::Stopped => Leaving::Stopped,
                Ended::Drive(error) => Leaving::Failed(error),
            })
            .await;
    }
    ended
}

// === impl Session ===

impl Session {
    async fn serve(&mut self, reader: &Reader, stop: &CancellationToken) -> Ended {
        let (sender, mut receiver) = mpsc::channel(READ_MAX);
        let reading = reader.run(sender);
        tokio::pin!(reading);
        let (mut read, mut is_drained) = (None, false);
        loop {
            let is_hungry = self.pace.as_ref().is_none_or(Pace::is_hungry);
            let next = self.pace.as_ref().and_then(Pace::next);
            if is_drained && next.is_none() {
                return match read {
                    Some(Err(error)) => Ended::Source(error),
                    Some(Ok(())) | None => Ended::Over,
                };
            }
            tokio::select! {
                result = &mut reading, if read.is_none() => read = Some(result),
                message = receiver.recv(), if is_hungry && !is_drained => match message {
                    Some(message) => self.take(message).await,
                    // What is not played yet still will be.
                    None => is_drained = true,
                },
                () = until(next), if next.is_some() => if let Err(error) = self.send().await {
                    return error.into();
                },
                lost = lost(self.driver.as_mut()) => if let Err(error) = self.go_on_after(lost).await {
                    return error.into();
                },
                () = stop.cancelled() => return Ended::Stopped,
            }
        }
    }

    /// Keeps what was read until it is due.
    async fn take(&mut self, read: Read) {
        let Fetched { way, channel, held_max_bytes } = &self.source;
        let pace = self.pace.get_or_insert_with(|| Pace::new(read.lanes, *held_max_bytes));
        for (name, units) in read.units {
            pace.push(&name, read.epoch, units);
        }
        if self.driver.is_none() {
            let lengths = Lengths { segment_ms: channel.segment_ms, part_ms: channel.part_ms };
            let blend = Blend::new(read.container, lengths, *held_max_bytes);
            let terms = LiveTerms {
                channel: channel.id,
                segment_ms: channel.segment_ms,
                part_ms: channel.part_ms,
                ladder: channel.ladder.as_ref().map(|ladder| LiveLadder { rungs: ladder.rungs.clone() }),
            };
            self.driver = Some(Driver::new(way.clone(), StreamKey::of_source(channel.id), terms, blend));
            self.source.report(SourceState::Playing, None).await;
        }
    }

    async fn go_on_after(&mut self, lost: Lost) -> Result<(), DriveError<BlendError>> {
        if let Some(driver) = &mut self.driver {
            driver.go_on_after(lost).await?;
            // Streaming may have been started again, and remembers nothing.
            self.source.report(SourceState::Playing, None).await;
        }
        Ok(())
    }

    /// Sends what is due.
    async fn send(&mut self) -> Result<(), DriveError<BlendError>> {
        let (Some(pace), Some(driver)) = (&mut self.pace, &mut self.driver) else { return Ok(()) };
        let now = Instant::now();
        let due = pace.take(now);
        if due.is_cut {
            driver.push(now, |blend, _, steps| blend.restart(steps)).await?;
        }
        for (name, pieces) in due.pieces {
            for run in runs(pieces) {
                driver.push(now, |blend, now_us, steps| blend.push(&name, run, now_us, steps)).await?;
            }
        }
        Ok(())
    }
}

// === impl Fetched ===

impl Fetched {
    /// Says how it goes, for people to read. Where that is not heard, it is said again later.
    pub async fn report(&self, state: SourceState, error: Option<String>) {
        let client = self.way.client.clone().with_deadline(self.way.answer_timeout);
        let standing = SourceStanding { state, error };
        if let Err(error) = client.put_source_standing(self.channel.id, &standing).await {
            tracing::debug!(channel = %self.channel.id, error = chain(&error), "how it goes with a source was not said");
        }
    }
}

// === impl Ended ===

impl Ended {
    /// A word for `/metrics`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Over => "left",
            Self::Stopped => "stopped",
            Self::Source(_) => "source",
            Self::Drive(error) => error.reason(),
        }
    }
}

async fn until(next: Option<Instant>) {
    match next {
        Some(next) => tokio::time::sleep_until(next.into()).await,
        None => std::future::pending().await,
    }
}

async fn lost(driver: Option<&mut Driver<Blend>>) -> Lost {
    match driver {
        Some(driver) => driver.lost().await,
        None => std::future::pending().await,
    }
}
