//! Brings a live track to the object store while it goes on, and takes back what is there after a restart.
//!
//! A segment is stored before the block that names it, so what a block names is there. What is stored is let go of;
//! what is not is kept in memory, and who sends more than fits is told so.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flame_object_store::StoreError;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use super::channel::Channel;
use super::documents::{
    self, BLOCK_SEGMENTS, BlockDocument, DOCUMENT_MAX_BYTES, DocumentError, SegmentDocument, TrackKeys,
};
use super::fence::Fenced;
use super::forgetting::{self, ForgottenDocument};
use super::track::Track;
use super::window::{Segment, State, Window};

/// Pause after the store refused.
const PAUSE: Duration = Duration::from_secs(1);
/// Media type of segments, parts and init segments of pictures; those of sound are the same boxes.
const SEGMENT_TYPE: &str = "video/mp4";

/// What was stored cannot be taken back.
#[derive(Debug, Error)]
pub(crate) enum RestoreError {
    /// The store fails.
    #[error("the object store does not give back what a channel stored")]
    Store(#[from] StoreError),
    /// A document cannot be used.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

/// Stores what becomes whole until the track is over, or until `stop`: then the rest, as far as the store takes it at once.
pub(super) async fn keep(store: Fenced, channel: Arc<Channel>, track: Arc<Track>, stop: CancellationToken) {
    let (mut block, window_s) = (Block::default(), channel.window_s);
    loop {
        match flush(&store, &track, window_s, &mut block).await {
            Ok(()) if track.window().is_done() => return,
            Ok(()) => {
                // What is begun of it goes on after the next start.
                let forgotten = stop.run_until_cancelled(forgetting::forget(&store, &channel, &track)).await;
                if let Some(Err(error)) = forgotten {
                    tracing::warn!(track = %track.keys.blocks(), %error, "old live media is kept for now: it could not be deleted");
                }
                tokio::select! {
                    () = track.to_store.notified() => {}
                    () = stop.cancelled() => return last(&store, &track, window_s, &mut block).await,
                }
            }
            Err(error) => {
                tracing::warn!(track = %track.keys.blocks(), %error, "live media waits in memory: it could not be stored");
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = stop.cancelled() => return last(&store, &track, window_s, &mut block).await,
                }
            }
        }
    }
}

async fn last(store: &Fenced, track: &Track, window_s: u32, block: &mut Block) {
    if let Err(error) = flush(store, track, window_s, block).await {
        tracing::error!(track = %track.keys.blocks(), %error, "the last of a live track is lost: it could not be stored");
    }
}

/// Stores all that is whole, gaps by the block.
async fn flush(store: &Fenced, track: &Track, window_s: u32, block: &mut Block) -> Result<(), StoreError> {
    loop {
        let (documents, bytes) = next(&track.window());
        let Some(first) = documents.first() else { return Ok(()) };
        if let Some(bytes) = bytes {
            store.put_media(&track.keys.segment(first.number), bytes, SEGMENT_TYPE).await?;
        }
        block.add(store, &track.keys, &documents).await?;
        track.forgetting.lock().await.amounts.add(&documents, track.timescale());
        documents.iter().for_each(|document| track.stored(document.number, window_s));
    }
}

/// What is to be stored next: one segment and its octets, or gaps of one block.
fn next(window: &Window) -> (Vec<SegmentDocument>, Option<Bytes>) {
    let mut unstored = window.unstored();
    let Some((first, segment)) = unstored.next() else { return (Vec::new(), None) };
    let (mut documents, bytes) = (vec![SegmentDocument::of(first, segment)], segment.bytes());
    let is_gap = |segment: &Segment| segment.state == State::Gap;
    let goes_on = |number: u64| number / BLOCK_SEGMENTS == first / BLOCK_SEGMENTS;
    if is_gap(segment) {
        let gaps = unstored.take_while(|(number, segment)| is_gap(segment) && goes_on(*number));
        documents.extend(gaps.map(|(number, segment)| SegmentDocument::of(number, segment)));
    }
    (documents, bytes)
}

/// Stores an init segment.
pub(super) async fn put_init(store: &Fenced, keys: &TrackKeys, number: u32, bytes: Bytes) -> Result<(), StoreError> {
    store.put_init(&keys.init(number), bytes, SEGMENT_TYPE).await
}

/// The block that segments are added to now.
#[derive(Debug, Default)]
struct Block {
    number: Option<u64>,
    segments: Vec<SegmentDocument>,
}

// === impl Block ===

impl Block {
    /// Adds what belongs to one block.
    async fn add(&mut self, store: &Fenced, keys: &TrackKeys, more: &[SegmentDocument]) -> Result<(), StoreError> {
        let Some(first) = more.first().map(|first| first.number) else { return Ok(()) };
        let number = first / BLOCK_SEGMENTS;
        if self.number != Some(number) {
            // After a restart the block has begun already.
            let key = keys.block(number);
            self.segments = match store.get(&key, DOCUMENT_MAX_BYTES).await {
                Ok(json) => match documents::read::<BlockDocument>(&key, &json) {
                    Ok(block) => block.segments,
                    Err(error) => {
                        tracing::error!(%error, "a block of a live track is written anew");
                        Vec::new()
                    }
                },
                Err(StoreError::NotFound { .. }) => Vec::new(),
                Err(error) => return Err(error),
            };
            self.number = Some(number);
        }
        self.segments.retain(|known| known.number < first);
        self.segments.extend_from_slice(more);
        let document = documents::write(&BlockDocument::new(self.segments.clone()));
        store.put(&keys.block(number), document).await
    }
}

/// [`segments`] once no predecessor writes to the last block any more.
pub(super) async fn seized_segments(
    store: &Fenced,
    keys: &TrackKeys,
    forgotten: &ForgottenDocument,
) -> Result<Vec<SegmentDocument>, RestoreError> {
    let (mut last, mut page) = (None, None);
    loop {
        let found = store.list(&keys.blocks(), page).await?;
        last = found.objects.into_iter().map(|object| object.key).max().max(last);
        page = found.next;
        if page.is_none() {
            break;
        }
    }
    if let Some(last) = last {
        store.seize(&last, DOCUMENT_MAX_BYTES).await?;
    }
    segments(store, keys, forgotten).await
}

/// All segments that are kept of a track, oldest first, each with a number of its own and without a hole between them.
pub(super) async fn segments(
    store: &Fenced,
    keys: &TrackKeys,
    forgotten: &ForgottenDocument,
) -> Result<Vec<SegmentDocument>, RestoreError> {
    let (mut segments, mut page) = (Vec::<SegmentDocument>::new(), None);
    loop {
        let found = store.list(&keys.blocks(), page).await?;
        // What lies before them is on its way out.
        let is_kept = |key: &str| keys.block_of(key).is_none_or(|block| block >= forgotten.first_block());
        for object in found.objects.into_iter().filter(|object| is_kept(&object.key)) {
            let json = store.get(&object.key, DOCUMENT_MAX_BYTES).await?;
            let block: BlockDocument = documents::read(&object.key, &json)?;
            // Of a block that was the last of its track, all may be on its way out.
            segments.extend(block.segments.into_iter().filter(|segment| segment.end_number() > forgotten.next));
        }
        page = found.next;
        if page.is_none() {
            let inconsistent = |what| DocumentError::Inconsistent { key: keys.blocks(), what };
            return Ok(documents::each(segments).map_err(inconsistent)?);
        }
    }
}

/// Deletes the segment that a process stored which died before it could name it in a block: nobody plays it, and its number is used by
/// nobody or for other media. There is one at most, the next one that the blocks do not name. What the store does not delete now it may
/// delete at the next start.
pub(super) async fn sweep(
    store: &Fenced,
    keys: &TrackKeys,
    (forgotten, segments): (&ForgottenDocument, &[SegmentDocument]),
) {
    let swept = match segments.last() {
        Some(last) => delete_if_there(store, &keys.segment(last.end_number())).await,
        None if forgotten.next > 0 => delete_if_there(store, &keys.segment(forgotten.next)).await,
        None => delete_the_one(store, keys).await,
    };
    if let Err(error) = swept {
        tracing::warn!(track = %keys.blocks(), %error, "a segment that no block names stays for now: it could not be deleted");
    }
}

async fn delete_if_there(store: &Fenced, key: &str) -> Result<(), StoreError> {
    if store.head(key).await?.is_some() {
        store.delete(key).await?;
        tracing::info!(key, "a segment was deleted that a process stored and did not name before it died");
    }
    Ok(())
}

/// The same of a track without blocks, whose first number is anybody's guess. Where there are several, it is the blocks that are missing.
async fn delete_the_one(store: &Fenced, keys: &TrackKeys) -> Result<(), StoreError> {
    let objects = store.list(&keys.folder(), None).await?.objects;
    let segments: Vec<_> = objects.into_iter().filter(|object| keys.segment_of(&object.key).is_some()).collect();
    match segments.as_slice() {
        [] => Ok(()),
        [one] => delete_if_there(store, &one.key).await,
        several => {
            tracing::error!(track = %keys.blocks(), segments = several.len(), "the blocks of a live track are missing");
            Ok(())
        }
    }
}

/// The part of it that viewers can go back to.
pub(super) fn restore(
    window: impl FnOnce(u64) -> Window,
    (forgotten, segments): (&ForgottenDocument, &[SegmentDocument]),
    window_ticks: u64,
) -> Window {
    let mut ticks = 0_u64;
    let recent = segments.iter().rev().take_while(|segment| {
        let fits = ticks < window_ticks;
        ticks = ticks.saturating_add(segment.duration_ticks);
        fits
    });
    let (before, recent) = segments.split_at(segments.len() - recent.count());
    let mut window = window(recent.first().map_or(forgotten.next, |first| first.number));
    let origin = segments.iter().find(|segment| !segment.is_gap()).map(|segment| segment.time_ticks);
    window.restore_before(&forgotten.and(before, None), origin);
    recent.iter().for_each(|segment| window.restore(segment.segment()));
    window
}
