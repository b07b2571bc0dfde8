//! Segments that lie beside a recording and that it does not name: an owner of live channels stored them, and died before it could
//! name them in a block. Nobody plays them.
//!
//! While the channel goes on they are left alone, since a predecessor that was only stopped may yet write the block that names one;
//! once its recording is written no block counts any more. It never deletes what a recording names, nor anything but segments.

use flame_object_store::StoreError;

use super::documents::{RecordingDocument, TrackKeys};
use super::fence::Fenced;

/// So many are deleted of a track at most: each owner leaves one. Where there are more, it is blocks that are missing, and all is
/// kept for whoever can say what they were.
const LEFT_MAX: usize = 64;

/// The segments that a recording names, of one track.
#[derive(Debug)]
pub(super) struct Named {
    keys: TrackKeys,
    /// Ascending.
    numbers: Vec<u64>,
}

// === impl Named ===

impl Named {
    pub(super) fn of(keys: TrackKeys, recording: &RecordingDocument) -> Self {
        let came = recording.segments.iter().filter(|segment| !segment.is_gap());
        let mut numbers: Vec<u64> = came.map(|segment| segment.number).collect();
        numbers.sort_unstable();
        Self { keys, numbers }
    }

    /// Whether that is a segment of the track which the recording does not name.
    fn is_left(&self, key: &str) -> bool {
        self.keys.segment_of(key).is_some_and(|number| self.numbers.binary_search(&number).is_err())
    }
}

/// Deletes what is left of each track. What the store does not delete now stays.
pub(super) async fn sweep(store: &Fenced, tracks: &[Named]) {
    for named in tracks {
        if let Err(error) = sweep_one(store, named).await {
            tracing::warn!(track = %named.keys.blocks(), %error, "segments that no recording names stay: they could not be deleted");
        }
    }
}

async fn sweep_one(store: &Fenced, named: &Named) -> Result<(), StoreError> {
    let left = left(store, named).await?;
    if left.len() > LEFT_MAX {
        tracing::error!(track = %named.keys.blocks(), "many segments are in no block of a live track: they stay");
        return Ok(());
    }
    for key in left {
        store.delete(&key).await?;
        tracing::info!(%key, "a segment was deleted that an owner stored and did not name before it died");
    }
    Ok(())
}

/// What is left of a track; of more than [`LEFT_MAX`] not all.
async fn left(store: &Fenced, named: &Named) -> Result<Vec<String>, StoreError> {
    let (mut left, mut page) = (Vec::new(), None);
    loop {
        let found = store.list(&named.keys.folder(), page).await?;
        left.extend(found.objects.into_iter().map(|object| object.key).filter(|key| named.is_left(key)));
        page = found.next;
        if page.is_none() || left.len() > LEFT_MAX {
            return Ok(left);
        }
    }
}
