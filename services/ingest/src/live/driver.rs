//! What every door does of what its media comes to: publications begin, go on and end, one after another, for as long as an
//! encoder stays.
//!
//! The deciding is a [`Package`]'s, which opens nothing; the way is a [`Publisher`]'s, which never makes an encoder wait. It knows no
//! protocol and reads no socket: a door hands it what came, asks it what was lost, and tells it how the encoder left.

use std::collections::VecDeque;
use std::error::Error as StdError;
use std::time::{Duration, Instant};

use flame_api::live::{ChannelState, LiveTerms, Taken};
use flame_service_host::problem::chain;
use thiserror::Error;
use time::OffsetDateTime;
use uuid::Uuid;

use super::key::StreamKey;
use super::ladder::{Ladder, Opened};
use super::packager::Step;
use super::publisher::{Lost, Publisher, SendError, Way};

/// How long streaming may take for the end where the service stops.
const FAREWELL: Duration = Duration::from_secs(1);

/// What makes publications of media: values in, steps out.
pub trait Package {
    /// Why an encoder cannot go on.
    type Error: StdError + Send + Sync + 'static;

    /// The publication that was announced has begun.
    ///
    /// # Errors
    /// The encoder is to be sent away. What was appended before is still to be done; so for all of these.
    fn begun(&mut self, steps: &mut Vec<Step>) -> Result<(), Self::Error>;

    /// Ends the publication, if there is one; the next key frame begins another.
    ///
    /// # Errors
    /// As [`Package::begun`].
    fn restart(&mut self, steps: &mut Vec<Step>) -> Result<(), Self::Error>;

    /// The encoder has left: what has not been given out yet, and the end.
    ///
    /// # Errors
    /// As [`Package::begun`].
    fn finish(&mut self, steps: &mut Vec<Step>) -> Result<(), Self::Error>;
}

/// Drives one encoder's publications. Dropping it stops the sending.
#[derive(Debug)]
pub struct Driver<P> {
    way: Way,
    key: StreamKey,
    terms: LiveTerms,
    package: P,
    publisher: Option<Publisher>,
    ladder: Option<Ladder>,
    /// What it published last had the channel: of importance where its encoder stands by.
    had_channel: bool,
}

/// Why an encoder's publications do not go on.
#[derive(Debug, Error)]
pub enum DriveError<E> {
    /// Streaming did not begin one.
    #[error("streaming did not take the publication")]
    NotBegun(#[source] SendError),
    /// Streaming did not go on with one.
    #[error("the publication was lost")]
    Lost(#[source] Lost),
    /// What came makes none.
    #[error(transparent)]
    Package(E),
}

/// How an encoder left.
#[derive(Debug)]
pub enum Leaving<'a, E> {
    /// It did; all that came is sent.
    Left,
    /// The service stops, and does not wait for one that is away.
    Stopped,
    /// It was sent away.
    Failed(&'a DriveError<E>),
}

// === impl Driver ===

impl<P: Package> Driver<P> {
    /// Nothing is published yet. The terms are those of `key`.
    pub fn new(way: Way, key: StreamKey, terms: LiveTerms, package: P) -> Self {
        Self { way, key, terms, package, publisher: None, ladder: None, had_channel: false }
    }

    /// The channel.
    pub fn channel(&self) -> Uuid {
        self.terms.channel
    }

    /// What decides.
    pub fn package(&mut self) -> &mut P {
        &mut self.package
    }

    /// Hands over what came at `came_at`, by `push`, which is told microseconds since 1970; and does what comes of it.
    ///
    /// # Errors
    /// [`DriveError`].
    pub async fn push(
        &mut self,
        came_at: Instant,
        push: impl FnOnce(&mut P, i64, &mut Vec<Step>) -> Result<(), P::Error>,
    ) -> Result<(), DriveError<P::Error>> {
        let mut steps = Vec::new();
        let packaged = push(&mut self.package, now_us(), &mut steps);
        self.follow(steps, came_at, self.way.patience).await?;
        packaged.map_err(DriveError::Package)
    }

    /// Returns once what is published cannot go on. It may be dropped and called again.
    pub async fn lost(&mut self) -> Lost {
        let Some(publisher) = &mut self.publisher else { return std::future::pending().await };
        match &mut self.ladder {
            Some(ladder) => tokio::select! {
                lost = publisher.lost() => lost,
                () = ladder.changed() => Lost::Ladder,
            },
            None => publisher.lost().await,
        }
    }

    /// A publication that streaming has forgotten is begun again with the next key frame, unless another encoder has taken
    /// the channel: two that take it from each other would help nobody.
    ///
    /// # Errors
    /// [`DriveError::Lost`], if it does not go on.
    pub async fn go_on_after(&mut self, lost: Lost) -> Result<(), DriveError<P::Error>> {
        let channel = self.terms.channel;
        if let Lost::Ladder = lost {
            tracing::info!(%channel, "the renditions of a channel change: its publication begins anew");
            let mut steps = Vec::new();
            let restarted = self.package.restart(&mut steps);
            self.follow(steps, Instant::now(), self.way.patience).await?;
            return restarted.map_err(DriveError::Package);
        }
        if let Lost::Rendition { .. } = &lost {
            if let Some(ladder) = &self.ladder {
                ladder.cut(&lost);
            }
            return Ok(());
        }
        let Lost::Gone(_) = &lost else { return Err(DriveError::Lost(lost)) };
        let client = self.way.client.clone().with_deadline(self.way.answer_timeout);
        let is_free = matches!(client.channel(channel).await, Ok(Some(channel)) if channel.state == ChannelState::Idle);
        // Who stands by takes nothing from anybody.
        let may_go_on = is_free || self.key.stands_by();
        let Some(publisher) = self.publisher.take().filter(|_| may_go_on) else { return Err(DriveError::Lost(lost)) };
        tracing::warn!(%channel, error = chain(&lost), "streaming has forgotten a publication: another is begun");
        self.way.figures.lost.with_label_values(&[lost.reason()]).inc();
        // With it what is made for it.
        (self.ladder, self.had_channel) = (None, false);
        publisher.give_up().await;
        // What it still had to say belongs to the one that is lost.
        self.package.restart(&mut Vec::new()).map_err(DriveError::Package)
    }

    /// Ends what is published: with all that came, unless streaming is the reason.
    pub async fn end(mut self, leaving: Leaving<'_, P::Error>) {
        let (patience, is_whole) = match leaving {
            Leaving::Failed(DriveError::NotBegun(_) | DriveError::Lost(_)) => {
                self.ladder = None;
                if let Some(publisher) = self.publisher.take() {
                    publisher.give_up().await;
                }
                return;
            }
            // What is broken is not finished, but what came before is.
            Leaving::Failed(DriveError::Package(_)) => (self.way.patience, false),
            Leaving::Left => (self.way.patience, true),
            Leaving::Stopped => (FAREWELL, true),
        };
        let mut steps = Vec::new();
        let ended = if is_whole { self.package.finish(&mut steps) } else { self.package.restart(&mut steps) };
        let followed = self.follow(steps, Instant::now(), patience).await;
        if let Err(error) = ended.map_err(DriveError::Package).and(followed) {
            tracing::warn!(error = chain(&error), channel = %self.terms.channel, "the end of a publication was lost");
        }
        // Where the package could not end it.
        if let Some(ladder) = self.ladder.take() {
            ladder.finish(patience).await;
        }
        if let Some(publisher) = self.publisher.take() {
            publisher.finish(patience).await;
        }
    }

    /// Does what the package says. The end of a publication may take as long as `patience`.
    async fn follow(
        &mut self,
        steps: Vec<Step>,
        came_at: Instant,
        patience: Duration,
    ) -> Result<(), DriveError<P::Error>> {
        let mut steps = VecDeque::from(steps);
        while let Some(step) = steps.pop_front() {
            match step {
                Step::Begin(tracks) => {
                    // Who stands by has no ladder before it has the channel.
                    let (stands_by, had_channel) = (self.key.stands_by(), std::mem::take(&mut self.had_channel));
                    let opened = if stands_by && !had_channel {
                        Opened::aside(&self.way, &self.terms, &tracks)
                    } else {
                        Opened::of(&self.way, &self.terms, &tracks).await
                    };
                    let renditions = opened.iter().flat_map(Opened::tracks).collect();
                    let begun = Publisher::begin(self.way.clone(), &self.key, tracks, renditions).await;
                    let (publisher, refused) = begun.map_err(DriveError::NotBegun)?;
                    let publication = publisher.publication();
                    let (channel, first_number) = (publication.channel, publication.first_number);
                    tracing::info!(%channel, publication = %publication.id, first_number, "a publication began");
                    let mut held = Vec::new();
                    let packaged = self.package.begun(&mut held);
                    let role = stands_by.then(|| publisher.taken());
                    self.ladder = opened.map(|opened| opened.begin(|track| publisher.lane(track), role));
                    if let (Some(ladder), Some(refused)) = (&self.ladder, &refused) {
                        ladder.cut(refused);
                    }
                    self.publisher = Some(publisher);
                    // What was held comes before what is next.
                    held.into_iter().rev().for_each(|step| steps.push_front(step));
                    packaged.map_err(DriveError::Package)?;
                }
                Step::Chunk { track, chunk } => {
                    if let Some(publisher) = &self.publisher {
                        publisher.push(&track, &chunk, came_at);
                    }
                    if let Some(ladder) = &self.ladder {
                        ladder.push(&track, &chunk, came_at);
                    }
                }
                Step::End => {
                    if let Some(ladder) = self.ladder.take() {
                        ladder.finish(patience).await;
                    }
                    if let Some(publisher) = self.publisher.take() {
                        self.had_channel = *publisher.taken().borrow() == Some(Taken::Used);
                        publisher.finish(patience).await;
                    }
                }
            }
        }
        Ok(())
    }
}

// === impl DriveError ===

impl<E> DriveError<E> {
    /// A word for `/metrics`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotBegun(_) => "away",
            Self::Lost(lost) => lost.reason(),
            Self::Package(_) => "media",
        }
    }
}

fn now_us() -> i64 {
    i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1000).unwrap_or(i64::MAX)
}
