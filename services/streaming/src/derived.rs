//! What is made of a segment when somebody asks for it, and not stored: a transport stream, an I-frame, the end of a clip.
//!
//! The same bytes come out on every instance, so their tag follows from what they are made of. A segment is taken into memory
//! whole; how large it may be and how many there are at a time is bounded.

use std::sync::Arc;

use bytes::Bytes;
use flame_cmaf::movie::SegmentPlan;
use flame_cmaf::samples::{self, InitInfo, SamplesError};
use flame_cmaf::ts::{self, TsError};
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clip;
use crate::config::DerivedConfig;
use crate::source::{self, UploadedTrack};
use crate::store::{MediaStore, ReadError};
use crate::track::{Piece, Track};

/// What makes other bytes of the same segment: it is part of their tag.
const MAKER: &str = "flame derived 1";

/// What is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Product {
    /// A transport stream.
    Ts,
    /// One of the sync samples, alone.
    Keyframe(u32),
    /// What is needed to show what lies before this time, milliseconds of presentation; as a transport stream or not.
    Until {
        /// The end.
        to_ms: u64,
        /// As a transport stream.
        is_ts: bool,
    },
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Derived {
    pub(crate) bytes: Bytes,
    pub(crate) identity: [u8; 32],
}

/// Why nothing came of it.
#[derive(Debug, Error)]
pub(crate) enum DeriveError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the segment has {size_bytes} bytes; {limit_bytes} are taken at most")]
    TooLarge { size_bytes: u64, limit_bytes: u64 },
    #[error("the segment is not what it should be")]
    Samples(#[from] SamplesError),
    #[error("the segment makes no transport stream")]
    Ts(#[from] TsError),
    #[error("there is no such I-frame")]
    NoKeyframe,
}

/// Where it is made. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Workshop {
    store: MediaStore,
    segment_max_bytes: u64,
    places: Arc<Semaphore>,
}

// === impl Workshop ===

impl Workshop {
    pub(crate) fn new(store: MediaStore, config: &DerivedConfig) -> Self {
        let places = Arc::new(Semaphore::new(config.at_once.max(1)));
        Self { store, segment_max_bytes: config.segment_max.0, places }
    }

    /// Makes something of a segment of a stored track.
    pub(crate) async fn of_stored(
        &self,
        track: &Track,
        (number, piece): (u64, Piece),
        product: Product,
    ) -> Result<Derived, DeriveError> {
        let whole = async |piece: Piece| self.store.bytes(&track.object_key, piece.within(0..piece.size_bytes)).await;
        self.check(piece.size_bytes)?;
        let place = self.place().await;
        let (init, segment) = (whole(track.init).await?, whole(piece).await?);
        self.make(place, (init, segment), (number, product), &piece.sha256).await
    }

    /// Makes something of a segment of a file as it was uploaded.
    pub(crate) async fn of_uploaded(
        &self,
        (key, track): (&str, &UploadedTrack),
        (number, plan): (u64, &SegmentPlan),
        product: Product,
    ) -> Result<Derived, DeriveError> {
        self.check(plan.size_bytes)?;
        let place = self.place().await;
        let segment = source::bytes(&self.store, key, plan).await?;
        self.make(place, (track.movie.init().clone(), segment), (number, product), &track.identity).await
    }

    fn check(&self, size_bytes: u64) -> Result<(), DeriveError> {
        let limit_bytes = self.segment_max_bytes;
        if size_bytes > limit_bytes { Err(DeriveError::TooLarge { size_bytes, limit_bytes }) } else { Ok(()) }
    }

    async fn place(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.places).acquire_owned().await.expect("nobody closes it")
    }

    async fn make(
        &self,
        place: OwnedSemaphorePermit,
        (init, segment): (Bytes, Bytes),
        (number, product): (u64, Product),
        identity: &[u8; 32],
    ) -> Result<Derived, DeriveError> {
        let limit = usize::try_from(self.segment_max_bytes).unwrap_or(usize::MAX);
        let made = tokio::task::spawn_blocking(move || {
            // Held to the end, also if nobody waits for it any more.
            let _place = place;
            made(&init, &segment, number, product, limit)
        });
        let made = made.await;
        let bytes = made.expect("a packager that panics is a fault of ours")?;
        let mut digest = Sha256::new();
        digest.update(MAKER);
        digest.update(identity);
        digest.update(format!("{number} {product:?}"));
        Ok(Derived { bytes: bytes.into(), identity: digest.finalize().into() })
    }
}

fn made(init: &[u8], segment: &[u8], number: u64, product: Product, limit: usize) -> Result<Vec<u8>, DeriveError> {
    let init = InitInfo::parse(init)?;
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    let until = |to_ms: u64| {
        let ticks = i64::try_from(clip::ticks(to_ms, init.timescale)).unwrap_or(i64::MAX);
        samples::truncated(segment, &init, ticks, number)
    };
    Ok(match product {
        Product::Ts => ts::segment(&init, segment, limit)?,
        Product::Until { to_ms, is_ts: false } => until(to_ms)?,
        Product::Until { to_ms, is_ts: true } => ts::segment(&init, &until(to_ms)?, limit)?,
        Product::Keyframe(at) => {
            let found = samples::keyframes(&samples::samples(segment, &init)?, &init);
            let at = usize::try_from(at).map_err(|_| DeriveError::NoKeyframe)?;
            samples::single_sample(segment, &init, found.get(at).ok_or(DeriveError::NoKeyframe)?, number)?
        }
    })
}
