//! What the catalogue does not list: tracks and sheets of a version that no longer plays, and names that somebody made up. Where each site has
//! a store of its own either is looked for at all of them, a few at a time, so that the second kind leaves room for what viewers watch.

use flame_service_host::{Failure, FailureResult};
use tokio::sync::SemaphorePermit;

use super::media::Stored;
use super::{State, error};
use crate::live::RecordingError;
use crate::names::TrackName;
use crate::presentation::Presentation;
use crate::presentation::State::Playable;

/// When it may be asked for again, seconds.
const RETRY_S: u32 = 2;

/// Whether a name is of the version that plays now.
pub(super) fn is_listed(presentation: &Presentation, name: &TrackName) -> bool {
    matches!(&presentation.state, Playable(version) if version.name == name.version)
}

/// Whether a track is of the version that plays now, and that has none of this name.
pub(super) fn is_invented(presentation: &Presentation, name: &TrackName) -> bool {
    matches!(&presentation.state, Playable(version)
        if version.name == name.version && !version.tracks.iter().any(|track| track.name == name.track))
}

/// The same of a sheet of thumbnails, by its number.
pub(super) fn is_no_sheet(presentation: &Presentation, name: &TrackName, number: u32) -> bool {
    matches!(&presentation.state, Playable(version)
        if version.name == name.version && version.thumbnails.as_ref().is_none_or(|has| number >= has.sheets()))
}

/// A track of a version that is not listed.
pub(super) async fn track(state: &State, tenant: &str, name: &TrackName) -> FailureResult<Stored> {
    let turn = if state.tracks.is_kept(name) {
        None
    } else {
        // It may be of a recording that no longer is the asset's version, and that is at no other site.
        match state.recordings.get(tenant, name).await {
            Ok(recording) => return Ok(Stored::Recording(recording)),
            Err(none) if matches!(*none, RecordingError::Missing(_)) => {}
            Err(error) => return Err(error::of_recording(&error)),
        }
        turn(state, &name.index_key(tenant)).await?
    };
    let found = state.tracks.get(tenant, name).await;
    drop(turn);
    found.map(Stored::Track).map_err(|error| error::of_track(&error))
}

/// A turn to look for an object at other sites; nothing where it is here, or there are no others.
pub(super) async fn turn<'a>(state: &'a State, key: &str) -> FailureResult<Option<SemaphorePermit<'a>>> {
    let Some(replicas) = state.store.replicas() else { return Ok(None) };
    let here = state.store.near().head(key).await.map_err(|error| error::of_read(&error, &error))?;
    if here.is_some() {
        return Ok(None);
    }
    let said = "too much that the catalogue does not list is looked for at other sites";
    replicas.unsure().await.map(Some).ok_or_else(|| Failure::unavailable_alone(said, RETRY_S))
}
