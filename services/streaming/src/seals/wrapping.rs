//! Wrapping of keys with the secret of this service: AES-256-GCM, bound to the asset.
//!
//! Who reads the object store without the secret has media in the clear (it is stored so) but no key of what was sent. All instances
//! of the service need the same secret.

use std::fmt;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand;
use flame_cmaf::encryption::BLOCK_BYTES;
use sha2::{Digest, Sha256};
use thiserror::Error;
use uuid::Uuid;

/// What the key that wraps is made for, besides the secret.
const PURPOSE: &[u8] = b"flame key wrapping 1";
/// The shortest secret that is taken, octets.
const SECRET_MIN_BYTES: usize = 32;

/// Why a key cannot be wrapped or unwrapped.
#[derive(Debug, Error)]
pub(crate) enum WrappingError {
    #[error("{path}: the secret cannot be read")]
    Read {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} holds {found_bytes} octets; a secret has {SECRET_MIN_BYTES} at least")]
    Short { path: String, found_bytes: usize },
    #[error("it is wrapped, and this service has no secret: set `secret` in [encryption]")]
    NoSecret,
    #[error("the secret does not open it")]
    Sealed,
    #[error("the system has no random numbers")]
    NoRandom,
}

/// Wraps keys.
pub(crate) struct Wrapping(RandomizedNonceKey);

/// Octets that nobody can guess.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], WrappingError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| WrappingError::NoRandom)?;
    Ok(bytes)
}

// === impl Wrapping ===

impl Wrapping {
    /// With the secret in a file.
    pub(crate) fn open_file(path: &Path) -> Result<Self, WrappingError> {
        let name = || path.display().to_string();
        let secret = std::fs::read(path).map_err(|source| WrappingError::Read { path: name(), source })?;
        if secret.len() < SECRET_MIN_BYTES {
            return Err(WrappingError::Short { path: name(), found_bytes: secret.len() });
        }
        Ok(Self::of(&secret))
    }

    fn of(secret: &[u8]) -> Self {
        let mut digest = Sha256::new();
        digest.update(PURPOSE);
        digest.update(secret);
        let key = RandomizedNonceKey::new(&AES_256_GCM, &digest.finalize()).expect("the key has the cipher's length");
        Self(key)
    }

    /// The nonce, then the sealed key.
    pub(crate) fn wrap(&self, asset: Uuid, secret: &[u8]) -> Result<Vec<u8>, WrappingError> {
        let mut sealed = secret.to_vec();
        let nonce = self.0.seal_in_place_append_tag(Aad::from(asset.as_bytes()), &mut sealed);
        let nonce = nonce.map_err(|_| WrappingError::NoRandom)?;
        Ok([&nonce.as_ref()[..], &sealed].concat())
    }

    pub(crate) fn open(&self, asset: Uuid, wrapped: &[u8]) -> Result<[u8; BLOCK_BYTES], WrappingError> {
        let (nonce, sealed) = wrapped.split_first_chunk::<NONCE_LEN>().ok_or(WrappingError::Sealed)?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::from(nonce);
        let opened = self.0.open_in_place(nonce, Aad::from(asset.as_bytes()), &mut sealed);
        let opened = opened.map_err(|_| WrappingError::Sealed)?;
        <[u8; BLOCK_BYTES]>::try_from(&*opened).map_err(|_| WrappingError::Sealed)
    }
}

impl fmt::Debug for Wrapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wrapping")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_secret_opens_a_key_and_only_for_its_asset() {
        let (one, other) = (Wrapping::of(&[1; 32]), Wrapping::of(&[2; 32]));
        let (asset, key) = (Uuid::from_u128(7), [9; BLOCK_BYTES]);
        let wrapped = one.wrap(asset, &key).unwrap();
        assert_eq!(one.open(asset, &wrapped).unwrap(), key);
        assert!(!wrapped.windows(BLOCK_BYTES).any(|part| part == key));
        assert_ne!(wrapped, one.wrap(asset, &key).unwrap(), "a nonce of its own each time");
        assert!(matches!(other.open(asset, &wrapped), Err(WrappingError::Sealed)));
        assert!(matches!(one.open(Uuid::from_u128(8), &wrapped), Err(WrappingError::Sealed)));
        for cut in [0, 5, wrapped.len() - 1] {
            assert!(matches!(one.open(asset, &wrapped[..cut]), Err(WrappingError::Sealed)));
        }
    }
}
