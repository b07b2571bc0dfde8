//! The end of a channel: what was sent is written down as a whole, and becomes an asset that plays.

use std::time::Duration;

use flame_api::live::Channel as Shown;
use flame_api::media::TrackKind;
use flame_api::metadata::{NewAsset, NewVersion, Source, StandingState};
use flame_api::{Client, ClientError};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::documents::{self, ChannelDocument, RecordingDocument, SegmentDocument};
use super::leftovers::{self, Named};
use super::{Channel, Live, LiveError, Track, archive, catalogued, forgetting};

/// How long a channel that has ended is still served from memory: until then everybody knows the recording.
const FAREWELL: Duration = Duration::from_secs(5);
/// How often it is looked whether all is stored.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The chain that the version of a recording names.
pub(crate) const CHAIN: &str = "live";

impl Live {
    /// Ends a channel: what was sent becomes a recording, and its asset plays like others.
    pub(crate) async fn end(&self, tenant: &str, id: Uuid) -> Result<Shown, LiveError> {
        let channel = match self.owned(tenant, id) {
            Ok(channel) => channel,
            Err(LiveError::NoChannel(_)) => return self.show(tenant, id).await,
            Err(error) => return Err(error),
        };
        channel.ended();
        self.0.figures.rests(&channel);
        self.publications().retain(|_, other| other.id != id);
        channel.tracks().iter().for_each(|track| track.finish());
        let recordings = self.record(&channel).await?;
        let named = self.named(&channel, &recordings);
        if !recordings.is_empty() {
            self.catalogue(&channel, recordings).await?;
        }
        self.write(&channel, |document| document.is_ended = true).await?;
        let document = channel.document.lock().await.clone();
        // It has ended wherever its document lies: the next start puts it away.
        if let Err(error) = self.put_away(&document).await {
            tracing::warn!(channel = %id, %error, "the document of a channel that ended stays where starts look");
        }
        tracing::info!(channel = %id, "a live channel ended");
        if !named.is_empty() {
            let (store, stop) = (self.store_of(&channel), self.reign().stop);
            self.0.tasks.spawn(async move {
                stop.run_until_cancelled(leftovers::sweep(&store, &named)).await;
            });
        }
        let (live, stop) = (self.clone(), self.reign().stop);
        self.0.tasks.spawn(async move {
            tokio::select! { () = tokio::time::sleep(FAREWELL) => {}, () = stop.cancelled() => {} }
            live.channels().remove(&id);
        });
        Ok(channel.shown().await)
    }

    /// What these recordings name, where other owners may have left something beside it: a single instance looks at each start.
    fn named(&self, channel: &Channel, recordings: &[RecordingDocument]) -> Vec<Named> {
        let of = |one: &RecordingDocument| Named::of(self.keys(channel, &one.track.track.name), one);
        if self.0.sharing.is_some() { recordings.iter().map(of).collect() } else { Vec::new() }
    }

    /// Moves the document of a channel that has ended to where no start of the service looks. Repeating it changes nothing.
    pub(super) async fn put_away(&self, document: &ChannelDocument) -> Result<(), LiveError> {
        let key = documents::ended_key(&self.0.tenant, document.id);
        self.store().put(&key, documents::write(document)).await?;
        self.store().delete(&documents::channel_key(&self.0.tenant, document.id)).await?;
        Ok(())
    }

    /// Writes down all segments of all tracks that have any: in the one document, or, where they are more than one document
    /// should hold, in the blocks where they are already.
    async fn record(&self, channel: &Channel) -> Result<Vec<RecordingDocument>, LiveError> {
        let (mut recordings, marks) = (Vec::new(), channel.marks());
        let Some(target_duration_s) = channel.last_target_duration_s() else { return Ok(recordings) };
        for track in channel.tracks() {
            self.flushed(&track).await?;
        }
        let (store, encryption) = (self.store_of(channel), channel.document.lock().await.encryption);
        // All begin alike: where the oldest media of one is.
        let forgotten = forgetting::settle(&store, channel).await?;
        for ((track, document), forgotten) in channel.tracks().into_iter().zip(channel.track_documents()).zip(forgotten)
        {
            let segments = archive::segments(&store, &track.keys, &forgotten).await?;
            if segments.is_empty() {
                continue;
            }
            let recording = RecordingDocument::new(target_duration_s, document, segments, marks.to_vec());
            let recording = recording.without(forgotten).sealed(encryption);
            let written = if recording.segments.len() > self.0.config.recording_inline_segments {
                documents::write(&recording.in_blocks())
            } else {
                documents::write(&recording)
            };
            store.put(&track.keys.recording(), written).await?;
            recordings.push(recording);
        }
        Ok(recordings)
    }

    /// Waits until all of a track is stored.
    async fn flushed(&self, track: &Track) -> Result<(), LiveError> {
        let patience = self.0.config.patience.0;
        let stored = async {
            while track.window().unstored().next().is_some() {
                track.to_store.notify_one();
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let left = || LiveError::Behind(track.window().held_bytes());
        tokio::time::timeout(patience, stored).await.map_err(|_| left())
    }

    /// Makes the channel an asset that plays.
    async fn catalogue(&self, channel: &Channel, recordings: Vec<RecordingDocument>) -> Result<(), LiveError> {
        let key = documents::ended_key(&self.0.tenant, channel.id);
        let document = channel.document.lock().await.clone();
        let tracks: Vec<_> = recordings
            .into_iter()
            .map(|recording| {
                let segments: Vec<_> = recording.segments.iter().map(SegmentDocument::segment).collect();
                catalogued::track(recording.track.track, &segments)
            })
            .collect();
        // As it is before it says that it has ended: so an end that is tried again says the same.
        let mut before = document.clone();
        before.is_ended = false;
        let json = documents::write(&before);
        let sha256 = hex::encode(Sha256::digest(&json));
        let source = Source { key, file_name: None, size_bytes: json.len() as u64, sha256 };
        let probe = catalogued::probe(&tracks);
        let asset = NewAsset { id: channel.id, title: document.title.clone(), source, probe, poster_key: None };
        let catalogue = self.0.catalogue.for_tenant(&self.0.tenant);
        let id = channel.id;
        let mut is_there = true;
        self.held()?;
        if let Err(refused) = catalogue.create_asset(&asset).await {
            let Some(found) = Self::is_recording(&catalogue, &document, refused).await? else {
                tracing::warn!(channel = %id, "the channel's id was that of an asset that is gone: it ends without a recording");
                return Ok(());
            };
            is_there = found;
            if is_there {
                tracing::info!(channel = %id, "an end that was tried before has made the asset already");
            } else {
                // It may be in the trash, and then has all that it needs when it is taken out; of one that is gone for good the
                // catalogue has the media deleted once more.
                tracing::warn!(channel = %id, "the asset of a channel was deleted before its end");
            }
        }
        let mut tracks = tracks;
        tracks.sort_by_key(|track| track.kind == TrackKind::Audio);
        let version =
            NewVersion { job_id: None, chain: CHAIN.to_owned(), tracks, thumbnails: None, conditioning: None };
        self.held()?;
        match catalogue.publish_version(id, &channel.media_version, &version).await {
            Ok(_) => Ok(()),
            Err(refused) if refused.status() == Some(404) && !is_there => Ok(()),
            // What was published by that name is of the same media.
            Err(refused) if refused.status() == Some(409) => {
                let published = catalogue.asset(id).await?.and_then(|asset| asset.version);
                let is_there = published.is_some_and(|version| version.name == channel.media_version);
                if is_there { Ok(()) } else { Err(refused.into()) }
            }
            Err(refused) => Err(refused.into()),
        }
    }

    /// Whether the asset that is there already is the channel's, from an end that was tried before, perhaps by an older release, which wrote
    /// down other things; `false` where it was deleted. `None` where another one was, or nobody knows whose it was: nothing is to be published
    /// by that id, since a version of a deleted asset has the catalogue delete what was sent.
    ///
    /// # Errors
    /// [`LiveError::Asset`] where the asset is another one, also in the trash. Else what was said.
    async fn is_recording(
        catalogue: &Client,
        document: &ChannelDocument,
        refused: ClientError,
    ) -> Result<Option<bool>, LiveError> {
        if refused.status() != Some(409) {
            return Err(refused.into());
        }
        let (tenant, id) = (&document.tenant, document.id);
        let (state, source_key) = match catalogue.standing(id).await {
            Ok(standing) => (standing.state, standing.source_key),
            // One of an older release names only what is there.
            Err(unknown) if unknown.status() == Some(404) => match catalogue.asset(id).await? {
                Some(asset) => (StandingState::Present, Some(asset.source.key)),
                None => return Ok(Some(false)),
            },
            Err(error) => return Err(error.into()),
        };
        let own = [documents::ended_key(tenant, id), documents::channel_key(tenant, id)];
        let is_own = source_key.is_some_and(|key| own.contains(&key));
        match state {
            StandingState::Present if is_own => Ok(Some(true)),
            StandingState::Free => Ok(Some(false)),
            StandingState::Trashed | StandingState::Deleted if is_own => Ok(Some(false)),
            StandingState::Deleted => Ok(None),
            StandingState::Present | StandingState::Trashed => Err(LiveError::Asset(id)),
        }
    }
}
