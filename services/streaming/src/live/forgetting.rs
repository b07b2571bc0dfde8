//! What of a live track is not kept: whole blocks that lie further back than its channel keeps, while it goes on. How far that is, is counted
//! in media, by no clock ([`super::amounts`]).
//!
//! First it is written down what could not be counted without them (discontinuities, I-frames, when the first segment of all began), then
//! the segments go, then the block that names them. So whoever comes after a process that died in between finds what is left, and nothing
//! gets another number. Init segments stay. Nothing is deleted that viewers can go back to, that still has to be stored, or of a channel
//! that has ended: what it has then is the recording.

use std::sync::Arc;
use std::time::Duration;

use flame_object_store::StoreError;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use super::amounts::Amounts;
use super::archive::RestoreError;
use super::channel::Channel;
use super::documents::{
    self, BLOCK_SEGMENTS, BlockDocument, DOCUMENT_MAX_BYTES, LEFT_OVER, SegmentDocument, TrackKeys,
};
use super::fence::Fenced;
use super::track::Track;

/// How long deleting one block may take: nothing of its track is stored meanwhile.
const FORGET_WITHIN: Duration = Duration::from_secs(20);
/// How much more has to be stored before it is tried again, milliseconds.
const AGAIN_AFTER_MS: u64 = 60_000;
/// Segments that are deleted at a time.
const AT_ONCE: usize = 8;

/// What of a track is not kept: what has to be known of it, so that nothing that is there gets another number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ForgottenDocument {
    version: u32,
    /// The first number that is there.
    pub(crate) next: u64,
    pub(crate) discontinuities: u64,
    pub(crate) keyframes: u64,
    /// When the first segment of all began.
    pub(crate) origin_ticks: Option<u64>,
    /// When the Period began that goes on where the oldest media is, milliseconds since 1970.
    pub(crate) period_start_ms: Option<u64>,
}

/// When there may be something to forget of a track: looking costs a list and a document.
#[derive(Debug, Default)]
pub(super) struct Forgetting {
    /// How much there is of it.
    pub(super) amounts: Amounts,
    due: Due,
}

/// When it is looked again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Due {
    /// The oldest block that was found: it stays at least until it is out of sight.
    oldest_block: Option<u64>,
    /// Until so much was stored, milliseconds of media.
    not_before_ms: u64,
}

/// What can go: blocks whose segments all have numbers below `number`, and behind which `keep_ms` of the `total_ms` of media lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit {
    number: u64,
    total_ms: u64,
    keep_ms: u64,
}

// === impl ForgottenDocument ===

impl Default for ForgottenDocument {
    /// Nothing is.
    fn default() -> Self {
        Self {
            version: LEFT_OVER,
            next: 0,
            discontinuities: 0,
            keyframes: 0,
            origin_ticks: None,
            period_start_ms: None,
        }
    }
}

impl ForgottenDocument {
    /// The same once these are not kept, which follow; `period_start_ms` is that of what is left.
    pub(super) fn and(&self, segments: &[SegmentDocument], period_start_ms: Option<u64>) -> Self {
        let came = segments.iter().find(|segment| !segment.is_gap());
        // A block may end with the track, and a process within it: what is counted is not counted again.
        let fresh = || segments.iter().filter(|segment| segment.end_number() > self.next);
        Self {
            version: LEFT_OVER,
            next: segments.iter().map(SegmentDocument::end_number).max().unwrap_or(0).max(self.next),
            discontinuities: self.discontinuities
                + fresh().map(|segment| u64::from(segment.is_discontinuity)).sum::<u64>(),
            keyframes: self.keyframes + fresh().map(|segment| segment.keyframes.len() as u64).sum::<u64>(),
            origin_ticks: self.origin_ticks.or(came.map(|segment| segment.time_ticks)),
            period_start_ms: period_start_ms.or(self.period_start_ms),
        }
    }

    /// The block that holds the first number that is there; all before it are not kept.
    pub(super) fn first_block(&self) -> u64 {
        self.next / BLOCK_SEGMENTS
    }
}

// === impl Due ===

impl Due {
    fn is_now(&self, limit: &Limit) -> bool {
        self.oldest_block.is_none_or(|block| block < limit.block()) && limit.total_ms >= self.not_before_ms
    }

    fn again_after(&mut self, limit: &Limit) {
        self.not_before_ms = limit.total_ms.saturating_add(AGAIN_AFTER_MS);
    }
}

// === impl Limit ===

impl Limit {
    /// The first block that stays whatever its age is: it is seen, or grows.
    fn block(&self) -> u64 {
        self.number / BLOCK_SEGMENTS
    }

    /// Whether a block can go that ends so: with this number, and when there was so much.
    fn passes(&self, (end_number, end_ms): (u64, u64)) -> bool {
        end_number <= self.number && self.is_past(end_ms)
    }

    fn is_past(&self, end_ms: u64) -> bool {
        end_ms.saturating_add(self.keep_ms) <= self.total_ms
    }
}

/// What is not kept of a track.
pub(super) async fn read(store: &Fenced, keys: &TrackKeys) -> Result<ForgottenDocument, RestoreError> {
    let key = keys.forgotten();
    match store.get(&key, DOCUMENT_MAX_BYTES).await {
        Ok(json) => Ok(documents::read(&key, &json)?),
        Err(StoreError::NotFound { .. }) => Ok(ForgottenDocument::default()),
        Err(error) => Err(error.into()),
    }
}

/// From here on no predecessor writes down that it forgot something.
pub(super) async fn seize(store: &Fenced, keys: &TrackKeys) -> Result<(), StoreError> {
    match store.seize(&keys.forgotten(), DOCUMENT_MAX_BYTES).await {
        Ok(_) | Err(StoreError::NotFound { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Deletes the oldest block of a track, if the channel does not keep it; one at a time, because nothing is stored meanwhile.
pub(super) async fn forget(store: &Fenced, channel: &Channel, track: &Track) -> Result<(), RestoreError> {
    let Some(keep_s) = channel.keep_s else { return Ok(()) };
    let mut forgetting = track.forgetting.lock().await;
    let Forgetting { amounts, due } = &mut *forgetting;
    let limit = Limit {
        number: track.window().needed_from(),
        total_ms: amounts.total_ms(),
        keep_ms: u64::from(keep_s) * 1_000,
    };
    if channel.is_ended() || !due.is_now(&limit) {
        return Ok(());
    }
    let periods = |at_ms| channel.period_start_ms(at_ms);
    let ends = |block| amounts.end_ms(block);
    // Whatever the store does, what comes in has to be stored, too.
    let forgot = tokio::time::timeout(FORGET_WITHIN, forget_one(store, track, limit, (&ends, &periods))).await;
    match forgot {
        Ok(Ok(Oldest::Gone { block })) => {
            amounts.forget(block);
            *due = Due::default();
        }
        Ok(Ok(Oldest::Stays { block, end_ms })) => {
            *due = Due { oldest_block: Some(block), not_before_ms: end_ms.saturating_add(limit.keep_ms) };
        }
        Ok(Err(error)) => {
            due.again_after(&limit);
            return Err(error);
        }
        Err(_) => {
            tracing::warn!(track = %track.keys.blocks(), "old live media is kept for now: the store takes too long to delete it");
            due.again_after(&limit);
        }
    }
    Ok(())
}

/// What is not kept of each track of a channel that has ended: all begin with the same block, so that none begins without the others.
pub(super) async fn settle(store: &Fenced, channel: &Channel) -> Result<Vec<ForgottenDocument>, RestoreError> {
    let mut all = Vec::new();
    for track in channel.tracks() {
        // What is being deleted now is awaited; nothing more is once the channel has ended.
        let _deleting = track.forgetting.lock().await;
        all.push((Arc::clone(&track), read(store, &track.keys).await?));
    }
    let number = all.iter().map(|(_, forgotten)| forgotten.next).max().unwrap_or(0);
    let limit = Limit { number, total_ms: u64::MAX, keep_ms: 0 };
    let mut settled = Vec::with_capacity(all.len());
    for (track, mut forgotten) in all {
        if forgotten.first_block() < limit.block() {
            let periods = |at_ms| channel.period_start_ms(at_ms);
            // However much lies behind it.
            let ends = |_| Some(0);
            while let Oldest::Gone { .. } = forget_one(store, &track, limit, (&ends, &periods)).await? {}
            forgotten = read(store, &track.keys).await?;
        }
        settled.push(forgotten);
    }
    Ok(settled)
}

/// What became of a track's oldest block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Oldest {
    /// It is deleted: the next one may have to go, too.
    Gone { block: u64 },
    /// It stays; how much there was when it ended, 0 where it does not stay because of that.
    Stays { block: u64, end_ms: u64 },
}

/// Deletes the oldest block, if `limit` lets it go. `ends` says how much there was when a block ended, `periods` when the Period began in which
/// a time lies, milliseconds since 1970.
async fn forget_one(
    store: &Fenced,
    track: &Track,
    limit: Limit,
    (ends, periods): (&(impl Fn(u64) -> Option<u64> + Sync), &(impl Fn(u64) -> Option<u64> + Sync)),
) -> Result<Oldest, RestoreError> {
    let (keys, timescale) = (&track.keys, u128::from(track.timescale().max(1)));
    let forgotten = read(store, keys).await?;
    // In the order of their numbers; the first page holds the oldest.
    for object in store.list(&keys.blocks(), None).await?.objects {
        let Some(block) = keys.block_of(&object.key) else { continue };
        if block >= limit.block() && block >= forgotten.first_block() {
            return Ok(Oldest::Stays { block, end_ms: 0 });
        }
        let json = store.get(&object.key, DOCUMENT_MAX_BYTES).await?;
        let BlockDocument { segments, .. } = documents::read(&object.key, &json)?;
        // What was begun to be deleted before is counted already.
        if block >= forgotten.first_block() {
            let ms = |ticks: u64| u64::try_from(u128::from(ticks) * 1000 / timescale).unwrap_or(u64::MAX);
            let end = |one: &SegmentDocument| (one.end_number(), ms(one.time_ticks.saturating_add(one.duration_ticks)));
            let (end_number, wall_ms) = segments.last().map_or((0, 0), end);
            // One that nobody counted stays.
            let end_ms = ends(block).unwrap_or(u64::MAX);
            if !limit.passes((end_number, end_ms)) {
                return Ok(Oldest::Stays { block, end_ms: if limit.is_past(end_ms) { 0 } else { end_ms } });
            }
            let forgotten = documents::write(&forgotten.and(&segments, periods(wall_ms)));
            store.put(&keys.forgotten(), forgotten).await?;
        }
        let media = segments.iter().filter(|segment| !segment.is_gap()).map(|segment| keys.segment(segment.number));
        let media: Vec<_> = media.collect();
        let deleted = stream::iter(media).map(|key| async move { store.delete(&key).await });
        deleted.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        store.delete(&object.key).await?;
        tracing::debug!(track = %keys.blocks(), block, segments = segments.len(), "old live media was deleted");
        return Ok(Oldest::Gone { block });
    }
    Ok(Oldest::Stays { block: limit.block(), end_ms: 0 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::live::window::{Keyframe, Segment, State};

    /// Gaps are every fifth one.
    fn segment(number: u64, is_discontinuity: bool, keyframes: usize) -> SegmentDocument {
        let state = if number % 5 == 4 { State::Gap } else { State::Whole };
        let mut segment = Segment::new(number * 100, 100, 0, state);
        segment.is_discontinuity = is_discontinuity;
        segment.keyframes = vec![Keyframe { time_ticks: 0, size_bytes: 1 }; keyframes];
        SegmentDocument::of(number, &segment)
    }

    #[test]
    fn what_is_seen_grows_or_is_young_stays() {
        let limit = Limit { number: 130, total_ms: 300_000, keep_ms: 60_000 };
        assert_eq!(limit.block(), 2);
        let ends = [(64, 240_000), (64, 240_001), (130, 0), (131, 0)];
        assert_eq!(ends.map(|end| limit.passes(end)), [true, false, true, false]);
        let waits = Due { oldest_block: Some(1), not_before_ms: 300_000 };
        assert!(waits.is_now(&limit) && !waits.is_now(&Limit { total_ms: 299_999, ..limit }));
        assert!(!Due { oldest_block: Some(2), not_before_ms: 0 }.is_now(&limit), "it grows");
    }

    proptest! {
        #[test]
        fn what_is_forgotten_block_by_block_counts_as_if_it_were_there(
            segments in prop::collection::vec((any::<bool>(), 0_usize..4), 1..60),
            pieces in 1_usize..20,
        ) {
            let all: Vec<_> =
                segments.iter().zip(7..).map(|((breaks, keyframes), at)| segment(at, *breaks, *keyframes)).collect();
            let forgotten = all.chunks(pieces).fold(ForgottenDocument::default(), |so_far, piece| so_far.and(piece, None));
            prop_assert_eq!(forgotten.next, 7 + all.len() as u64);
            prop_assert_eq!(forgotten.discontinuities, all.iter().filter(|one| one.is_discontinuity).count() as u64);
            prop_assert_eq!(forgotten.keyframes, segments.iter().map(|(_, keyframes)| *keyframes as u64).sum::<u64>());
            prop_assert_eq!(forgotten.origin_ticks, all.iter().find(|one| !one.is_gap()).map(|one| one.time_ticks));
        }
    }
}
