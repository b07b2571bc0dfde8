//! What an encoder shows as its key, and what streaming says of it before any media is taken.
//!
//! No door judges a key by itself. It gets into no log and no error.

use std::fmt;

use flame_api::Client;
use flame_api::client::ClientError;
use flame_api::live::{LiveKey, LiveTerms, LiveTrack, NewPublication, NewSourcePublication, Publication, stream_key};
use thiserror::Error;
use uuid::Uuid;

use super::publisher::Way;

/// What streaming says of a key that opens nothing, or nothing any more.
const WRONG_KEY: [&str; 2] = ["wrong-key", "channel-ended"];

/// What a publisher shows: a key, and perhaps what it says behind a `?`; or the channel whose source this service fetches itself.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamKey(Shown);

#[derive(Clone, PartialEq, Eq)]
enum Shown {
    Key(String),
    Source(Uuid),
}

/// Why a key opens nothing now.
#[derive(Debug, Error)]
pub enum KeyError {
    /// It opens no channel, or none any more.
    #[error("its key opens nothing")]
    Wrong,
    /// There is no router to ask.
    #[error("this service knows no router, so no streaming")]
    NoWay,
    /// Streaming could not be asked.
    #[error("streaming could not be asked about its key")]
    NotAsked(#[source] Box<ClientError>),
}

/// Asks streaming what a key opens, and on which terms.
///
/// # Errors
/// [`KeyError`].
pub async fn terms(way: Option<&Way>, key: &StreamKey) -> Result<(Way, LiveTerms), KeyError> {
    let Some(way) = way else { return Err(KeyError::NoWay) };
    let client = way.client.clone().with_deadline(way.answer_timeout);
    match client.live_terms(&LiveKey { key: stream_key(key.reveal()).0.to_owned() }).await {
        Ok(terms) => Ok((way.clone(), terms)),
        Err(ClientError::Refused { problem, .. }) if WRONG_KEY.contains(&problem.slug()) => Err(KeyError::Wrong),
        Err(error) => Err(KeyError::NotAsked(Box::new(error))),
    }
}

// === impl StreamKey ===

impl StreamKey {
    /// What was shown.
    #[must_use]
    pub fn new(shown: String) -> Self {
        Self(Shown::Key(shown))
    }

    /// That of nobody: what is sent comes from the channel's own source.
    #[must_use]
    pub fn of_source(channel: Uuid) -> Self {
        Self(Shown::Source(channel))
    }

    /// The key, to ask with.
    #[must_use]
    pub fn reveal(&self) -> &str {
        match &self.0 {
            Shown::Key(key) => key,
            Shown::Source(_) => "",
        }
    }

    /// Begins to send `tracks`.
    ///
    /// # Errors
    /// What streaming says.
    pub async fn publish(&self, client: &Client, tracks: Vec<LiveTrack>) -> Result<Publication, ClientError> {
        match &self.0 {
            Shown::Key(shown) => {
                let (key, standby) = stream_key(shown);
                client.publish(&NewPublication { key: key.to_owned(), tracks, standby }).await
            }
            Shown::Source(channel) => client.publish_source(*channel, &NewSourcePublication { tracks }).await,
        }
    }

    /// Whether its encoder is to stand by.
    #[must_use]
    pub fn stands_by(&self) -> bool {
        stream_key(self.reveal()).1
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamKey")
    }
}

// === impl KeyError ===

impl KeyError {
    /// A word for `/metrics`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Wrong => "key",
            Self::NoWay | Self::NotAsked(_) => "away",
        }
    }
}
