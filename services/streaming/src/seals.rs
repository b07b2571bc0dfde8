//! Keys of encrypted assets: made once for each, kept in the object store, wrapped where this service has a secret.
//!
//! A *seal* is a key with the method that uses it. It has a tag, which is part of the version's name in URLs
//! (`{version}-{tag}`): so what lies below a sealed version never changes either, whatever becomes of the asset's setting, and no
//! cache can take the one for the other. A key is random, and the first instance that needs one makes it (a conditional write:
//! others then read it). It lies beside the asset's media, under a name that no URL leads to, and goes with it.
//!
//! The key of a channel may change after so many segments. Then the stored one opens nothing and is never handed out: the key of each period is
//! made of it, on any instance alike.
//!
//! A key is never logged, and leaves only by the route that hands it to viewers.

mod wrapping;

use std::num::NonZeroU64;
use std::sync::Arc;

use aws_lc_rs::hmac;
use flame_api::metadata::Encryption;
use flame_cmaf::encryption::{BLOCK_BYTES, ContentKey, covers, covers_in_ts};
use flame_object_store::{IfExists, Store, StoreError};
use flame_playlist::{Container, Key, Method};
use moka::future::Cache;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;
use uuid::Uuid;

use crate::live::CHAIN;
use crate::names::{self, SealTag};
use crate::presentation::{Presentation, State};
use crate::replicas::Owner;
use crate::store::{MediaStore, ReadError};

pub(crate) use wrapping::{Wrapping, WrappingError};

/// The format of a stored key, and of one that others are made of: older releases do not take it for one to be used as it is.
const VERSION: u32 = 1;
const VERSION_OF_MANY: u32 = 2;
/// What the keys of periods and their identifiers are made for, besides the stored key.
const PERIOD_SECRET: &[u8] = b"flame key period 1 secret";
const PERIOD_ID: &[u8] = b"flame key period 1 id";
/// A stored key is far smaller.
const DOCUMENT_MAX_BYTES: u64 = 4096;
/// Keys that are remembered.
const KNOWN_MAX: u64 = 10_000;

/// A key, and how it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seal {
    pub(crate) method: Encryption,
    /// What names it, and what it is, or what those of its periods are made of.
    pub(crate) key: ContentKey,
    /// Segments after which another key follows.
    pub(crate) every: Option<NonZeroU64>,
}

/// A key as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    key: ContentKey,
    every: Option<NonZeroU64>,
}

/// A key as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct Document {
    version: u32,
    /// Hexadecimal, like the others.
    key_id: String,
    iv: String,
    /// The key, wrapped or not.
    key: String,
    wrapped: bool,
    /// Segments after which another key follows, of version 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    segments: Option<NonZeroU64>,
}

/// Why there is no key.
#[derive(Debug, Error)]
pub(crate) enum SealError {
    #[error("the key of asset {asset} cannot be read")]
    Read {
        asset: Uuid,
        #[source]
        source: ReadError,
    },
    #[error("the key of asset {asset} cannot be stored")]
    Write {
        asset: Uuid,
        #[source]
        source: StoreError,
    },
    #[error("the key of asset {asset} is damaged, or of a newer release")]
    Document { asset: Uuid },
    /// What is here of the asset is a copy: its key is made, and kept, where it is at home.
    #[error("the key of asset {asset} is at another site")]
    Elsewhere { asset: Uuid },
    #[error("the key of asset {asset} cannot be unwrapped: is it the secret that wrapped it?")]
    Wrapping {
        asset: Uuid,
        #[source]
        source: WrappingError,
    },
}

// === impl SealError ===

impl SealError {
    /// Whether it may be another one in a moment.
    pub(crate) fn is_of_the_store(&self) -> bool {
        matches!(self, Self::Read { .. } | Self::Write { .. })
    }
}

/// All keys. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Seals {
    store: MediaStore,
    objects: Store,
    wrapping: Option<Arc<Wrapping>>,
    known: Cache<Uuid, Option<Kept>>,
}

/// Whether what plays of an asset is what was live.
fn is_recording(presentation: &Presentation) -> bool {
    matches!(&presentation.state, State::Playable(version) if version.chain == CHAIN)
}

/// The key of a period.
fn of_period(key: &ContentKey, period: u64) -> ContentKey {
    let secret = hmac::Key::new(hmac::HMAC_SHA256, &key.secret);
    let made = |purpose: &[u8]| {
        let tag = hmac::sign(&secret, &[purpose, &key.id, &period.to_be_bytes()].concat());
        let mut block = [0; BLOCK_BYTES];
        block.copy_from_slice(&tag.as_ref()[..BLOCK_BYTES]);
        block
    };
    ContentKey { secret: made(PERIOD_SECRET), id: made(PERIOD_ID), iv: key.iv }
}

// === impl Kept ===

impl Kept {
    fn sealing(self, method: Encryption) -> Seal {
        Seal { method, key: self.key, every: self.every }
    }

    /// What viewers get by this name, as playlists write it: the key, or that of a period, and never what those are made of. None of a period
    /// that begins behind segment `newest`.
    pub(crate) fn handed_out(&self, name: &str, newest: Option<u64>) -> Option<ContentKey> {
        let (id, period) = match name.split_once('-') {
            None => (name, None),
            Some((id, digits)) => (id, Some(names::number(digits)?)),
        };
        if hex::encode(self.key.id) != id {
            return None;
        }
        match (self.every, period) {
            (None, None) => Some(self.key.clone()),
            (Some(every), Some(period)) if newest.is_none_or(|newest| period <= newest / every) => {
                Some(of_period(&self.key, period))
            }
            (Some(_), _) | (None, Some(_)) => None,
        }
    }
}

// === impl Seal ===

impl Seal {
    /// What segment `number` goes out with.
    pub(crate) fn at(&self, number: u64) -> Self {
        match self.every {
            None => self.clone(),
            Some(every) => Self { method: self.method, key: of_period(&self.key, number / every), every: None },
        }
    }

    /// As [`Kept::handed_out`].
    pub(crate) fn handed_out(&self, name: &str, newest: Option<u64>) -> Option<ContentKey> {
        Kept { key: self.key.clone(), every: self.every }.handed_out(name, newest)
    }

    /// What names the key and its use; 32 bits of a digest.
    pub(crate) fn tag(&self) -> SealTag {
        let method = match self.method {
            Encryption::Aes128 => "aes-128",
            Encryption::SampleAes => "sample-aes",
        };
        let mut digest = Sha256::new();
        digest.update(b"flame seal 1 ");
        digest.update(method);
        digest.update(self.key.id);
        digest.update(self.key.iv);
        let digest = digest.finalize();
        SealTag(u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]))
    }

    /// The name of a version in URLs, sealed.
    pub(crate) fn version(&self, version: &str) -> String {
        format!("{version}-{}", self.tag())
    }

    /// As playlists say it; the key is below `folder`.
    pub(crate) fn listed(&self, folder: &str, container: Container) -> Key {
        let (method, iv) = match (self.method, container) {
            // Each segment's own number.
            (Encryption::Aes128, _) => (Method::Aes128, None),
            // The init segment says it.
            (Encryption::SampleAes, Container::FragmentedMp4) => (Method::SampleAes, None),
            (Encryption::SampleAes, Container::TransportStream) => (Method::SampleAes, Some(self.key.iv)),
        };
        let uri = format!("{folder}keys/{}", hex::encode(self.key.id));
        Key { method, uri, iv, format: None, versions: Vec::new() }
    }

    /// Whether a track of this codec can be had sealed.
    pub(crate) fn takes(&self, codec: &str, container: Container) -> bool {
        match (self.method, container) {
            (Encryption::Aes128, _) => true,
            (Encryption::SampleAes, Container::FragmentedMp4) => covers(codec),
            (Encryption::SampleAes, Container::TransportStream) => covers_in_ts(codec),
        }
    }
}

// === impl Seals ===

impl Seals {
    /// No key is known yet. With `wrapping`, keys are stored wrapped.
    pub(crate) fn new(store: MediaStore, objects: Store, wrapping: Option<Wrapping>) -> Self {
        let known = Cache::builder().max_capacity(KNOWN_MAX).build();
        Self { store, objects, wrapping: wrapping.map(Arc::new), known }
    }

    /// How an asset goes out now; the key is made if there is none.
    pub(crate) async fn current(
        &self,
        asset: Uuid,
        presentation: &Presentation,
    ) -> Result<Option<Seal>, Arc<SealError>> {
        let Some(method) = presentation.encryption else { return Ok(None) };
        match self.key(asset, presentation).await? {
            Some(kept) => Ok(Some(kept.sealing(method))),
            None => self.made((presentation.tenant.as_str(), asset), method, None).await.map(Some),
        }
    }

    /// What an asset of `tenant` was sealed with in this way. A key that is gone is not made anew: what it closed stays closed.
    pub(crate) async fn existing(&self, tenant: &str, asset: Uuid, method: Encryption) -> Result<Seal, Arc<SealError>> {
        let kept = self.key_of(tenant, asset).await?.ok_or(SealError::Document { asset })?;
        Ok(kept.sealing(method))
    }

    /// What an asset of `tenant` is sealed with in this way; the key is made if there is none, to change after so many segments. Nobody asks
    /// whether the asset is at home here: a channel is where it is made, before there is anything of it.
    pub(crate) async fn made(
        &self,
        (tenant, asset): (&str, Uuid),
        method: Encryption,
        every: Option<NonZeroU64>,
    ) -> Result<Seal, Arc<SealError>> {
        let document = key_document(tenant, asset);
        self.make(asset, &document, every).await?;
        // Not by way of what is known: a look that began before this write may still be under way there.
        let kept = self.read(asset, &document).await?.ok_or(SealError::Document { asset })?;
        self.known.insert(asset, Some(kept.clone())).await;
        Ok(kept.sealing(method))
    }

    /// The seal of this tag, if it is one of the asset's, whatever its setting is now: who plays goes on.
    pub(crate) async fn tagged(
        &self,
        asset: Uuid,
        presentation: &Presentation,
        tag: SealTag,
    ) -> Result<Option<Seal>, Arc<SealError>> {
        let key = self.key(asset, presentation).await?;
        let methods = [Encryption::Aes128, Encryption::SampleAes];
        Ok(key.and_then(|key| {
            methods.map(|method| key.clone().sealing(method)).into_iter().find(|seal| seal.tag() == tag)
        }))
    }

    /// The key of an asset, if it has one; without one, it is an error where another site has to answer.
    pub(crate) async fn key(&self, asset: Uuid, presentation: &Presentation) -> Result<Option<Kept>, Arc<SealError>> {
        let found = self.key_of(&presentation.tenant, asset).await?;
        if found.is_none() {
            Box::pin(self.none_yet(asset, presentation)).await?;
        }
        Ok(found)
    }

    async fn key_of(&self, tenant: &str, asset: Uuid) -> Result<Option<Kept>, Arc<SealError>> {
        let document = key_document(tenant, asset);
        let found = self.known.try_get_with(asset, Box::pin(self.read(asset, &document))).await;
        if matches!(found, Ok(None)) {
            // It may be made at any time, also by another instance.
            self.known.invalidate(&asset).await;
        }
        found
    }

    async fn read(&self, asset: Uuid, document: &str) -> Result<Option<Kept>, SealError> {
        match self.store.get(document, DOCUMENT_MAX_BYTES).await {
            Ok(json) => self.opened(asset, &json).map(Some),
            Err(ReadError::Store(StoreError::NotFound { .. })) => Ok(None),
            Err(source) => Err(SealError::Read { asset, source }),
        }
    }

    /// Whether an asset without a key may be given one here: where what plays of it is at home. Two sites that made one each would give viewers
    /// media that their key does not open.
    async fn none_yet(&self, asset: Uuid, presentation: &Presentation) -> Result<(), SealError> {
        let Some(replicas) = self.store.replicas() else { return Ok(()) };
        let owner = Owner { tenant: presentation.tenant.clone(), asset };
        // A recording is where its channel was, and a version that was encoded is where it was stored: either site may have nothing of the other.
        let is_home = if is_recording(presentation) {
            replicas.was_live(&owner).await
        } else {
            replicas.came_first(&owner).await
        };
        let is_home = is_home.map_err(|source| SealError::Read { asset, source: source.into() })?;
        if is_home { Ok(()) } else { Err(SealError::Elsewhere { asset }) }
    }

    fn opened(&self, asset: Uuid, json: &[u8]) -> Result<Kept, SealError> {
        let damaged = || SealError::Document { asset };
        let document: Document = serde_json::from_slice(json).map_err(|_| damaged())?;
        let version = if document.segments.is_some() { VERSION_OF_MANY } else { VERSION };
        if document.version != version {
            return Err(damaged());
        }
        let block = |digits: &str| {
            let mut block = [0; BLOCK_BYTES];
            hex::decode_to_slice(digits, &mut block).map_err(|_| damaged()).map(|()| block)
        };
        let (id, iv) = (block(&document.key_id)?, block(&document.iv)?);
        let secret = if document.wrapped {
            let wrapped = hex::decode(&document.key).map_err(|_| damaged())?;
            let opened = match &self.wrapping {
                Some(wrapping) => wrapping.open(asset, &wrapped),
                None => Err(WrappingError::NoSecret),
            };
            opened.map_err(|source| SealError::Wrapping { asset, source })?
        } else {
            block(&document.key)?
        };
        Ok(Kept { key: ContentKey { secret, id, iv }, every: document.segments })
    }

    /// Stores a new key, unless another instance was first.
    async fn make(&self, asset: Uuid, document: &str, every: Option<NonZeroU64>) -> Result<(), SealError> {
        let random = wrapping::random::<{ 3 * BLOCK_BYTES }>;
        let bytes = random().map_err(|source| SealError::Wrapping { asset, source })?;
        let (secret, rest) = bytes.split_at(BLOCK_BYTES);
        let (id, iv) = rest.split_at(BLOCK_BYTES);
        let key = match &self.wrapping {
            Some(wrapping) => wrapping.wrap(asset, secret).map_err(|source| SealError::Wrapping { asset, source })?,
            None => secret.to_vec(),
        };
        let wrapped = self.wrapping.is_some();
        let made = Document {
            version: if every.is_some() { VERSION_OF_MANY } else { VERSION },
            key_id: hex::encode(id),
            iv: hex::encode(iv),
            key: hex::encode(key),
            wrapped,
            segments: every,
        };
        let json = serde_json::to_vec(&made).expect("strings and numbers make JSON");
        match self.objects.put_if(document, json.into(), "application/json", IfExists::Fail).await {
            Ok(_) => {
                tracing::info!(%asset, key_id = made.key_id, wrapped, "a key was made");
                Ok(())
            }
            Err(StoreError::PreconditionFailed { .. }) => Ok(()),
            Err(source) => Err(SealError::Write { asset, source }),
        }
    }
}

/// Below the asset's media, so that it goes with it; no name of a track or file leads there.
fn key_document(tenant: &str, asset: Uuid) -> String {
    format!("{tenant}/media/{asset}/key.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(method: Encryption) -> Seal {
        Seal { method, key: ContentKey { secret: [1; 16], id: [0xab; 16], iv: [3; 16] }, every: None }
    }

    #[test]
    fn a_tag_names_the_key_and_its_use() {
        let (whole, samples) = (seal(Encryption::Aes128), seal(Encryption::SampleAes));
        assert_ne!(whole.tag(), samples.tag());
        assert_eq!(whole.tag(), seal(Encryption::Aes128).tag());
        let mut other = whole.clone();
        other.key.id = [0xac; 16];
        assert_ne!(whole.tag(), other.tag());
        assert_eq!(whole.version("0123456789ab").len(), "0123456789ab-00000000".len());
    }

    #[test]
    fn of_a_key_that_changes_each_period_has_its_own_and_nobody_gets_what_they_are_made_of() {
        let one = seal(Encryption::Aes128);
        let many = Seal { every: NonZeroU64::new(3), ..one.clone() };
        assert_eq!((one.at(7), one.tag()), (one.clone(), many.tag()), "names stay as they are");
        let keys: Vec<ContentKey> = (0..9).map(|number| many.at(number).key).collect();
        for (number, key) in keys.iter().enumerate() {
            assert_eq!(*key, keys[number / 3 * 3]);
            assert!(key.secret != one.key.secret && key.id != one.key.id);
        }
        assert!(keys[0] != keys[3] && keys[3] != keys[6] && keys[0].secret != keys[0].id);
        let id = "ab".repeat(16);
        assert_eq!(one.handed_out(&id, Some(0)), Some(one.key.clone()));
        assert_eq!(many.handed_out(&format!("{id}-2"), Some(6)).as_ref(), Some(&keys[6]));
        assert_eq!(many.handed_out(&format!("{id}-2"), None).as_ref(), Some(&keys[6]));
        // What periods are made of, one that has not begun, another way to write it, another key.
        let names = [
            id.clone(),
            format!("{id}-3"),
            format!("{id}-02"),
            format!("{id}-"),
            format!("{id}-+2"),
            "cd".repeat(16) + "-2",
        ];
        for name in names {
            assert_eq!(many.handed_out(&name, Some(8)), None, "{name}");
        }
        assert_eq!(one.handed_out(&format!("{id}-0"), None), None);
    }

    #[test]
    fn playlists_say_where_the_key_is_and_a_vector_where_nothing_else_does() {
        let (whole, samples) = (seal(Encryption::Aes128), seal(Encryption::SampleAes));
        let uri = format!("../../keys/{}", "ab".repeat(16));
        for (seal, container, method, iv) in [
            (&whole, Container::FragmentedMp4, Method::Aes128, None),
            (&whole, Container::TransportStream, Method::Aes128, None),
            (&samples, Container::FragmentedMp4, Method::SampleAes, None),
            (&samples, Container::TransportStream, Method::SampleAes, Some([3; 16])),
        ] {
            let key = seal.listed("../../", container);
            assert_eq!((key.method, key.iv, &key.uri), (method, iv, &uri));
        }
        assert!(whole.takes("av01.0.04M.08", Container::FragmentedMp4));
        assert!(!samples.takes("av01.0.04M.08", Container::FragmentedMp4));
        assert!(
            samples.takes("hvc1.1", Container::FragmentedMp4) && !samples.takes("hvc1.1", Container::TransportStream)
        );
    }
}
