//! Live channels: who sends to them, what viewers get, and what remains when they end.
//!
//! Doors push segments while they are made ([`flame_api::live`]); each part goes to the viewers that wait for it as soon
//! as it is whole. What becomes whole is stored at once, so that a restart loses only what was under way, and
//! memory does not grow with the length of an event. When a channel ends, its tracks are what was sent: nothing is
//! encoded or copied again.
//!
//! In reading order: [`window`] (what is there of a track; pure), `documents` (what is written), `track` and `channel`
//! (locks around them), `publishing` and `failover` (who sends), `behind` (tracks that stand still), `source` (what ingest fetches by itself), `ladder` (what transcode makes), `archive` (to the object store and back), `forgetting` and `amounts` (what is not kept), `drift` and `clock` (encoders whose clocks run otherwise), `ending` and `recording` (what remains), `view` (a track at one
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
mod figures;
mod forgetting;
mod ladder;
mod limits;
mod manifest;
mod marks;
mod publishing;
mod recording;
mod source;
pub(crate) mod span;
mod standby;
mod track;
pub(crate) mod view;
mod window;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use flame_api::live::{Channel as Shown, NewChannel};
use flame_api::metadata::StandingState;
use flame_api::{Client, ClientError};
use flame_cmaf::arriving::ArrivalError;
use flame_object_store::{IfExists, Store, StoreError};
use flame_service_host::problem::chain;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::config::LiveConfig;
use documents::{ChannelDocument, DOCUMENT_MAX_BYTES, NumbersDocument, TrackKeys};

pub(crate) use archive::RestoreError;
pub(crate) use channel::Channel;
pub(crate) use ending::CHAIN;
pub(crate) use figures::Figures;
pub(crate) use recording::{Recording, RecordingError, Recordings};
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
    /// The object store failed.
    #[error("the object store failed")]
    Store(#[from] StoreError),
    /// What was stored cannot be taken back.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The catalogue does not take the recording.
    #[error("the catalogue does not take the recording")]
    Catalogue(#[from] ClientError),
}

// === impl Live ===

impl Live {
    /// Takes back the channels that have not ended.
    pub(crate) async fn open(
        tenant: String,
        store: Store,
        catalogue: Client,
        (config, figures): (LiveConfig, Figures),
    ) -> Result<Self, LiveError> {
        let live = Self(Arc::new(Parties {
            tenant,
            store,
            catalogue,
            config,
            figures,
            channels: RwLock::default(),
            publications: RwLock::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }));
        let mut page = None;
        loop {
            let found = live.0.store.list(&documents::channels_prefix(&live.0.tenant), page).await?;
            for object in found.objects {
                match live.take_back(&object.key).await {
                    Ok(()) => {}
                    // One channel that cannot go on keeps nobody else, live or on demand.
                    Err(LiveError::Restore(RestoreError::Document(error))) => {
                        tracing::error!(error = %chain(&error), "a channel cannot go on, and is left out");
                    }
                    Err(LiveError::Store(error) | LiveError::Restore(RestoreError::Store(error)))
                        if matches!(error, StoreError::NotFound { .. }) =>
                    {
                        tracing::error!(channel = %object.key, error = %chain(&error), "a channel cannot go on, and is left out");
                    }
                    Err(error) => return Err(error),
                }
            }
            page = found.next;
            if page.is_none() {
                return Ok(live);
            }
        }
    }

    /// Goes on with a channel that has not ended.
    async fn take_back(&self, key: &str) -> Result<(), LiveError> {
        let json = self.0.store.get(key, DOCUMENT_MAX_BYTES).await?;
        let document: ChannelDocument = documents::read(key, &json).map_err(RestoreError::Document)?;
        if document.is_ended {
            // An older release left it here, or the process ended before it was put away. It is read here, too: a store that takes
            // nothing now keeps nobody from playing.
            if let Err(error) = self.put_away(&document).await {
                tracing::warn!(channel = %document.id, error = %chain(&error), "an ended channel stays where starts look");
            }
            Ok(())
        } else {
            self.restore(document).await
        }
    }

    async fn restore(&self, document: ChannelDocument) -> Result<(), LiveError> {
        let (mut tracks, mut sent, mut starts_ms) = (BTreeMap::new(), Vec::new(), Vec::new());
        let empty = Channel::of(document.clone(), BTreeMap::new());
        for known in &document.tracks {
            let name = known.track.name.clone();
            let keys = self.keys(&empty, &name);
            let forgotten = forgetting::read(&self.0.store, &keys).await?;
            starts_ms.extend(forgotten.period_start_ms);
            let segments = archive::segments(&self.0.store, &keys, &forgotten).await?;
            archive::sweep(&self.0.store, &keys, (&forgotten, &segments)).await;
            let ticks = u64::from(document.window_s) * u64::from(known.track.timescale);
            let facts = known.track.clone();
            let gap_ticks = (u64::from(facts.timescale) * u64::from(document.segment_ms) / 1000).max(1);
            let window = archive::restore(
                |first| window::Window::new(facts.timescale, u64::from(facts.part_ticks), gap_ticks, first),
                (&forgotten, &segments),
                ticks,
            );
            let inits = known.inits.iter().filter_map(track::Init::stored).collect();
            let mut track = Track::new(keys, facts, inits, window);
            track.remember(&segments);
            tracks.insert(name, Arc::new(track));
            sent.push((known.clone(), segments));
        }
        let numbers_key = documents::numbers_key(&self.0.tenant, document.id, &document.media_version);
        let first_unseen = match self.0.store.get(&numbers_key, DOCUMENT_MAX_BYTES).await {
            Ok(json) => documents::read::<NumbersDocument>(&numbers_key, &json).map_err(RestoreError::Document)?.next,
            // Nobody has sent to it, or a release that noted none was the last.
            Err(StoreError::NotFound { .. }) => 0,
            Err(error) => return Err(error.into()),
        };
        let channel = Arc::new(Channel::going_on(document, tracks, first_unseen, self.0.config.drift_window.0));
        channel.manifest.lock().unwrap_or_else(PoisonError::into_inner).restore(&sent, starts_ms);
        tracing::info!(channel = %channel.id, "a live channel goes on");
        channel.tracks().into_iter().for_each(|track| self.keep(&channel, track));
        self.channels().insert(channel.id, channel);
        Ok(())
    }

    /// Owns the tasks until `stop`; then it waits for what is being stored.
    pub(crate) async fn until(self, stop: CancellationToken) {
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
        let (store, stop) = (self.0.store.clone(), self.0.stop.clone());
        self.0.tasks.spawn(archive::keep(store, Arc::clone(channel), track, stop));
    }

    /// How long a viewer's request waits.
    pub(crate) fn patience(&self) -> Duration {
        self.0.config.patience.0
    }

    /// The channel of that asset, if it is live.
    pub(crate) fn find(&self, asset: Uuid) -> Option<Arc<Channel>> {
        self.0.channels.read().unwrap_or_else(PoisonError::into_inner).get(&asset).cloned()
    }

    fn owned(&self, tenant: &str, id: Uuid) -> Result<Arc<Channel>, LiveError> {
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
            let is_same = (&shown.title, shown.segment_ms, shown.part_ms, shown.window_s, shown.keep_s, from, ladder)
                == (
                    &new.title,
                    new.segment_ms,
                    new.part_ms,
                    new.window_s,
                    new.keep_s,
                    new.source.as_ref(),
                    new.ladder.as_ref().map(|ladder| &ladder.rungs),
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
        let stored_at = documents::channel_key(tenant, new.id);
        let stored = self.0.store.put_if(&stored_at, documents::write(&document), DOCUMENT_TYPE, IfExists::Fail).await;
        match stored {
            Ok(_) => {}
            Err(StoreError::PreconditionFailed { .. }) => return Err(LiveError::Taken(new.id)),
            Err(error) => return Err(error.into()),
        }
        let channel = Arc::new(Channel::going_on(document, BTreeMap::new(), 0, self.0.config.drift_window.0));
        self.channels().insert(new.id, Arc::clone(&channel));
        tracing::info!(channel = %new.id, "a live channel was made");
        Ok(Shown { key: Some(key), ..channel.shown().await })
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
            Err(_) if tenant == self.0.tenant => {
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
            self.0.store.put(&key, documents::write(&changed), DOCUMENT_TYPE).await?;
            *document = changed;
        }
        Ok(())
    }

    /// The channel that a key opens.
    pub(crate) async fn opened(&self, tenant: &str, key: &str) -> Result<Arc<Channel>, LiveError> {
        let id = key.get(..KEY_ID_LENGTH).and_then(|id| Uuid::try_parse(id).ok()).ok_or(LiveError::Key)?;
        let channel = self.owned(tenant, id).map_err(|_| LiveError::Key)?;
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
