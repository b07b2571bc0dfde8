//! What is made of a segment when somebody asks for it, and not stored: a transport stream, an I-frame, the end of a clip.
//!
//! The same bytes come out on every instance, so their tag follows from what they are made of. A segment is taken into memory
//! whole; how large it may be and how many there are at a time is bounded. What was made is kept for a while, in bounded memory: a
//! thousand viewers of an encrypted channel who come without a surrogate cost one encryption of each part, and those who ask for the
//! same at the same time wait for one making.

use std::sync::Arc;

use bytes::Bytes;
use flame_api::metadata::Encryption;
use flame_cmaf::encryption::{self, EncryptionError};
use flame_cmaf::movie::SegmentPlan;
use flame_cmaf::samples::{self, InitInfo, SamplesError};
use flame_cmaf::ts::{self, TsError};
use flame_service_host::metrics::Metrics;
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use prometheus::IntCounter;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clip;
use crate::config::DerivedConfig;
use crate::live::Octets;
use crate::seals::Seal;
use crate::source::{self, UploadedTrack};
use crate::store::{MediaStore, ReadError};
use crate::track::{Piece, Track};

/// What makes other bytes of the same segment: it is part of their tag.
const MAKER: &str = "flame derived 1";
/// What a kept one takes besides its bytes: its names, and its place.
const KEPT_BYTES: usize = 256;

/// What is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Product {
    /// The segment as it is, which is worth making only where it is sealed.
    Whole,
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

/// What is made, and how it goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) product: Product,
    pub(crate) sealing: Option<Sealing>,
}

/// A seal, and the number of what it is put on in its playlist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sealing {
    pub(crate) seal: Seal,
    pub(crate) sequence: u64,
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
    #[error("the segment cannot be encrypted")]
    Encryption(#[from] EncryptionError),
    #[error("there is no such I-frame")]
    NoKeyframe,
}

/// What names it: its tag, and what the tag does not tell apart, since no URL has both: the init segment that it was made with, or the
/// object that it was made of, and the key, of which the tag has a short name only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Name {
    tag: [u8; 32],
    init: [u8; 32],
    key: Option<[u8; 16]>,
}

/// Where it is made. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Workshop {
    store: MediaStore,
    segment_max_bytes: u64,
    places: Arc<Semaphore>,
    kept: Cache<Name, Bytes>,
    made: IntCounter,
}

// === impl Workshop ===

impl Workshop {
    /// Nothing is made yet. Adds its counter to those of the host.
    pub(crate) fn new(store: MediaStore, config: &DerivedConfig, host: &Metrics) -> Self {
        let places = Arc::new(Semaphore::new(config.at_once.max(1)));
        let weight = |_: &Name, bytes: &Bytes| u32::try_from(bytes.len() + KEPT_BYTES).unwrap_or(u32::MAX);
        // What is live is asked for by all at once, and then by nobody: how often something was asked for before says little.
        let kept =
            Cache::builder().max_capacity(config.memory.0).weigher(weight).eviction_policy(EvictionPolicy::lru());
        let about = "Transport streams, I-frames, ends of clips, and sealed segments and parts that were made";
        let made = IntCounter::new("derived_made_total", about).expect("the name is valid");
        host.register(made.clone());
        Self { store, segment_max_bytes: config.segment_max.0, places, kept: kept.build(), made }
    }

    /// Makes something of a segment of a stored track.
    pub(crate) async fn of_stored(
        &self,
        track: &Track,
        (number, piece): (u64, Piece),
        order: Order,
    ) -> Result<Derived, Arc<DeriveError>> {
        let name = order.named(number, (&piece.sha256, &track.init.sha256));
        let making = async {
            self.check(piece.size_bytes)?;
            let place = self.place().await;
            let init = self.store.bytes(&track.object_key, track.init.within(0..track.init.size_bytes)).await?;
            let segment = self.store.bytes(&track.object_key, piece.within(0..piece.size_bytes)).await?;
            self.make(place, (init, segment), (number, order)).await
        };
        self.once(name, making).await
    }

    /// Makes something of a segment, or an I-frame, of a file as it was uploaded; `identity` names which of them.
    pub(crate) async fn of_uploaded(
        &self,
        (key, track): (&str, &UploadedTrack),
        (number, plan, identity): (u64, &SegmentPlan, &[u8; 32]),
        order: Order,
    ) -> Result<Derived, Arc<DeriveError>> {
        // The catalogue is told the digest of an upload, and nobody checks it here: what was made of another object is another's.
        let name = order.named(number, (identity, &Sha256::digest(key).into()));
        let making = async {
            self.check(plan.size_bytes)?;
            let place = self.place().await;
            let segment = source::bytes(&self.store, key, plan).await?;
            self.make(place, (track.movie.init().clone(), segment), (number, order)).await
        };
        self.once(name, making).await
    }

    /// Makes something of a segment of what is or was live.
    pub(crate) async fn of_sent(
        &self,
        (init, segment): (&Octets, &Octets),
        number: u64,
        order: Order,
    ) -> Result<Derived, Arc<DeriveError>> {
        let name = order.named(number, (segment.sha256(), init.sha256()));
        let making = async {
            self.check(segment.size_bytes())?;
            let place = self.place().await;
            let (init, bytes) = (self.whole(init).await?, self.whole(segment).await?);
            self.make(place, (init, bytes), (number, order)).await
        };
        self.once(name, making).await
    }

    /// The sealed init segment of what was live.
    pub(crate) async fn sealed_init_of_sent(&self, init: &Octets, seal: &Seal) -> Result<Derived, DeriveError> {
        self.check(init.size_bytes())?;
        sealed_init(&self.whole(init).await?, init.sha256(), seal)
    }

    /// A sealed part, which is small; that of the clear one has `identity`. It is encrypted by itself, with the vector of its segment, as
    /// players open it.
    pub(crate) async fn sealed_part(
        &self,
        (part, identity): (&Bytes, &[u8; 32]),
        (number, at): (u64, u64),
        seal: &Seal,
    ) -> Derived {
        let tag = named(identity, &format!("part {number}.{at} {}", seal.tag()));
        // It is made with none.
        let name = Name { tag, init: [0; 32], key: Some(seal.key.id) };
        let making = async {
            self.made.inc();
            encryption::whole(&seal.key.secret, &encryption::sequence_iv(number), part.to_vec()).into()
        };
        Derived { bytes: self.kept.get_with(name, Box::pin(making)).await, identity: tag }
    }

    /// What is called `name`: it is kept, somebody is making it, or it is made now. One who leaves while he makes it leaves it to the next.
    async fn once(
        &self,
        name: Name,
        making: impl Future<Output = Result<Bytes, DeriveError>>,
    ) -> Result<Derived, Arc<DeriveError>> {
        let bytes = self.kept.try_get_with(name, Box::pin(making)).await?;
        Ok(Derived { bytes, identity: name.tag })
    }

    async fn whole(&self, octets: &Octets) -> Result<Bytes, ReadError> {
        match octets {
            Octets::Held(bytes, _) => Ok(bytes.clone()),
            Octets::Stored(key, size_bytes, _) => self.store.bytes(key, 0..*size_bytes).await,
        }
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
        (number, order): (u64, Order),
    ) -> Result<Bytes, DeriveError> {
        self.made.inc();
        let limit = usize::try_from(self.segment_max_bytes).unwrap_or(usize::MAX);
        let made = tokio::task::spawn_blocking(move || {
            // Held to the end, also if nobody waits for it any more.
            let _place = place;
            made(&init, &segment, number, &order, limit)
        });
        let made = made.await;
        Ok(made.expect("a packager that panics is a fault of ours")?.into())
    }
}

/// The tag of what is made of something with this identity.
fn named(identity: &[u8; 32], product: &str) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(MAKER);
    digest.update(identity);
    digest.update(product);
    digest.finalize().into()
}

/// The init segment of a sealed track, with what names it; that of the clear one has `identity`.
pub(crate) fn sealed_init(init: &Bytes, identity: &[u8; 32], seal: &Seal) -> Result<Derived, DeriveError> {
    let bytes = match seal.method {
        // It is never encrypted: without a vector of its own nothing says how.
        Encryption::Aes128 => init.clone(),
        Encryption::SampleAes => encryption::cbcs_init(init, &seal.key)?.into(),
    };
    Ok(Derived { bytes, identity: named(identity, &format!("init {}", seal.tag())) })
}

fn made(init: &[u8], segment: &[u8], number: u64, order: &Order, limit: usize) -> Result<Vec<u8>, DeriveError> {
    let init = InitInfo::parse(init)?;
    let sealing = order.sealing.as_ref();
    let samples_key = sealing.filter(|sealing| sealing.seal.method == Encryption::SampleAes).map(|it| &it.seal.key);
    let stream = |segment: &[u8]| match samples_key {
        Some(key) => ts::encrypted_segment(&init, segment, limit, key),
        None => ts::segment(&init, segment, limit),
    };
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    let until = |to_ms: u64| {
        let ticks = i64::try_from(clip::ticks(to_ms, init.timescale)).unwrap_or(i64::MAX);
        samples::truncated(segment, &init, ticks, number)
    };
    let clear = match order.product {
        Product::Whole => segment.to_vec(),
        Product::Ts => stream(segment)?,
        Product::Until { to_ms, is_ts: false } => until(to_ms)?,
        Product::Until { to_ms, is_ts: true } => stream(&until(to_ms)?)?,
        Product::Keyframe(at) => {
            let found = samples::keyframes(&samples::samples(segment, &init)?, &init);
            let at = usize::try_from(at).map_err(|_| DeriveError::NoKeyframe)?;
            samples::single_sample(segment, &init, found.get(at).ok_or(DeriveError::NoKeyframe)?, number)?
        }
    };
    Ok(match (sealing, samples_key) {
        (None, _) => clear,
        // Its samples were encrypted before it became one.
        (Some(_), Some(_)) if order.product.is_ts() => clear,
        (Some(_), Some(key)) => encryption::cbcs_segment(&init, &clear, key)?,
        (Some(Sealing { seal, sequence }), None) => {
            encryption::whole(&seal.key.secret, &encryption::sequence_iv(*sequence), clear)
        }
    })
}

// === impl Product ===

impl Product {
    /// Whether it is a transport stream.
    pub(crate) fn is_ts(self) -> bool {
        matches!(self, Self::Ts | Self::Until { is_ts: true, .. })
    }
}

// === impl Order ===

impl Order {
    /// What is made of segment `number` with this identity, and this init segment, or of this object.
    fn named(&self, number: u64, (identity, init): (&[u8; 32], &[u8; 32])) -> Name {
        let product = self.product;
        // What makes other bytes of the same segment, besides the packager.
        let (product, key) = match &self.sealing {
            None => (format!("{number} {product:?}"), None),
            Some(Sealing { seal, sequence }) => {
                (format!("{number} {product:?} {} {sequence}", seal.tag()), Some(seal.key.id))
            }
        };
        Name { tag: named(identity, &product), init: *init, key }
    }
}
