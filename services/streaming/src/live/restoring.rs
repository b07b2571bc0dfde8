//! Channels that have not ended, taken back from the object store: after a restart, or by the instance that becomes their owner.
//!
//! What a predecessor may be about to write is written once more first, under the own generation ([`super::fence`]), and read after that. So
//! what is taken back is all that there will be of it.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use flame_object_store::StoreError;
use flame_service_host::problem::chain;

use super::archive::RestoreError;
use super::documents::{self, ChannelDocument, DOCUMENT_MAX_BYTES, NumbersDocument};
use super::{Channel, Live, LiveError, Track, archive, channel, forgetting, track, window};

// === impl Live ===

impl Live {
    /// Takes back the channels that have not ended: all of them, or none, so that what a failed attempt began holds nothing.
    pub(super) async fn restore_all(&self) -> Result<(), LiveError> {
        let (mut restored, mut page) = (Vec::new(), None);
        loop {
            let found = self.store().list(&documents::channels_prefix(&self.0.tenant), page).await?;
            for object in found.objects {
                match self.take_back(&object.key).await {
                    Ok(channel) => restored.extend(channel),
                    // One channel that cannot go on keeps nobody else, live or on demand.
                    Err(LiveError::Restore(RestoreError::Document(error))) => {
                        tracing::error!(error = %chain(&error), "a channel cannot go on, and is left out");
                    }
                    Err(LiveError::Store(error) | LiveError::Restore(RestoreError::Store(error)))
                        if matches!(error, StoreError::NotFound { .. }) =>
                    {
                        tracing::error!(channel = %object.key, error = %chain(&error), "a channel cannot go on, and is left out");
                    }
                    Err(LiveError::Seal(error)) if !error.is_of_the_store() => {
                        tracing::error!(channel = %object.key, error = %chain(&*error), "a channel cannot go on, and is left out");
                    }
                    Err(error) => return Err(error),
                }
            }
            page = found.next;
            if page.is_none() {
                break;
            }
        }
        for channel in restored {
            channel.tracks().into_iter().for_each(|track| self.keep(&channel, track));
            self.channels().insert(channel.id, channel);
        }
        Ok(())
    }

    /// A channel that has not ended, as it goes on; nothing of it runs yet.
    async fn take_back(&self, key: &str) -> Result<Option<Arc<Channel>>, LiveError> {
        let json = self.store().seize(key, DOCUMENT_MAX_BYTES).await?;
        let document: ChannelDocument = documents::read(key, &json).map_err(RestoreError::Document)?;
        if document.is_ended {
            // An older release left it here, or the process ended before it was put away. It is read here, too: a store that takes
            // nothing now keeps nobody from playing.
            if let Err(error) = self.put_away(&document).await {
                tracing::warn!(channel = %document.id, error = %chain(&error), "an ended channel stays where starts look");
            }
            Ok(None)
        } else {
            self.restore(document).await.map(Some)
        }
    }

    async fn restore(&self, document: ChannelDocument) -> Result<Arc<Channel>, LiveError> {
        let (mut tracks, mut sent, mut starts_ms) = (BTreeMap::new(), Vec::new(), Vec::new());
        let empty = Channel::of(document.clone(), BTreeMap::new());
        let store = self.store();
        let seal = match document.encryption {
            Some(method) => Some(self.0.seals.existing(&self.0.tenant, document.id, method).await?),
            None => None,
        };
        for known in &document.tracks {
            let name = known.track.name.clone();
            let keys = self.keys(&empty, &name);
            forgetting::seize(&store, &keys).await?;
            let forgotten = forgetting::read(&store, &keys).await?;
            starts_ms.extend(forgotten.period_start_ms);
            let segments = archive::seized_segments(&store, &keys, &forgotten).await?;
            // A predecessor may yet write the block that names it.
            if self.0.sharing.is_none() {
                archive::sweep(&store, &keys, (&forgotten, &segments)).await;
            }
            let ticks = u64::from(document.window_s) * u64::from(known.track.timescale);
            let facts = known.track.clone();
            let gap_ticks = (u64::from(facts.timescale) * u64::from(document.segment_ms) / 1000).max(1);
            let mut window = archive::restore(
                |first| window::Window::new(facts.timescale, u64::from(facts.part_ticks), gap_ticks, first),
                (&forgotten, &segments),
                ticks,
            );
            window.seal(channel::listed_key(seal.as_ref()));
            let inits = known.inits.iter().filter_map(track::Init::stored).collect();
            let mut track = Track::new(keys, facts, inits, window);
            track.remember(&segments);
            tracks.insert(name, Arc::new(track));
            sent.push((known.clone(), segments));
        }
        let numbers_key = documents::numbers_key(&self.0.tenant, document.id, &document.media_version);
        let first_unseen = match store.seize(&numbers_key, DOCUMENT_MAX_BYTES).await {
            Ok(json) => documents::read::<NumbersDocument>(&numbers_key, &json).map_err(RestoreError::Document)?.next,
            // Nobody has sent to it, or a release that noted none was the last.
            Err(StoreError::NotFound { .. }) => 0,
            Err(error) => return Err(error.into()),
        };
        let channel = Arc::new(Channel::going_on(document, tracks, first_unseen, (seal, self.0.config.drift_window.0)));
        channel.manifest.lock().unwrap_or_else(PoisonError::into_inner).restore(&sent, starts_ms);
        channel.belongs_to(store);
        tracing::info!(channel = %channel.id, "a live channel goes on");
        Ok(channel)
    }
}
