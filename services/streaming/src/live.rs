//! Live channels: who sends to them, what viewers get, and what remains when they end.
//!
//! Doors push segments while they are made ([`flame_api::live`]); each part goes to the viewers that wait for it as soon
//! as it is whole. What becomes whole is stored at once, so that a restart loses only what was under way, and
//! memory does not grow with the length of an event. When a channel ends, its tracks are what was sent: nothing is
//! encoded or copied again.
//!
//! In reading order: [`window`] (what is there of a track; pure), `documents` (what is written), `track` and `channel`
//! (locks around them), `publishing` and `failover` (who sends), `behind` (tracks that stand still), `source` (what ingest fetches by itself), `ladder` (what transcode makes), `archive`, `restoring` and `opening` (to the object store and back, when it is there), `lease`, `fence` and `succession` (instances of which one owns the channels and others are its spares), `forgetting` and `amounts` (what is not kept), `drift` and `clock` (encoders whose clocks run otherwise), `ending` and `recording` (what remains), `view` (a track at one
//! moment, live or not), `span` (clips), `manifest` (the MPD), `marks` (what is said of spans of time), and here the channels of this instance.

mod amounts;
mod archive;
mod behind;
mod catalogued;
mod channel;
mod clock;
mod documents;
mod drift;
mod ending;
mod failover;
mod fence;
mod figures;
mod forgetting;
mod ladder;
mod lease;
mod leftovers;
mod limits;
mod manifest;
mod marks;
mod opening;
mod publishing;
mod recording;
mod restoring;
mod source;
pub(crate) mod span;
mod standby;
mod succession;
mod track;
pub(crate) mod view;
mod window;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use flame_api::live::{Channel as Shown, NewChannel};
use flame_api::metadata::{Encryption, StandingState};
use flame_api::{Client, ClientError};
use flame_cmaf::arriving::ArrivalError;
use flame_object_store::{Store, StoreError};
use flame_service_host::problem::chain;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::config::LiveConfig;
use crate::seals::{Seal, SealError, Seals};
use documents::{ChannelDocument, DOCUMENT_MAX_BYTES, TrackKeys};
use fence::{Fenced, Hold};
use succession::{Reign, Sharing};

pub(crate) use archive::RestoreError;
pub(crate) use channel::Channel;
pub(crate) use ending::CHAIN;
pub(crate) use figures::Figures;
pub(crate) use recording::{Recording, RecordingError, Recordings};
pub(crate) use succession::{Peers, Place};
pub(crate) use track::{Following, Octets, Track, Waited};
pub(crate) use window::NotTaken;

/// Letters of a key before its secret: the channel.
const KEY_ID_LENGTH: usize = uuid::fmt::Simple::LENGTH;
/// The most tracks of a channel, of all who ever published to it.
const TRACKS_MAX: usize = 32;
/// How long the catalogue has to say whether an id is free.
const CATALOGUE_WITHIN: Duration = Duration::from_secs(2);
/// The most init segments of a track.
const INITS_MAX: usize = 1_000;
const DOCUMENT_TYPE: &str = "application/json";

/// The channels of this instance. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Live(Arc<Parties>);

#[derive(Debug)]
struct Parties {
    tenant: String,
    store: Store,
    catalogue: Client,
    config: LiveConfig,
    figures: Figures,
    seals: Seals,
    /// Why the channels are not taken back yet.
    unopened: RwLock<Option<String>>,
    /// With whom the channels are shared, if with anybody.
    sharing: Option<Sharing>,
    reign: RwLock<Reign>,
    channels: RwLock<HashMap<Uuid, Arc<Channel>>>,
    publications: RwLock<HashMap<Uuid, Arc<Channel>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// What a channel or a publisher is refused.
#[derive(Debug, Error)]
pub(crate) enum LiveError {
    /// There is no such channel.
    #[error("there is no channel {0}")]
    NoChannel(Uuid),
    /// There is no such publication, or another one took its place.
    #[error("publication {0} is over, or another one took its place")]
    NoPublication(Uuid),
    /// There is no such track.
    #[error("the publication has no track {0:?}")]
    NoTrack(String),
    /// The key opens nothing.
    #[error("the key is wrong")]
    Key,
    /// Nobody fetches media for it.
    #[error("channel {0} has no source: encoders bring its media, with its key")]
    NoSource(Uuid),
    /// Nothing is made of what comes to it.
    #[error("channel {0} was created without a ladder")]
    NoLadder(Uuid),
    /// The channel has ended.
    #[error("channel {0} has ended")]
    Ended(Uuid),
    /// The id is taken.
    #[error("{0} is taken by another channel")]
    Taken(Uuid),
    /// The id is that of an upload, or of another asset that this channel did not make, or was.
    #[error(
        "{0} is or was an asset that is no recording of this channel: take another id for a channel. What was sent is kept until \
         that asset is deleted for good (in the trash that comes by itself: restore it), since all that goes by its id goes with it"
    )]
    Asset(Uuid),
    /// This instance serves another tenant.
    #[error("this instance serves the channels of one tenant, and {0:?} is another one")]
    Tenant(String),
    /// A value is out of its bounds.
    #[error("{0}")]
    Bounds(String),
    /// A mark cannot be.
    #[error(transparent)]
    Mark(#[from] marks::MarkError),
    /// There are too many channels.
    #[error("this instance takes {0} channels at most")]
    Full(usize),
    /// Too much waits to be stored.
    #[error("{0} bytes of the track wait to be stored; more are not taken now")]
    Behind(usize),
    /// The init segment has to come first.
    #[error("the init segment of track {0:?} has not come")]
    NoInit(String),
    /// What came is no segment.
    #[error("what was sent cannot be taken")]
    Arrival(#[from] ArrivalError),
    /// What came does not fit.
    #[error(transparent)]
    NotTaken(#[from] NotTaken),
    /// The sender went away.
    #[error("the sender broke off")]
    BrokenOff(#[source] axum::Error),
    /// The sender says nothing.
    #[error("nothing came for {0:?}")]
    Silent(Duration),
    /// The store writes whatever the condition.
    #[error(
        "the object store writes whatever `If-Match` and `If-None-Match` say, so instances cannot share live channels: take `lease` out of [live]"
    )]
    Conditions,
    /// The object store failed.
    #[error("the object store failed")]
    Store(#[from] StoreError),
    /// The object store takes connections, and does not answer.
    #[error("the object store said nothing for {0:?}")]
    StoreSilent(Duration),
    /// What was stored cannot be taken back.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// Its key cannot be had, so nothing of it goes out.
    #[error("the key of the channel cannot be had")]
    Seal(#[from] Arc<SealError>),
    /// The catalogue does not take the recording.
    #[error("the catalogue does not take the recording")]
    Catalogue(#[from] ClientError),
}

// === impl Live ===

impl Live {
    /// Takes back the channels that have not ended; where `peers` share them, once this instance is their owner, and where the object store
    /// is away, once it is there.
    pub(crate) async fn open(
        tenant: String,
        store: Store,
        catalogue: Client,
        (config, figures, seals): (LiveConfig, Figures, Seals),
        peers: Option<Peers>,
    ) -> Result<Self, LiveError> {
        let stop = CancellationToken::new();
        let sharing = config.lease.zip(peers).map(|(life, peers)| Sharing::new(life.0, peers, &figures));
        let hold = if sharing.is_some() { Hold::until((1, Uuid::nil()), Duration::ZERO) } else { Hold::forever() };
        let reign = Reign::new(Fenced::new(store.clone(), hold), stop.child_token());
        let live = Self(Arc::new(Parties {
            tenant,
            store,
            catalogue,
            config,
            figures,
            seals,
            unopened: RwLock::default(),
            sharing,
            reign: RwLock::new(reign),
            channels: RwLock::default(),
            publications: RwLock::default(),
            tasks: TaskTracker::new(),
            stop,
        }));
        live.open_now().await?;
        Ok(live)
    }

    /// Owns the tasks until `stop`; then it waits for what is being stored.
    pub(crate) async fn until(self, stop: CancellationToken) {
        let left = CancellationToken::new();
        let leaves = async {
            self.leave(stop).await;
            left.cancel();
        };
        let holds = async {
            if self.0.stop.run_until_cancelled(self.open_at_last()).await.is_some() {
                self.hold_lease(&left).await;
            }
        };
        tokio::join!(holds, leaves);
    }

    async fn leave(&self, stop: CancellationToken) {
        stop.cancelled().await;
        self.0.stop.cancel();
        let channels: Vec<_> = self.channels().values().cloned().collect();
        // What is under way now would be nobody's otherwise: viewers have seen its parts.
        channels.iter().flat_map(|channel| channel.tracks()).for_each(|track| track.shut());
        self.0.tasks.close();
        self.0.tasks.wait().await;
        self.note_last_numbers().await;
    }

    fn channels(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<Uuid, Arc<Channel>>> {
        self.0.channels.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn keys(&self, channel: &Channel, track: &str) -> TrackKeys {
        TrackKeys::new(&self.0.tenant, channel.id, &channel.media_version, track)
    }

    fn keep(&self, channel: &Arc<Channel>, track: Arc<Track>) {
        let (reign, keepers) = (self.reign(), self.0.figures.keepers.clone());
        let keeping = archive::keep(reign.store, Arc::clone(channel), track, reign.stop);
        keepers.inc();
        self.0.tasks.spawn(async move {
            keeping.await;
            keepers.dec();
        });
    }

    /// How long a viewer's request waits.
    pub(crate) fn patience(&self) -> Duration {
        self.0.config.patience.0
    }

    /// The channel of that asset, if it is live, and this instance's.
    pub(crate) fn find(&self, asset: Uuid) -> Option<Arc<Channel>> {
        if !self.is_held() {
            return None;
        }
        self.0.channels.read().unwrap_or_else(PoisonError::into_inner).get(&asset).cloned()
    }

    fn owned(&self, tenant: &str, id: Uuid) -> Result<Arc<Channel>, LiveError> {
        self.held()?;
        self.find(id).filter(|_| tenant == self.0.tenant).ok_or(LiveError::NoChannel(id))
    }

    /// Makes a channel; `None` for the key where it was there before.
    pub(crate) async fn create(&self, tenant: &str, new: &NewChannel) -> Result<Shown, LiveError> {
        if tenant != self.0.tenant {
            return Err(LiveError::Tenant(tenant.to_owned()));
        }
        limits::check(new)?;
        if let Some(known) = self.find(new.id) {
            let shown = known.shown().await;
            let from = shown.source.as_ref().map(|source| &source.from);
            let ladder = shown.ladder.as_ref().map(|ladder| &ladder.rungs);
            let is_same = (
                &shown.title,
                shown.segment_ms,
                shown.part_ms,
                shown.window_s,
                shown.keep_s,
                from,
                ladder,
                shown.encryption,
            ) == (
                &new.title,
                new.segment_ms,
                new.part_ms,
                new.window_s,
                new.keep_s,
                new.source.as_ref(),
                new.ladder.as_ref().map(|ladder| &ladder.rungs),
                new.encryption,
            );
            return if is_same { Ok(shown) } else { Err(LiveError::Taken(new.id)) };
        }
        if self.channels().len() >= self.0.config.channels_max {
            return Err(LiveError::Full(self.0.config.channels_max));
        }
        if self.0.store.head(&documents::ended_key(tenant, new.id)).await?.is_some() {
            return Err(LiveError::Taken(new.id));
        }
        // An upload would keep its recording out of the catalogue. A catalogue that is away keeps nobody from going live.
        let catalogue = self.0.catalogue.for_tenant(tenant).with_deadline(CATALOGUE_WITHIN);
        // So would one that is deleted, in the trash or for good: all that lies below its id may be deleted at any time.
        match catalogue.standing(new.id).await.map(|standing| standing.state) {
            Ok(StandingState::Free) => {}
            Ok(StandingState::Present | StandingState::Trashed | StandingState::Deleted) => {
                return Err(LiveError::Asset(new.id));
            }
            // One of an older release names only what is there.
            Err(unknown) if unknown.status() == Some(404) => {
                if let Ok(Some(_)) = catalogue.asset(new.id).await {
                    return Err(LiveError::Asset(new.id));
                }
            }
            Err(error) => {
                tracing::warn!(channel = %new.id, error = %chain(&error), "nobody says whether the channel's id is free");
            }
        }
        let key = fresh_key(new.id);
        let media_version: String = Uuid::new_v4().simple().to_string().chars().take(12).collect();
        let document = ChannelDocument::new(tenant, new, media_version, sha256_hex(&key));
        // The key first: there is no moment in which nobody could encrypt.
        let seal = self.sealed(new.id, new.encryption).await?;
        let stored_at = documents::channel_key(tenant, new.id);
        let store = self.store();
        match store.put_new(&stored_at, documents::write(&document)).await {
            Ok(()) => {}
            Err(StoreError::PreconditionFailed { .. }) => {
                self.held()?;
                return Err(LiveError::Taken(new.id));
            }
            Err(error) => return Err(error.into()),
        }
        let sealed = (seal, self.0.config.drift_window.0);
        let channel = Arc::new(Channel::going_on(document, BTreeMap::new(), 0, sealed));
        channel.belongs_to(store);
        self.channels().insert(new.id, Arc::clone(&channel));
        tracing::info!(channel = %new.id, "a live channel was made");
        Ok(Shown { key: Some(key), ..channel.shown().await })
    }

    /// What a channel goes out with; a key is made where it has none.
    async fn sealed(&self, id: Uuid, encryption: Option<Encryption>) -> Result<Option<Seal>, LiveError> {
        let Some(method) = encryption else { return Ok(None) };
        Ok(Some(self.0.seals.made((&self.0.tenant, id), method, self.0.config.key_segments).await?))
    }

    /// All channels of a tenant that have not ended, by their ids.
    pub(crate) async fn list(&self, tenant: &str) -> Vec<Shown> {
        let mut channels: Vec<Arc<Channel>> = if tenant == self.0.tenant {
            self.0.channels.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
        } else {
            Vec::new()
        };
        channels.sort_by_key(|channel| channel.id);
        let mut shown = Vec::with_capacity(channels.len());
        for channel in channels {
            shown.push(channel.shown().await);
        }
        shown
    }

    /// One channel, also one that has ended.
    pub(crate) async fn show(&self, tenant: &str, id: Uuid) -> Result<Shown, LiveError> {
        match self.owned(tenant, id) {
            Ok(channel) => Ok(channel.shown().await),
            Err(LiveError::NoChannel(_)) if tenant == self.0.tenant => {
                let document = self.document(id).await?.ok_or(LiveError::NoChannel(id))?;
                Ok(Channel::of(document, BTreeMap::new()).shown().await)
            }
            Err(error) => Err(error),
        }
    }

    async fn document(&self, id: Uuid) -> Result<Option<ChannelDocument>, LiveError> {
        let tenant = &self.0.tenant;
        for key in [documents::channel_key(tenant, id), documents::ended_key(tenant, id)] {
            match self.0.store.get(&key, DOCUMENT_MAX_BYTES).await {
                Ok(json) => return Ok(Some(documents::read(&key, &json).map_err(RestoreError::Document)?)),
                Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// Gives a channel another key.
    pub(crate) async fn new_key(&self, tenant: &str, id: Uuid) -> Result<Shown, LiveError> {
        let channel = self.owned(tenant, id)?;
        let key = fresh_key(id);
        let hashed = sha256_hex(&key);
        self.write(&channel, |document| document.key_sha256 = hashed).await?;
        Ok(Shown { key: Some(key), ..channel.shown().await })
    }

    /// Changes a channel's document, in the store first.
    async fn write(&self, channel: &Channel, change: impl FnOnce(&mut ChannelDocument)) -> Result<(), LiveError> {
        let mut document = channel.document.lock().await;
        let mut changed = document.clone();
        change(&mut changed);
        if changed != *document {
            let key = documents::channel_key(&self.0.tenant, channel.id);
            self.store_of(channel).put(&key, documents::write(&changed)).await?;
            *document = changed;
        }
        Ok(())
    }

    /// The channel that a key opens.
    pub(crate) async fn opened(&self, tenant: &str, key: &str) -> Result<Arc<Channel>, LiveError> {
        let id = key.get(..KEY_ID_LENGTH).and_then(|id| Uuid::try_parse(id).ok()).ok_or(LiveError::Key)?;
        let channel = self.owned(tenant, id).map_err(|error| match error {
            LiveError::NotTaken(_) => error,
            _ => LiveError::Key,
        })?;
        let hashed = sha256_hex(key);
        // Both are digests: how long the comparison takes tells nothing of the key.
        if channel.document.lock().await.key_sha256 != hashed {
            return Err(LiveError::Key);
        }
        if channel.is_ended() { Err(LiveError::Ended(id)) } else { Ok(channel) }
    }
}

fn fresh_key(channel: Uuid) -> String {
    format!("{}{}", channel.simple(), Uuid::new_v4().simple())
}

fn sha256_hex(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}
