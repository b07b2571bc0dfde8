//! The CMAF door: encoders push fragmented MP4 by HTTP (DASH-IF live media ingest, interface 1), each track by requests of its own.
//!
//! What comes is taken apart while it comes ([`flame_cmaf::pushed`]), and put together to one publication of all tracks
//! ([`programme`], which decides everything and opens nothing). A channel has one task ([`channel`]) that owns its publication;
//! requests hand it what they read, through a queue with a bound, and wait where it is full.
//!
//! The key is looked at before a body is: who shows none that could be one is refused without a word to anybody, and of the others
//! streaming is asked, a few at a time. No token of the service is needed: the channel's key is the credential.

mod channel;
pub mod names;
pub mod programme;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use flame_api::live::LiveTerms;
use flame_service_host::problem::chain;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::PushConfig;
use crate::live::figures::Figures;
use crate::live::key::{self, StreamKey};
use crate::live::publisher::{Reach, Way};
use crate::live::queue::Bound;

pub use channel::{Channel, Ended, PushError};

/// Questions to streaming about keys, at once.
const LOOKUPS_MAX: usize = 8;
/// Letters of a key: the channel's id, and as many secret ones.
const KEY_LENGTH: usize = 64;

/// The key of a channel. It gets into no log.
#[derive(Clone, PartialEq, Eq)]
pub struct ChannelKey(String);

/// What is pushed to this service, by channel. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pushes(Arc<Parties>);

#[derive(Debug)]
struct Parties {
    way: Option<Way>,
    config: PushConfig,
    figures: Figures,
    channels: Mutex<HashMap<[u8; 32], Arc<Channel>>>,
    lookups: Semaphore,
    tasks: TaskTracker,
    stop: CancellationToken,
}

// === impl ChannelKey ===

impl ChannelKey {
    /// What could be one.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let is_key = text.len() == KEY_LENGTH && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_key.then(|| Self(text.to_owned()))
    }

    /// Whether it is one of this channel's, by its first half.
    #[must_use]
    pub fn is_of(&self, channel: uuid::Uuid) -> bool {
        self.0.starts_with(&channel.simple().to_string())
    }

    /// As encoders show it to other doors.
    #[must_use]
    pub fn to_shown(&self) -> StreamKey {
        StreamKey::new(self.0.clone())
    }

    fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }
}

impl std::fmt::Debug for ChannelKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChannelKey")
    }
}

// === impl Pushes ===

impl Pushes {
    /// Nobody pushes yet. Without a `client`, nobody can.
    #[must_use]
    pub fn new(config: PushConfig, reach: Option<Reach>, figures: Figures) -> Self {
        let way = reach.map(|Reach { client, ladder }| Way {
            client,
            ladder,
            bound: Bound {
                bytes: usize::try_from(config.queue.0).unwrap_or(usize::MAX),
                segments: config.queue_segments,
            },
            patience: config.patience.0,
            answer_timeout: config.answer_timeout.0,
            figures: figures.clone(),
        });
        Self(Arc::new(Parties {
            way,
            config,
            figures,
            channels: Mutex::default(),
            lookups: Semaphore::new(LOOKUPS_MAX),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }))
    }

    /// Owns the tasks of all channels until `stop`, and then ends them.
    pub async fn run(self, stop: CancellationToken) {
        stop.cancelled().await;
        self.0.stop.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// How this door is set.
    #[must_use]
    pub fn config(&self) -> &PushConfig {
        &self.0.config
    }

    /// What it counts.
    #[must_use]
    pub fn figures(&self) -> &Figures {
        &self.0.figures
    }

    /// Whether a key opens a channel: what a request is told that brings no media.
    ///
    /// # Errors
    /// [`PushError`].
    pub async fn check(&self, key: &ChannelKey) -> Result<(), PushError> {
        if self.channels().contains_key(&key.digest()) { Ok(()) } else { self.terms(key).await.map(drop) }
    }

    /// The channel that a key opens, with a task that takes what is pushed to it.
    ///
    /// # Errors
    /// [`PushError`].
    async fn open(&self, key: &ChannelKey) -> Result<Arc<Channel>, PushError> {
        let digest = key.digest();
        loop {
            let known = self.channels().get(&digest).cloned();
            if let Some(channel) = known {
                if channel.is_open()? {
                    return Ok(channel);
                }
                // What is still on its way is sent first; then this is another publication.
                tokio::time::timeout(self.0.config.patience.0, channel.closed())
                    .await
                    .map_err(|_| PushError::Closing)?;
                continue;
            }
            let (way, terms) = self.terms(key).await?;
            let mut channels = self.channels();
            if channels.contains_key(&digest) {
                continue;
            }
            if channels.len() >= self.0.config.max_channels {
                return Err(PushError::Full { limit: self.0.config.max_channels });
            }
            let (channel, task) = channel::open(way, key, &terms, &self.0.config, self.0.stop.clone());
            channels.insert(digest, Arc::clone(&channel));
            drop(channels);
            let (parties, handle) = (Arc::clone(&self.0), Arc::clone(&channel));
            self.0.tasks.spawn(async move {
                task.await;
                parties.channels.lock().unwrap_or_else(PoisonError::into_inner).remove(&digest);
                handle.close();
            });
            return Ok(channel);
        }
    }

    /// Reads a request to its end: header, fragments, or both, of the track `name`. That is done by a task of its own, because many
    /// encoders close the connection with their last octet, and what serves a request ends with its connection.
    ///
    /// # Errors
    /// [`PushError`].
    pub async fn receive(&self, key: ChannelKey, name: String, body: Body) -> Result<(), PushError> {
        let pushes = self.clone();
        let reading = self.0.tasks.spawn(async move {
            let received = async {
                let channel = pushes.open(&key).await?;
                channel.receive(&name, body, |octets| pushes.0.figures.received_bytes.inc_by(octets)).await
            };
            let received = received.await;
            if let Err(error @ (PushError::Media(_) | PushError::Tracks { .. })) = &received {
                // Perhaps nobody waits for the answer.
                tracing::warn!(track = name, error = chain(error), "what is pushed is refused");
            }
            received
        });
        reading.await.unwrap_or(Err(PushError::Closing))
    }

    async fn terms(&self, key: &ChannelKey) -> Result<(Way, LiveTerms), PushError> {
        // Never waited for: who asks with wrong keys must not keep others from being asked about.
        let Ok(_place) = self.0.lookups.try_acquire() else { return Err(PushError::Busy) };
        Ok(key::terms(self.0.way.as_ref(), &key.to_shown()).await?)
    }

    fn channels(&self) -> MutexGuard<'_, HashMap<[u8; 32], Arc<Channel>>> {
        // Nothing panics while it holds it.
        self.0.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
