//! What lies where in a track: its stored index, checked once and kept, with the playlists made from it.
//!
//! A track never changes, so a kept one is never asked for again. Memory is bounded by the weight of what is
//! kept; only one read of an index is ever open.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use flame_cmaf::index::JSON_SIZE_MAX_BYTES;
use flame_cmaf::{IndexError, TrackIndex, samples};
use flame_object_store::StoreError;
use flame_playlist::{PlaylistError, VideoRange};
use moka::future::Cache;
use thiserror::Error;

use crate::complete::Complete;
use crate::names::TrackName;
use crate::source::listed_range;
use crate::store::{MediaStore, ReadError};

/// How long a track that is not there is not looked for again.
const MISSING_TTL: Duration = Duration::from_secs(1);
/// The most names of missing tracks kept.
const MISSING_MAX: u64 = 10_000;
/// Codecs of pictures, by the beginning of their strings: their transfer characteristics are looked for.
const HDR_CODECS: [&str; 6] = ["avc1.", "avc3.", "hvc1.", "hev1.", "av01.", "vp09."];
/// The largest init segment that is looked into.
const INIT_MAX_BYTES: u64 = 64 << 10;
/// Memory of a kept track besides its pieces and text, for the cache's weights.
const TRACK_OVERHEAD_BYTES: usize = 512;

/// A track, ready to be cut.
#[derive(Debug)]
pub(crate) struct Track {
    /// Key of its object.
    pub(crate) object_key: String,
    /// Its playlists.
    pub(crate) complete: Arc<Complete>,
    /// Media type of its segments.
    pub(crate) media_type: &'static str,
    /// The init segment.
    pub(crate) init: Piece,
    /// The media segments.
    segments: Box<[Piece]>,
    /// The I-frames: in which segment each is, and which of the sync samples there.
    keyframes: Box<[(u32, u32)]>,
}

/// Some bytes of the object, and their identity.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    pub(crate) offset_bytes: u64,
    pub(crate) size_bytes: u64,
    pub(crate) sha256: [u8; 32],
}

/// Why a track cannot be cut.
#[derive(Debug, Error)]
pub(crate) enum TrackError {
    /// There is no such track.
    #[error("there is no track {track}")]
    Missing {
        /// Its name.
        track: TrackName,
    },
    /// Its index cannot be read.
    #[error("the index of track {track} cannot be read")]
    Read {
        /// Its name.
        track: TrackName,
        /// Why not.
        #[source]
        source: ReadError,
    },
    /// Its index is in no store that was reached.
    #[error("the index of track {track} is in no store that was reached")]
    Nowhere {
        /// Its name.
        track: TrackName,
    },
    /// Its index is damaged or newer.
    #[error("the index of track {track} cannot be used")]
    Index {
        /// Its name.
        track: TrackName,
        /// Why not.
        #[source]
        source: IndexError,
    },
    /// Its index makes no playlist.
    #[error("the index of track {track} makes no playlist")]
    Playlist {
        /// Its name.
        track: TrackName,
        /// Why not.
        #[source]
        source: PlaylistError,
    },
}

/// All tracks. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Tracks {
    store: MediaStore,
    kept: Cache<TrackName, Arc<Track>>,
    missing: Cache<TrackName, ()>,
}

// === impl Tracks ===

impl Tracks {
    /// An empty cache in front of `store`, for at most `max_bytes` of indexes.
    pub(crate) fn new(store: MediaStore, max_bytes: u64) -> Self {
        let kept = Cache::builder().max_capacity(max_bytes).weigher(|_, track: &Arc<Track>| track.weight()).build();
        let missing = Cache::builder().max_capacity(MISSING_MAX).time_to_live(MISSING_TTL).build();
        Self { store, kept, missing }
    }

    /// Whether a track is in memory, so that no store is asked for its index.
    pub(crate) fn is_kept(&self, name: &TrackName) -> bool {
        self.kept.contains_key(name)
    }

    /// The track called `name` of `tenant`.
    pub(crate) async fn get(&self, tenant: &str, name: &TrackName) -> Result<Arc<Track>, Arc<TrackError>> {
        if self.missing.contains_key(name) {
            return Err(Arc::new(TrackError::Missing { track: name.clone() }));
        }
        let loaded = self.kept.try_get_with_by_ref(name, Box::pin(self.load(tenant, name))).await;
        if let Err(error) = &loaded
            && matches!(**error, TrackError::Missing { .. })
        {
            self.missing.insert(name.clone(), ()).await;
        }
        loaded
    }

    async fn load(&self, tenant: &str, name: &TrackName) -> Result<Arc<Track>, TrackError> {
        let track = || name.clone();
        let max_bytes = u64::try_from(JSON_SIZE_MAX_BYTES).expect("a small constant");
        let json = match self.store.get(&name.index_key(tenant), max_bytes).await {
            Ok(json) => json,
            Err(ReadError::Store(StoreError::NotFound { .. })) => return Err(TrackError::Missing { track: track() }),
            Err(ReadError::Nowhere { .. }) => return Err(TrackError::Nowhere { track: track() }),
            Err(source) => return Err(TrackError::Read { track: track(), source }),
        };
        let index = TrackIndex::from_json(&json).map_err(|source| TrackError::Index { track: track(), source })?;
        let object_key = name.object_key(tenant);
        let range = self.range(&index, &object_key).await;
        let range = range.map_err(|source| TrackError::Read { track: track(), source })?;
        Track::of(&index, object_key, range)
            .map(Arc::new)
            .map_err(|source| TrackError::Playlist { track: track(), source })
    }

    /// How bright the pictures of a track get. The index does not say it, the init segment does: it is read once, as the index is.
    async fn range(&self, index: &TrackIndex, object_key: &str) -> Result<Option<VideoRange>, ReadError> {
        let is_bright = HDR_CODECS.iter().any(|known| index.codec.starts_with(known));
        if !is_bright || index.init_size_bytes > INIT_MAX_BYTES {
            return Ok(None);
        }
        let init = self.store.bytes(object_key, 0..index.init_size_bytes).await?;
        // What is no init segment says nothing; its player finds out.
        let transfer = samples::transfer_of(&init).ok().flatten();
        Ok(transfer.map(|transfer| listed_range(flame_cmaf::movie::VideoRange::of_transfer(transfer))))
    }
}

// === impl Track ===

impl Track {
    fn of(index: &TrackIndex, object_key: String, video_range: Option<VideoRange>) -> Result<Self, PlaylistError> {
        let init = Piece { offset_bytes: 0, size_bytes: index.init_size_bytes, sha256: digest(&index.init_sha256) };
        let segments = index.segments.iter().map(|segment| Piece {
            offset_bytes: segment.offset_bytes,
            size_bytes: segment.size_bytes,
            sha256: digest(&segment.sha256),
        });
        let keyframes = index.segments.iter().enumerate().flat_map(|(segment, entry)| {
            let segment = u32::try_from(segment).unwrap_or(u32::MAX);
            (0..entry.keyframes.len()).map(move |at| (segment, u32::try_from(at).unwrap_or(u32::MAX)))
        });
        let mut complete = Complete::stored(index)?;
        complete.video_range = video_range;
        Ok(Self {
            object_key,
            complete: Arc::new(complete),
            media_type: if index.codec.starts_with("mp4a") { "audio/mp4" } else { "video/mp4" },
            init,
            segments: segments.collect(),
            keyframes: keyframes.collect(),
        })
    }

    /// The segment `number`.
    pub(crate) fn piece(&self, number: u64) -> Option<Piece> {
        self.segments.get(usize::try_from(number).ok()?).copied()
    }

    /// The I-frame `number`: in which segment it is, and which of the sync samples there.
    pub(crate) fn keyframe(&self, number: u64) -> Option<(u64, u32)> {
        let (segment, at) = *self.keyframes.get(usize::try_from(number).ok()?)?;
        Some((u64::from(segment), at))
    }

    fn weight(&self) -> u32 {
        let bytes = TRACK_OVERHEAD_BYTES
            + self.complete.weight_bytes()
            + size_of_val(&*self.segments)
            + size_of_val(&*self.keyframes);
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }
}

// === impl Piece ===

impl Piece {
    /// `range`, which counts within the piece, as bytes of the object.
    pub(crate) fn within(&self, range: Range<u64>) -> Range<u64> {
        self.offset_bytes + range.start..self.offset_bytes + range.end
    }
}

fn digest(sha256: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    hex::decode_to_slice(sha256, &mut bytes).expect("a checked index has digests in hex");
    bytes
}
