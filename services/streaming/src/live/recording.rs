//! A track of a channel that has ended, as it was sent: one object a segment, under the names that viewers had live.

use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};

use flame_object_store::StoreError;
use flame_playlist::{Content, Key, LiveMedia, LiveSegment, PlaylistError, date_ranges_since};
use futures_util::{StreamExt, TryStreamExt, stream};
use moka::future::Cache;
use thiserror::Error;

use super::channel::listed_key;
use super::documents::{
    self, BlockDocument, DOCUMENT_MAX_BYTES, DocumentError, RecordingDocument, SegmentDocument, TrackKeys,
};
use super::marks;
use super::track::Octets;
use super::view::View;
use crate::names::TrackName;
use crate::presentation::Document;
use crate::seals::{Seal, SealError, Seals};
use crate::store::{MediaStore, ReadError};

/// Memory of a segment of a kept recording, for the cache's weights.
const SEGMENT_BYTES: usize = 160;

/// Blocks that are fetched at a time.
const BLOCKS_AT_ONCE: usize = 8;

/// A track as it was sent.
#[derive(Debug)]
pub(crate) struct Recording {
    keys: TrackKeys,
    /// Its playlist.
    pub(crate) playlist: Document,
    /// What else is said of it.
    pub(crate) view: Arc<View>,
    /// None for a gap.
    segments: Box<[Option<Object>]>,
    inits: Box<[Object]>,
    /// What it goes out with, if it is encrypted.
    pub(crate) seal: Option<Seal>,
    /// The same under a key that the catalogue had it encrypted with.
    under: OnceLock<Under>,
}

/// A recording under a key that is not its own.
#[derive(Debug)]
struct Under {
    key: Key,
    view: Arc<View>,
    playlist: OnceLock<Document>,
}

/// An object: its length, and its SHA-256.
type Object = (u64, [u8; 32]);

/// Why a recording cannot be played.
#[derive(Debug, Error)]
pub(crate) enum RecordingError {
    /// There is none.
    #[error("there is no recording of track {0}")]
    Missing(TrackName),
    /// It cannot be read.
    #[error("the recording of track {track} cannot be read")]
    Read {
        /// Of which track.
        track: TrackName,
        /// Why not.
        #[source]
        source: ReadError,
    },
    /// It cannot be used.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// Its key cannot be had, so nothing of it goes out.
    #[error(transparent)]
    Seal(#[from] Arc<SealError>),
    /// It makes no playlist.
    #[error("the recording of track {track} makes no playlist")]
    Playlist {
        /// Of which track.
        track: TrackName,
        /// Why not.
        #[source]
        source: PlaylistError,
    },
}

/// All recordings. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Recordings {
    store: MediaStore,
    seals: Seals,
    kept: Cache<TrackName, Arc<Recording>>,
}

// === impl Recordings ===

impl Recordings {
    /// An empty cache in front of `store`, for at most `max_bytes`.
    pub(crate) fn new(store: MediaStore, seals: Seals, max_bytes: u64) -> Self {
        let weight = |_: &TrackName, recording: &Arc<Recording>| {
            let listed = recording.playlist.text.len() + recording.view.weight_bytes();
            // What has no key of its own may come to be listed under another one, too.
            let forms = if recording.seal.is_none() { 2 } else { 1 };
            let bytes = forms * listed + SEGMENT_BYTES * recording.segments.len();
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        Self { store, seals, kept: Cache::builder().max_capacity(max_bytes).weigher(weight).build() }
    }

    /// The recording of a track of `tenant`.
    pub(crate) async fn get(&self, tenant: &str, name: &TrackName) -> Result<Arc<Recording>, Arc<RecordingError>> {
        self.kept.try_get_with_by_ref(name, Box::pin(self.load(tenant, name))).await
    }

    async fn load(&self, tenant: &str, name: &TrackName) -> Result<Arc<Recording>, RecordingError> {
        let keys = TrackKeys::new(tenant, name.asset, &name.version, &name.track);
        let key = keys.recording();
        let json = match self.store.get(&key, DOCUMENT_MAX_BYTES).await {
            Ok(json) => json,
            Err(ReadError::Store(StoreError::NotFound { .. })) => return Err(RecordingError::Missing(name.clone())),
            Err(source) => return Err(RecordingError::Read { track: name.clone(), source }),
        };
        let mut document: RecordingDocument = documents::read(&key, &json)?;
        if let Some((first, last)) = document.blocks {
            document.segments = self.blocks(&keys, name, first..=last).await?;
        }
        let segments = documents::each(document.segments);
        document.segments = segments.map_err(|what| DocumentError::Inconsistent { key: key.clone(), what })?;
        document.check(&key)?;
        let seal = match document.encryption {
            Some(method) => Some(self.seals.existing(tenant, name.asset, method).await?),
            None => None,
        };
        let recording = Recording::of(keys, &document, seal);
        recording.map(Arc::new).map_err(|source| RecordingError::Playlist { track: name.clone(), source })
    }

    /// The segments of these blocks.
    async fn blocks(
        &self,
        keys: &TrackKeys,
        track: &TrackName,
        numbers: RangeInclusive<u64>,
    ) -> Result<Vec<SegmentDocument>, RecordingError> {
        let block = async |number| {
            let key = keys.block(number);
            match self.store.get(&key, DOCUMENT_MAX_BYTES).await {
                Ok(json) => documents::read::<BlockDocument>(&key, &json).map_err(RecordingError::from),
                // Where a run of gaps covers it.
                Err(ReadError::Store(StoreError::NotFound { .. })) => Ok(BlockDocument::new(Vec::new())),
                Err(source) => Err(RecordingError::Read { track: track.clone(), source }),
            }
        };
        let blocks = stream::iter(numbers).map(block).buffered(BLOCKS_AT_ONCE);
        let segments = blocks.map_ok(|block: BlockDocument| stream::iter(block.segments.into_iter().map(Ok)));
        segments.try_flatten().try_collect().await
    }
}

// === impl Recording ===

impl Recording {
    fn of(keys: TrackKeys, document: &RecordingDocument, seal: Option<Seal>) -> Result<Self, PlaylistError> {
        let facts = &document.track.track;
        let forgotten = document.forgotten.clone().unwrap_or_default();
        let begins = document.segments.first().filter(|_| forgotten.next > 0);
        // What was said of what is not there any more means nothing.
        let from_ms =
            begins.map_or(0, |first| u128::from(first.time_ticks) * 1000 / u128::from(facts.timescale.max(1)));
        let offset_ms = begins.map_or(0, |first| first.wall_offset_ms);
        let from_ms = u64::try_from(from_ms).unwrap_or(u64::MAX).saturating_add_signed(offset_ms);
        let first_number = document.segments.first().map_or(0, |first| first.number);
        let (key, key_segments) = listed_key(seal.as_ref());
        let media = LiveMedia {
            timescale: facts.timescale,
            target_duration_s: document.target_duration_s,
            part_target_ticks: u64::from(facts.part_ticks),
            first_number,
            discontinuity_sequence: forgotten.discontinuities,
            segments: document.segments.iter().map(listed).collect(),
            is_over: true,
            reports: Vec::new(),
            // They were checked when they were made; without them it plays all the same.
            date_ranges: date_ranges_since(&marks::date_ranges(&document.marks).unwrap_or_default(), from_ms),
            key,
            key_segments,
        };
        let digest = |hex: &str| documents::digest(hex).unwrap_or_default();
        let segment =
            |segment: &SegmentDocument| (!segment.is_gap()).then(|| (segment.size_bytes, digest(&segment.sha256)));
        let came = document.segments.iter().find(|segment| !segment.is_gap());
        let playlist = Document::new(media.playlist(false)?);
        let newest = document.segments.last().and_then(|last| document.track.inits.get(last.init as usize));
        let view = View {
            facts: facts.clone(),
            transfer: newest.and_then(|init| init.transfer),
            media,
            sizes_bytes: document.segments.iter().map(|segment| segment.size_bytes).collect(),
            keyframes: document.segments.iter().map(|segment| segment.keyframes.clone()).collect(),
            keyframes_before: forgotten.keyframes,
            origin_ticks: forgotten.origin_ticks.or(came.map(|segment| segment.time_ticks)),
        };
        Ok(Self {
            keys,
            playlist,
            view: Arc::new(view),
            segments: document.segments.iter().map(segment).collect(),
            inits: document.track.inits.iter().map(|init| (init.size_bytes, digest(&init.sha256))).collect(),
            seal,
            under: OnceLock::new(),
        })
    }

    /// As it is listed under a key that is not its own. An asset has one, so that is made once.
    pub(crate) fn under(&self, key: Key) -> Arc<View> {
        let known = self.known_under(&key);
        if known.key == key { Arc::clone(&known.view) } else { Arc::new(self.view.under(key)) }
    }

    /// Its playlist under a key that is not its own, written once as well.
    pub(crate) fn playlist_under(&self, key: Key) -> Result<Document, PlaylistError> {
        let known = self.known_under(&key);
        if known.key != key {
            return self.view.under(key).whole();
        }
        if let Some(playlist) = known.playlist.get() {
            return Ok(playlist.clone());
        }
        let playlist = known.view.whole()?;
        Ok(known.playlist.get_or_init(|| playlist).clone())
    }

    /// What is there under a key: `key`, where there was none before.
    fn known_under(&self, key: &Key) -> &Under {
        let under =
            || Under { key: key.clone(), view: Arc::new(self.view.under(key.clone())), playlist: OnceLock::new() };
        self.under.get_or_init(under)
    }

    /// A segment.
    pub(crate) fn segment(&self, number: u64) -> Option<Octets> {
        let at = usize::try_from(number.checked_sub(self.view.media.first_number)?).ok()?;
        let (size_bytes, sha256) = (*self.segments.get(at)?)?;
        Some(Octets::Stored(self.keys.segment(number), size_bytes, sha256))
    }

    /// The init segment of a segment.
    pub(crate) fn init_of(&self, number: u64) -> Option<Octets> {
        let at = usize::try_from(number.checked_sub(self.view.media.first_number)?).ok()?;
        self.init(self.view.media.segments.get(at)?.init)
    }

    /// An init segment.
    pub(crate) fn init(&self, number: u32) -> Option<Octets> {
        let (size_bytes, sha256) = *self.inits.get(usize::try_from(number).ok()?)?;
        Some(Octets::Stored(self.keys.init(number), size_bytes, sha256))
    }
}

pub(super) fn listed(segment: &SegmentDocument) -> LiveSegment {
    LiveSegment {
        time_ticks: segment.time_ticks,
        duration_ticks: segment.duration_ticks,
        content: if segment.is_gap() { Content::Gap } else { Content::Whole(Vec::new()) },
        init: segment.init,
        is_discontinuity: segment.is_discontinuity,
        wall_offset_ms: segment.wall_offset_ms,
    }
}
