//! The source of a channel: what ingest fetches by itself, and how that goes.
//!
//! It is part of the channel's document, so it is there after a restart, as is that it is over. How it goes is only remembered: whoever
//! fetches says it again. Ingest needs no key to send, as whoever may ask for it could have made another key.

use std::sync::{Arc, PoisonError};

use flame_api::live::{ChannelSource, NewPublication, Publication, SourceStanding, SourceState};
use uuid::Uuid;

use super::documents::ChannelDocument;
use super::{Channel, Live, LiveError};

/// Longest text of an error that is kept.
const ERROR_MAX_CHARS: usize = 1_000;

// === impl Live ===

impl Live {
    /// What comes of a channel's source begins to be sent. Whoever sent before does not any more.
    pub(crate) async fn publish_source(
        &self,
        tenant: &str,
        id: Uuid,
        tracks: Vec<flame_api::live::LiveTrack>,
    ) -> Result<Publication, LiveError> {
        let channel = self.with_source(tenant, id).await?;
        if channel.is_ended() {
            return Err(LiveError::Ended(id));
        }
        self.begin(channel, &NewPublication { key: String::new(), tracks, standby: false }).await
    }

    /// Remembers how it goes with a channel's source.
    pub(crate) async fn note_source(
        &self,
        tenant: &str,
        id: Uuid,
        mut standing: SourceStanding,
    ) -> Result<(), LiveError> {
        let channel = self.with_source(tenant, id).await?;
        standing.error = standing.error.map(|error| error.chars().take(ERROR_MAX_CHARS).collect());
        if standing.state == SourceState::Over {
            self.write(&channel, |document| document.source_is_over = true).await?;
        }
        *channel.source.lock().unwrap_or_else(PoisonError::into_inner) = Some(standing);
        Ok(())
    }

    async fn with_source(&self, tenant: &str, id: Uuid) -> Result<Arc<Channel>, LiveError> {
        let channel = self.owned(tenant, id)?;
        let has_source = channel.document.lock().await.source.is_some();
        if has_source { Ok(channel) } else { Err(LiveError::NoSource(id)) }
    }
}

// === impl Channel ===

impl Channel {
    /// Its source, and how it goes with it.
    pub(super) fn shown_source(&self, document: &ChannelDocument) -> Option<ChannelSource> {
        let from = document.source.clone()?;
        let standing = self.source.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (state, error) = match standing {
            Some(SourceStanding { state, error }) => (state, error),
            None => (SourceState::Waiting, None),
        };
        let state = if document.source_is_over || document.is_ended { SourceState::Over } else { state };
        Some(ChannelSource { from, state, error })
    }
}
