//! Digests of bytes on their way: the upload's own SHA-256, which survives a restart, and those that callers send.
//!
//! A resumed upload goes on hashing where it stopped, so nothing that is stored is read again.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::Sha1;
use sha2::Sha256;
use sha2::digest::Digest;
use sha2::digest::common::hazmat::{SerializableState, SerializedState};

/// Algorithms of the tus checksum extension that are understood, as `Tus-Checksum-Algorithm` lists them.
pub const TUS_ALGORITHMS: &str = "sha1,sha256";

/// The SHA-256 of an upload up to some byte.
#[derive(Debug, Clone, Default)]
pub struct RunningSha256(Sha256);

/// A digest that the caller promised for the bytes of one request.
#[derive(Debug)]
pub struct Promise {
    hasher: Hasher,
    wanted: Vec<u8>,
}

#[derive(Debug)]
enum Hasher {
    Sha1(Sha1),
    Sha256(Sha256),
}

/// A digest header that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// Another algorithm.
    #[error("`{0}` is not a checksum algorithm of this service: {TUS_ALGORITHMS}")]
    Algorithm(String),
    /// Not base64, or of the wrong length.
    #[error("the checksum is not the base64 of a digest")]
    Encoding,
    /// Not of the form of its header.
    #[error("the checksum is not of the form {0}")]
    Form(&'static str),
}

/// A stored hash state that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the stored SHA-256 state is damaged")]
pub struct DamagedState;

// === impl RunningSha256 ===

impl RunningSha256 {
    /// Goes on from what [`RunningSha256::save`] gave; `None` is the beginning.
    pub fn resume(saved: Option<&[u8]>) -> Result<Self, DamagedState> {
        let Some(saved) = saved else {
            return Ok(Self::default());
        };
        let state = SerializedState::<Sha256>::try_from(saved).map_err(|_| DamagedState)?;
        Sha256::deserialize(&state).map(Self).map_err(|_| DamagedState)
    }

    /// The state, to be stored.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        self.0.serialize().to_vec()
    }

    /// Takes more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes so far, lower-case hex.
    #[must_use]
    pub fn hex(&self) -> String {
        hex::encode(self.0.clone().finalize())
    }
}

// === impl Promise ===

impl Promise {
    /// Reads `Upload-Checksum` (tus 1.0, checksum extension): algorithm, space, base64.
    pub fn from_tus(value: &str) -> Result<Self, DigestError> {
        let (algorithm, digest) = value.trim().split_once(' ').ok_or(DigestError::Form("`<algorithm> <base64>`"))?;
        let hasher = match algorithm.to_ascii_lowercase().as_str() {
            "sha1" => Hasher::Sha1(Sha1::default()),
            "sha256" => Hasher::Sha256(Sha256::default()),
            other => return Err(DigestError::Algorithm(other.to_owned())),
        };
        Self::new(hasher, digest.trim())
    }

    /// Reads `Content-Digest` or `Repr-Digest` (RFC 9530: a dictionary of byte sequences, RFC 8941). Algorithms other
    /// than sha-256 are passed over, as section 2 allows; without sha-256 there is nothing to verify.
    pub fn from_digest_field(value: &str) -> Result<Option<Self>, DigestError> {
        for member in value.split(',') {
            let Some((algorithm, digest)) = member.trim().split_once('=') else {
                return Err(DigestError::Form("`sha-256=:<base64>:` (RFC 9530)"));
            };
            if algorithm.trim() == "sha-256" {
                let digest = digest.trim().strip_prefix(':').and_then(|rest| rest.strip_suffix(':'));
                let digest = digest.ok_or(DigestError::Form("`sha-256=:<base64>:` (RFC 9530)"))?;
                return Self::new(Hasher::Sha256(Sha256::default()), digest).map(Some);
            }
        }
        Ok(None)
    }

    fn new(hasher: Hasher, digest: &str) -> Result<Self, DigestError> {
        let wanted = STANDARD.decode(digest).map_err(|_| DigestError::Encoding)?;
        let length = match hasher {
            Hasher::Sha1(_) => 20,
            Hasher::Sha256(_) => 32,
        };
        if wanted.len() == length { Ok(Self { hasher, wanted }) } else { Err(DigestError::Encoding) }
    }

    /// Takes more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.hasher {
            Hasher::Sha1(hasher) => hasher.update(bytes),
            Hasher::Sha256(hasher) => hasher.update(bytes),
        }
    }

    /// Whether the bytes were the promised ones.
    #[must_use]
    pub fn is_kept(self) -> bool {
        match self.hasher {
            Hasher::Sha1(hasher) => hasher.finalize().as_slice() == self.wanted,
            Hasher::Sha256(hasher) => hasher.finalize().as_slice() == self.wanted,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kept(promise: Promise, bytes: &[u8]) -> bool {
        let mut promise = promise;
        promise.update(bytes);
        promise.is_kept()
    }

    #[test]
    fn promises_are_read_and_checked() {
        let tus = |text| Promise::from_tus(text);
        assert!(kept(tus("sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00=").unwrap(), b"hello"));
        assert!(!kept(tus("sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00=").unwrap(), b"Hello"));
        assert!(kept(tus("sha256 LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=").unwrap(), b"hello"));
        assert_eq!(tus("md5 XUFAKrxLKna5cZ2REBfFkg==").unwrap_err(), DigestError::Algorithm("md5".to_owned()));
        for wrong in ["sha1", "sha1 ", "sha1 !", "sha256 qvTGHdzF6KLavt4PO0gs2a6pQ00="] {
            assert!(tus(wrong).is_err(), "{wrong}");
        }
        let field = "sha-512=:AAAA:, sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";
        assert!(kept(Promise::from_digest_field(field).unwrap().unwrap(), b"hello"));
        assert!(Promise::from_digest_field("md5=:AAAA:").unwrap().is_none());
        for wrong in ["", "sha-256", "sha-256=abc", "sha-256=:abc", "sha-256=:AAAA:"] {
            assert!(Promise::from_digest_field(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_restart_does_not_change_the_digest(bytes in prop::collection::vec(any::<u8>(), 0..400), cut in 0_usize..400) {
            let cut = cut.min(bytes.len());
            let mut before = RunningSha256::default();
            before.update(&bytes[..cut]);
            let mut after = RunningSha256::resume(Some(&before.save())).unwrap();
            after.update(&bytes[cut..]);
            prop_assert_eq!(after.hex(), hex::encode(Sha256::digest(&bytes)));
        }

        #[test]
        fn a_damaged_state_is_refused(length in 0_usize..200) {
            // Only the one right length can be read.
            let right = RunningSha256::default().save().len();
            prop_assume!(length != right);
            prop_assert!(RunningSha256::resume(Some(&vec![0; length])).is_err());
        }
    }
}
