//! What plays of an asset now: asked from the catalogue, kept for a moment, and used on while it is away.
//!
//! Two caches. *Fresh* answers hold for a second, so a thousand viewers cost one question a second, and only
//! one question for an asset is ever open. *Known* answers hold much longer: media below a version cannot
//! change, so it needs the catalogue only to know that the asset still exists; and while the catalogue is
//! away, what it said last stays true. When that runs out too, viewers get 503.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use flame_api::media::TrackKind;
use flame_api::metadata::{Asset, AssetState, Encryption, SoundLabel, Source, Version};
use flame_api::subtitles::Subtitle;
use flame_api::{Client, ClientError};
use flame_playlist::{Container, PlaylistError};
use moka::Expiry;
use moka::future::Cache;
use sha2::{Digest, Sha256};
use thiserror::Error;
use uuid::Uuid;

use crate::config::CatalogueConfig;
use crate::multivariant::{self, Listed};
use crate::steering::Ways;

/// An asset that is not there is asked for again so soon: who has just uploaded it waits for it.
const MISSING_FRESH: Duration = Duration::from_millis(100);

/// An asset as far as streaming cares.
#[derive(Debug, Clone, PartialEq)]
pub struct Presentation {
    /// Its tenant: the first part of every key.
    pub tenant: String,
    /// Key of its poster, if it has one.
    pub poster_key: Option<String>,
    /// Viewers need a signed URL.
    pub protected: bool,
    /// How its media goes out, if not in the clear.
    pub encryption: Option<Encryption>,
    /// What it was made from, and plays as until it has a version.
    pub source: Source,
    /// The container of that, as the probe calls it.
    pub container: String,
    /// What can be read along with it.
    pub subtitles: Vec<Subtitle>,
    /// What was said of its sounds; the tracks of a version show it already.
    pub sound_labels: Vec<SoundLabel>,
    /// Whether it plays.
    pub state: State,
}

/// Whether an asset plays.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// It has no version yet: it is being conditioned, or nobody asked for that.
    Waiting,
    /// It will have none, unless somebody does something.
    Failed {
        /// Why, for people.
        reason: String,
    },
    /// It plays.
    Playable(Box<Version>),
    /// It has a version that makes no playlist: a fault of ours.
    Broken {
        /// Why.
        reason: String,
    },
}

/// A finished text and its identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The text.
    pub text: Bytes,
    /// Its SHA-256.
    pub sha256: [u8; 32],
}

/// Why nothing is known of an asset.
#[derive(Debug, Error)]
pub enum CatalogueError {
    /// The catalogue does not answer, and its last answer is too old or there is none.
    #[error("the catalogue does not say what plays of asset {asset}")]
    Away {
        /// The asset.
        asset: Uuid,
        /// What happened.
        #[source]
        source: ClientError,
    },
    /// The catalogue refuses to answer this service, or answers nonsense.
    #[error("the catalogue does not serve asset {asset} to this service")]
    Refused {
        /// The asset.
        asset: Uuid,
        /// What it said.
        #[source]
        source: ClientError,
    },
}

/// All assets, as the catalogue knows them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Presentations {
    catalogue: Client,
    fresh: Cache<Uuid, Option<Arc<Presentation>>>,
    known: Cache<Uuid, Known>,
    media_fresh: Duration,
}

/// How long a fresh answer is one.
#[derive(Debug)]
struct Freshness(Duration);

#[derive(Debug, Clone)]
struct Known {
    presentation: Arc<Presentation>,
    asked: Instant,
}

/// A track that lacks what a playlist must say.
#[derive(Debug, Error)]
enum VersionError {
    #[error("video track {track} has no width or height")]
    Size { track: String },
    #[error("the version makes no playlist: {0}")]
    Playlist(#[from] PlaylistError),
}

// === impl Freshness ===

impl Expiry<Uuid, Option<Arc<Presentation>>> for Freshness {
    fn expire_after_create(&self, _: &Uuid, answer: &Option<Arc<Presentation>>, _: Instant) -> Option<Duration> {
        Some(if answer.is_none() { self.0.min(MISSING_FRESH) } else { self.0 })
    }
}

// === impl Presentations ===

impl Presentations {
    /// An empty cache in front of `catalogue`.
    #[must_use]
    pub fn new(catalogue: Client, config: &CatalogueConfig) -> Self {
        Self {
            catalogue: catalogue.with_deadline(config.deadline.0),
            fresh: Cache::builder().max_capacity(config.assets_max).expire_after(Freshness(config.fresh.0)).build(),
            known: Cache::builder().max_capacity(config.assets_max).time_to_live(config.stale.0).build(),
            media_fresh: config.media_fresh.0,
        }
    }

    /// What plays now; `None` if there is no such asset.
    ///
    /// # Errors
    /// [`CatalogueError`].
    pub async fn current(&self, asset: Uuid) -> Result<Option<Arc<Presentation>>, Arc<CatalogueError>> {
        self.fresh.try_get_with(asset, Box::pin(self.ask(asset))).await
    }

    /// The asset as far as media below one of its versions needs it: an older answer will do.
    ///
    /// # Errors
    /// [`CatalogueError`].
    pub async fn for_media(&self, asset: Uuid) -> Result<Option<Arc<Presentation>>, Arc<CatalogueError>> {
        match self.known.get(&asset).await {
            Some(known) if known.asked.elapsed() < self.media_fresh => Ok(Some(known.presentation)),
            Some(_) | None => self.current(asset).await,
        }
    }

    async fn ask(&self, asset: Uuid) -> Result<Option<Arc<Presentation>>, CatalogueError> {
        match self.catalogue.asset(asset).await {
            Ok(Some(found)) => {
                let presentation = Arc::new(Presentation::of(found));
                if let State::Broken { reason } = &presentation.state {
                    tracing::error!(%asset, reason, "an asset cannot be presented");
                }
                let known = Known { presentation: presentation.clone(), asked: Instant::now() };
                self.known.insert(asset, known).await;
                Ok(Some(presentation))
            }
            Ok(None) => {
                self.known.invalidate(&asset).await;
                Ok(None)
            }
            Err(source) if source.is_transient() => match self.known.get(&asset).await {
                Some(known) => {
                    let age_s = known.asked.elapsed().as_secs();
                    tracing::warn!(%asset, age_s, error = %source, "the catalogue is away; its last answer is used");
                    Ok(Some(known.presentation))
                }
                None => Err(CatalogueError::Away { asset, source }),
            },
            Err(source) => Err(CatalogueError::Refused { asset, source }),
        }
    }
}

// === impl Presentation ===

impl Presentation {
    /// What plays of `asset`. A version that was published once plays whatever happened since.
    #[must_use]
    pub fn of(asset: Asset) -> Self {
        let state = match (asset.version, asset.state) {
            (Some(version), _) => match check(&version) {
                Ok(()) => State::Playable(Box::new(version)),
                Err(error) => State::Broken { reason: error.to_string() },
            },
            (None, AssetState::Failed) => {
                State::Failed { reason: asset.error.unwrap_or_else(|| "conditioning failed".to_owned()) }
            }
            (None, AssetState::Registered | AssetState::Ready) => State::Waiting,
        };
        let Asset { tenant, poster_key, protected, encryption, source, probe, subtitles, sound_labels, .. } = asset;
        let container = probe.container;
        Self { tenant, poster_key, protected, encryption, source, container, subtitles, sound_labels, state }
    }

    /// Its subtitles of this name.
    pub(crate) fn subtitle(&self, id: &str) -> Option<&Subtitle> {
        self.subtitles.iter().find(|subtitle| subtitle.id == id)
    }
}

// === impl Document ===

impl Document {
    /// A text with its digest.
    #[must_use]
    pub fn new(text: String) -> Self {
        let sha256 = Sha256::digest(text.as_bytes()).into();
        Self { text: Bytes::from(text), sha256 }
    }
}

/// Whether a version makes a playlist.
fn check(version: &Version) -> Result<(), VersionError> {
    let sizeless = version
        .tracks
        .iter()
        .find(|track| track.kind == TrackKind::Video && (track.width.is_none() || track.height.is_none()));
    if let Some(track) = sizeless {
        return Err(VersionError::Size { track: track.name.clone() });
    }
    let listed =
        |facts| Listed { facts: Cow::Borrowed(facts), video_range: None, supplemental_codec: None, complete: None };
    let tracks: Vec<Listed<'_>> = version.tracks.iter().map(listed).collect();
    multivariant::playlist(&version.name, (&tracks, &[]), Container::FragmentedMp4, None, (None, &Ways::default()))?;
    Ok(())
}
