//! Encryption of segments on their way out: as a whole (`AES-128` of HLS), or of their samples (`SAMPLE-AES`).
//!
//! Tracks are stored in the clear; what is encrypted is made of a segment when somebody asks for it, and the same bytes come out
//! wherever it is made. Two ways:
//!
//! - **Whole segments** ([`whole`]): AES-128 in CBC with PKCS7 padding (RFC 8216bis section 4.4.4.4), whatever the container.
//! - **Samples in fragmented MP4** ([`cbcs_init`], [`cbcs_segment`]): the scheme `cbcs` of ISO/IEC 23001-7, which players' own
//!   decryption modules know. Of pictures one block of ten in each coded slice, of sound all whole blocks of each frame; one
//!   initialization vector for all. Samples in transport streams are encrypted by [`crate::ts::encrypted_segment`].
//!
//! The cipher is aws-lc's, which everything else here uses. Which octets of a sample are covered is decided in `cover`, the boxes
//! are rewritten in `boxes`.
//!
//! It never makes keys, keeps them or says where they are. It never reads a slice header (`cover` says what is done instead).

mod boxes;
mod cbc;
mod cover;

use std::fmt;

use thiserror::Error;

pub use self::boxes::{cbcs_init, cbcs_segment};
pub(crate) use self::cbc::Cbc;
use crate::{
    boxes::BoxType,
    samples::{CodecConfig, SamplesError},
};

/// Octets of a key, of its identifier, of an initialization vector, and of a block of AES.
pub const BLOCK_BYTES: usize = 16;

/// A key with what it is called and where each chain of blocks begins.
#[derive(Clone, PartialEq, Eq)]
pub struct ContentKey {
    /// The key itself.
    pub secret: [u8; BLOCK_BYTES],
    /// `KID`: names the key, and is no secret.
    pub id: [u8; BLOCK_BYTES],
    /// The initialization vector of all samples.
    pub iv: [u8; BLOCK_BYTES],
}

/// What cannot be encrypted.
#[derive(Debug, Error)]
pub enum EncryptionError {
    /// Its boxes do not fit together, or it is encrypted already.
    #[error(transparent)]
    Samples(#[from] SamplesError),
    /// How samples of this codec are covered, nobody here knows.
    #[error("samples of `{codec}` cannot be encrypted here: whole segments can")]
    Codec {
        /// Its sample entry.
        codec: BoxType,
    },
    /// A sample is not made of whole NAL units.
    #[error("sample {number} is not made of whole NAL units")]
    Sample {
        /// Its number in the segment.
        number: usize,
    },
    /// Boxes that would be larger than 32 bits can say.
    #[error("the segment is too large")]
    TooLarge,
}

/// `bytes` as `AES-128` of HLS has them, padded to whole blocks: one more where they are whole.
#[must_use]
pub fn whole(secret: &[u8; BLOCK_BYTES], iv: &[u8; BLOCK_BYTES], mut bytes: Vec<u8>) -> Vec<u8> {
    let missing = BLOCK_BYTES - bytes.len() % BLOCK_BYTES;
    // PKCS7 (RFC 5652 section 6.3): as many octets as are missing, each of that value.
    bytes.resize(bytes.len() + missing, u8::try_from(missing).expect("at most a block"));
    Cbc::new(secret).encrypt(iv, &mut bytes);
    bytes
}

/// The initialization vector of a segment for which no other is said: its media sequence number.
#[must_use]
pub fn sequence_iv(number: u64) -> [u8; BLOCK_BYTES] {
    u128::from(number).to_be_bytes()
}

/// Whether samples of a codec, by its RFC 6381 string, can be encrypted in fragmented MP4.
#[must_use]
pub fn covers(codec: &str) -> bool {
    const KNOWN: [&str; 9] = ["avc1.", "avc3.", "hvc1.", "hev1.", "mp4a.40.", "mp4a.67", "ac-3", "ec-3", "opus"];
    KNOWN.iter().any(|known| codec.to_ascii_lowercase().starts_with(known))
}

/// Whether samples of a codec, by its RFC 6381 string, can be encrypted in a transport stream.
#[must_use]
pub fn covers_in_ts(codec: &str) -> bool {
    ["avc1.", "avc3.", "mp4a.40."].iter().any(|known| codec.starts_with(known))
}

fn unknown(codec: &CodecConfig) -> EncryptionError {
    let codec = match codec {
        CodecConfig::Other(kind) => *kind,
        CodecConfig::Avc(_) => BoxType(*b"avc1"),
        CodecConfig::Hevc(_) => BoxType(*b"hvc1"),
        CodecConfig::Aac(_) => BoxType(*b"mp4a"),
        CodecConfig::Ac3(_) => BoxType(*b"ac-3"),
        CodecConfig::Eac3(_) => BoxType(*b"ec-3"),
        CodecConfig::Opus(_) => BoxType(*b"Opus"),
    };
    EncryptionError::Codec { codec }
}

// === impl ContentKey ===

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContentKey").field("id", &hex::encode(self.id)).finish_non_exhaustive()
    }
}
