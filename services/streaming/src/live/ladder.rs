//! The ladder of a channel: what transcode makes of what comes, and how that goes.
//!
//! It is part of the channel's document. How it goes is only remembered: ingest says it again with each publication. What is made comes as
//! tracks of the publication, like any others.

use std::sync::PoisonError;

use flame_api::live::{ChannelLadder, LadderStanding, LadderState};
use uuid::Uuid;

use super::documents::ChannelDocument;
use super::{Channel, Live, LiveError};

/// Longest text of an error, and most names of tracks, that are kept.
const ERROR_MAX_CHARS: usize = 1_000;
const TRACKS_MAX: usize = 16;

// === impl Live ===

impl Live {
    /// Remembers how it goes with a channel's ladder.
    pub(crate) async fn note_ladder(
        &self,
        tenant: &str,
        id: Uuid,
        mut standing: LadderStanding,
    ) -> Result<(), LiveError> {
        let channel = self.owned(tenant, id)?;
        if channel.document.lock().await.ladder.is_none() {
            return Err(LiveError::NoLadder(id));
        }
        standing.error = standing.error.map(|error| error.chars().take(ERROR_MAX_CHARS).collect());
        standing.tracks.truncate(TRACKS_MAX);
        *channel.ladder.lock().unwrap_or_else(PoisonError::into_inner) = Some(standing);
        Ok(())
    }
}

// === impl Channel ===

impl Channel {
    /// Its ladder, and how it goes with it.
    pub(super) fn shown_ladder(&self, document: &ChannelDocument) -> Option<ChannelLadder> {
        let rungs = document.ladder.clone()?.rungs;
        let standing = self.ladder.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let said = standing.unwrap_or(LadderStanding { state: LadderState::Waiting, tracks: Vec::new(), error: None });
        // Nothing is made of nothing, whatever was said last.
        let state = if self.is_sent() { said.state } else { LadderState::Waiting };
        Some(ChannelLadder { rungs, state, tracks: said.tracks, error: said.error })
    }
}
