//! Segments that lie beside a recording and that it does not name: an owner of live channels stored them, and died before it could
//! name them in a block. Nobody plays them.
//!
//! While the channel goes on they are left alone, since a predecessor that was only stopped may yet write the block that names one;
//! once its recording is written no block counts any more. It never deletes what a recording names, nor anything but segments.

use flame_object_store::StoreError;

use super::documents::{RecordingDocument, TrackKeys};
use super::fence::Fenced;

/// So many are deleted of a track at most: each owner leaves one. Where there are more, or two in a row, it is a block that is missing
/// (which names dozens), and all is kept for whoever can say what they were.
const LEFT_MAX: usize = 8;

/// The segments that a recording names, of one track.
#[derive(Debug)]
pub(super) struct Named {
    keys: TrackKeys,
    /// Ascending.
    numbers: Vec<u64>,
    /// The first that is kept: what is before it went out of the window.
    from: u64,
}

// === impl Named ===

impl Named {
    pub(super) fn of(keys: TrackKeys, recording: &RecordingDocument) -> Self {
        let came = recording.segments.iter().filter(|segment| !segment.is_gap());
        let mut numbers: Vec<u64> = came.map(|segment| segment.number).collect();
        numbers.sort_unstable();
        let from = recording.forgotten.as_ref().map_or(0, |forgotten| forgotten.next);
        Self { keys, numbers, from }
    }

    /// The number of a segment of the track which the recording does not name.
    fn left(&self, key: &str) -> Option<u64> {
        let number = self.keys.segment_of(key)?;
        (number >= self.from && self.numbers.binary_search(&number).is_err()).then_some(number)
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
    let mut left = left(store, named).await?;
    left.sort_unstable();
    let is_block = left.windows(2).any(|pair| pair[1].0 - pair[0].0 <= 1);
    if left.len() > LEFT_MAX || is_block {
        tracing::error!(track = %named.keys.blocks(), "many segments are in no block of a live track: they stay");
        return Ok(());
    }
    for (_, key) in left {
        store.delete(&key).await?;
        tracing::info!(%key, "a segment was deleted that an owner stored and did not name before it died");
    }
    Ok(())
}

/// What is left of a track; of more than [`LEFT_MAX`] not all.
async fn left(store: &Fenced, named: &Named) -> Result<Vec<(u64, String)>, StoreError> {
    let (mut left, mut page) = (Vec::new(), None);
    loop {
        let found = store.list(&named.keys.folder(), page).await?;
        let numbered = |key: String| named.left(&key).map(|number| (number, key));
        left.extend(found.objects.into_iter().filter_map(|object| numbered(object.key)));
        page = found.next;
        if page.is_none() || left.len() > LEFT_MAX {
            return Ok(left);
        }
    }
}
