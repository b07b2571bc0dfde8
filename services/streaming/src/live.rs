//! Live channels: who sends to them, what viewers get, and what remains when they end.
//!
//! Doors push segments while they are made ([`flame_api::live`]); each part goes to the viewers that wait for it as soon
//! as it is whole. What becomes whole is stored at once, so that a restart loses only what was under way, and
//! memory does not grow with the length of an event. When a channel ends, its tracks are what was sent: nothing is
//! encoded or copied again.
//!
//! In reading order: [`window`] (what is there of a track; pure), `documents` (what is written), `track` and `channel`
//! (locks around them), `archive` (to the object store and back), `ending` and `recording` (what remains), and here the channels of this instance.

mod archive;
mod channel;
mod documents;
mod ending;
mod limits;
mod recording;
mod track;
mod window;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use flame_api::live::{Channel as Shown, NewChannel, NewPublication, Publication};
use flame_api::{Client, ClientError};
use flame_cmaf::arriving::{Arrival, ArrivalError};
use flame_object_store::{IfExists, Store, StoreError};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::config::LiveConfig;
use documents::{ChannelDocument, DOCUMENT_MAX_BYTES, TrackKeys};
use window::NotTaken;

pub(crate) use archive::RestoreError;
pub(crate) use channel::Channel;
pub(crate) use recording::{Recording, RecordingError, Recordings};
pub(crate) use track::{Octets, Track, Waited};

/// Letters of a key before its secret: the channel.
const KEY_ID_LENGTH: usize = uuid::fmt::Simple::LENGTH;
/// The most tracks of a channel, of all who ever published to it.
const TRACKS_MAX: usize = 32;
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
    /// The channel has ended.
    #[error("channel {0} has ended")]
    Ended(Uuid),
    /// The id is taken.
    #[error("{0} is taken by another channel")]
    Taken(Uuid),
    /// This instance serves another tenant.
    #[error("this instance serves the channels of one tenant, and {0:?} is another one")]
    Tenant(String),
    /// A value is out of its bounds.
    #[error("{0}")]
    Bounds(String),
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
        config: LiveConfig,
    ) -> Result<Self, LiveError> {
        let live = Self(Arc::new(Parties {
            tenant,
            store,
            catalogue,
            config,
            channels: RwLock::default(),
            publications: RwLock::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }));
        let mut page = None;
        loop {
            let found = live.0.store.list(&documents::channels_prefix(&live.0.tenant), page).await?;
            for object in found.objects {
                let json = live.0.store.get(&object.key, DOCUMENT_MAX_BYTES).await?;
                let document: ChannelDocument = documents::read(&object.key, &json).map_err(RestoreError::Document)?;
                if !document.is_ended {
                    live.restore(document).await?;
                }
            }
            page = found.next;
            if page.is_none() {
                return Ok(live);
            }
        }
    }

    async fn restore(&self, document: ChannelDocument) -> Result<(), LiveError> {
        let mut tracks = BTreeMap::new();
        let empty = Channel::of(document.clone(), BTreeMap::new());
        for known in &document.tracks {
            let name = known.track.name.clone();
            let keys = self.keys(&empty, &name);
            let segments = archive::segments(&self.0.store, &keys).await?;
            let ticks = u64::from(document.window_s) * u64::from(known.track.timescale);
            let facts = known.track.clone();
            let gap_ticks = (u64::from(facts.timescale) * u64::from(document.segment_ms) / 1000).max(1);
            let window = archive::restore(
                |first| window::Window::new(facts.timescale, u64::from(facts.part_ticks), gap_ticks, first),
                &segments,
                ticks,
            );
            let inits = known.inits.iter().filter_map(track::Init::stored).collect();
            tracks.insert(name, Arc::new(Track::new(keys, facts, inits, window)));
        }
        let channel = Arc::new(Channel::of(document, tracks));
        tracing::info!(channel = %channel.id, "a live channel goes on");
        channel.tracks().into_iter().for_each(|track| self.keep(&channel, track));
        self.channels().insert(channel.id, channel);
        Ok(())
    }

    /// Owns the tasks until `stop`; then it waits for what is being stored.
    pub(crate) async fn until(self, stop: CancellationToken) {
        stop.cancelled().await;
        self.0.stop.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    fn channels(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<Uuid, Arc<Channel>>> {
        self.0.channels.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn keys(&self, channel: &Channel, track: &str) -> TrackKeys {
        TrackKeys::new(&self.0.tenant, channel.id, &channel.media_version, track)
    }

    fn keep(&self, channel: &Channel, track: Arc<Track>) {
        let (store, stop, window_s) = (self.0.store.clone(), self.0.stop.clone(), channel.window_s);
        self.0.tasks.spawn(archive::keep(store, track, window_s, stop));
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
            let is_same = (&shown.title, shown.segment_ms, shown.part_ms, shown.window_s)
                == (&new.title, new.segment_ms, new.part_ms, new.window_s);
            return if is_same { Ok(shown) } else { Err(LiveError::Taken(new.id)) };
        }
        if self.channels().len() >= self.0.config.channels_max {
            return Err(LiveError::Full(self.0.config.channels_max));
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
        let channel = Arc::new(Channel::of(document, BTreeMap::new()));
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
        let key = documents::channel_key(&self.0.tenant, id);
        match self.0.store.get(&key, DOCUMENT_MAX_BYTES).await {
            Ok(json) => Ok(Some(documents::read(&key, &json).map_err(RestoreError::Document)?)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
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

    /// Somebody begins to send.
    pub(crate) async fn publish(&self, tenant: &str, new: &NewPublication) -> Result<Publication, LiveError> {
        let channel = self.opened(tenant, &new.key).await?;
        let id = channel.id;
        limits::check_tracks(channel.part_ms, &new.tracks)?;
        let new_tracks = new.tracks.iter().filter(|track| channel.track(&track.name).is_none()).count();
        if channel.tracks().len() + new_tracks > TRACKS_MAX {
            return Err(LiveError::Bounds(format!(
                "a channel has {TRACKS_MAX} tracks at most, of all who published to it"
            )));
        }
        for wanted in &new.tracks {
            let known = channel.track(&wanted.name).map(|track| track.facts().timescale);
            if known.is_some_and(|timescale| timescale != wanted.timescale) {
                return Err(LiveError::Bounds(format!(
                    "track {:?} counts in {} ticks a second in this channel, not in {}: send as before, or to another channel",
                    wanted.name,
                    known.unwrap_or_default(),
                    wanted.timescale
                )));
            }
        }
        let first_number = channel.next_number();
        let publication = Uuid::new_v4();
        channel.taken_by(publication);
        for facts in &new.tracks {
            let track = match channel.track(&facts.name) {
                Some(track) => track,
                None => {
                    let keys = self.keys(&channel, &facts.name);
                    let track = Arc::new(channel.new_track(keys, facts.clone(), first_number));
                    channel.add(facts.name.clone(), Arc::clone(&track));
                    self.keep(&channel, Arc::clone(&track));
                    track
                }
            };
            track.announce(facts.clone());
            track.pause();
            track.skip_to(first_number)?;
        }
        self.publications().retain(|_, other| other.id != id);
        self.publications().insert(publication, Arc::clone(&channel));
        self.0.tasks.spawn(self.clone().listen(Arc::clone(&channel), publication));
        tracing::info!(channel = %id, %publication, first_number, "a publication begins");
        let (segment_ms, part_ms) = (channel.segment_ms, channel.part_ms);
        Ok(Publication { id: publication, channel: id, segment_ms, part_ms, first_number })
    }

    /// Ends a publication of which nothing comes any more: its door died without a word.
    async fn listen(self, channel: Arc<Channel>, publication: Uuid) {
        let silence = self.0.config.silence.0;
        while channel.is_sent_by(publication) {
            let left = silence.saturating_sub(channel.silent_for());
            if left.is_zero() {
                tracing::warn!(channel = %channel.id, %publication, ?silence, "nothing comes of a publication: it is over");
                self.unpublish(publication);
                return;
            }
            tokio::select! { () = tokio::time::sleep(left) => {}, () = self.0.stop.cancelled() => return }
        }
    }

    fn publications(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<Uuid, Arc<Channel>>> {
        self.0.publications.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn published(&self, publication: Uuid, name: &str) -> Result<(Arc<Channel>, Arc<Track>), LiveError> {
        let channel = self.0.publications.read().unwrap_or_else(PoisonError::into_inner).get(&publication).cloned();
        let channel = channel.filter(|channel| channel.is_sent_by(publication));
        let channel = channel.ok_or(LiveError::NoPublication(publication))?;
        let track = channel.track(name).ok_or_else(|| LiveError::NoTrack(name.to_owned()))?;
        Ok((channel, track))
    }

    /// Takes the init segment of a track.
    pub(crate) async fn put_init(&self, publication: Uuid, name: &str, bytes: Bytes) -> Result<(), LiveError> {
        let (channel, track) = self.published(publication, name)?;
        if track.inits().len() >= INITS_MAX {
            return Err(LiveError::Bounds(format!(
                "a track has {INITS_MAX} init segments at most: begin another channel"
            )));
        }
        let (number, is_new) = track.begin(bytes.clone())?;
        if is_new {
            archive::put_init(&self.0.store, &track.keys, number, bytes).await?;
        }
        let tracks = channel.track_documents();
        self.write(&channel, |document| document.tracks = tracks).await
    }

    /// Takes a segment, part by part while it comes.
    pub(crate) async fn receive(
        &self,
        publication: Uuid,
        name: &str,
        number: u64,
        body: Body,
    ) -> Result<(), LiveError> {
        let (channel, track) = self.published(publication, name)?;
        let defaults = track.defaults().ok_or_else(|| LiveError::NoInit(name.to_owned()))?;
        let held = track.window().held_bytes();
        if held as u64 > self.0.config.memory.0 {
            return Err(LiveError::Behind(held));
        }
        let (mut arrival, mut body, mut at) = (Arrival::new(defaults), body.into_data_stream(), 0);
        let silence = self.0.config.silence.0;
        loop {
            let piece = tokio::time::timeout(silence, body.next()).await.map_err(|_| LiveError::Silent(silence))?;
            let Some(piece) = piece else { break };
            arrival.push(&piece.map_err(LiveError::BrokenOff)?);
            while let Some(chunk) = arrival.chunk()? {
                if !channel.is_sent_by(publication) {
                    return Err(LiveError::NoPublication(publication));
                }
                channel.hears();
                track.chunk(number, at, chunk)?;
                at += 1;
            }
        }
        arrival.end()?;
        track.end(number);
        self.note_target(&channel).await
    }

    /// Writes down the target duration as soon as it is known.
    async fn note_target(&self, channel: &Channel) -> Result<(), LiveError> {
        let target = channel.target_duration_s();
        self.write(channel, |document| document.target_duration_s = target).await
    }

    /// A publication is over; `false` where there was none.
    pub(crate) fn unpublish(&self, publication: Uuid) -> bool {
        let Some(channel) = self.publications().remove(&publication) else { return false };
        if channel.is_sent_by(publication) {
            channel.left_by(publication);
            channel.tracks().iter().for_each(|track| track.pause());
            tracing::info!(channel = %channel.id, %publication, "a publication is over");
        }
        true
    }
}

fn fresh_key(channel: Uuid) -> String {
    format!("{}{}", channel.simple(), Uuid::new_v4().simple())
}

fn sha256_hex(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}
