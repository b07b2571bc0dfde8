//! How segments are encrypted, as `EXT-X-KEY` and `EXT-X-SESSION-KEY` say it (RFC 8216bis section 4.4.4.4).
//!
//! The key itself is never here: a playlist says where it is.

use hls_m3u8::tags::{ExtXKey, ExtXSessionKey};
use hls_m3u8::types::{DecryptionKey, EncryptionMethod, KeyFormat, KeyFormatVersions};

use crate::attributes::{Attributes, Quoted, hexadecimal};
use crate::{PlaylistError, uri};

/// As many as the type of `hls_m3u8` holds.
const VERSIONS_MAX: usize = 9;

/// Where the key is, and what it opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// How segments are encrypted.
    pub method: Method,
    /// Where the key is, relative to the playlist.
    pub uri: String,
    /// The initialization vector; without one, each segment's is its media sequence number. (Fragmented MP4 with
    /// `SAMPLE-AES` has its own in the init segment.)
    pub iv: Option<[u8; 16]>,
    /// `KEYFORMAT`; `identity` if it is left out: the URI leads to the sixteen octets of the key.
    pub format: Option<String>,
    /// `KEYFORMATVERSIONS`, at most nine; `1` if there are none.
    pub versions: Vec<u8>,
}

/// How segments are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Each segment as a whole, CBC with PKCS7.
    Aes128,
    /// The samples: `cbcs` in fragmented MP4, Apple's sample encryption in a transport stream.
    SampleAes,
}

// === impl Key ===

impl Key {
    /// `EXT-X-KEY`.
    pub(crate) fn tag(&self) -> Result<String, PlaylistError> {
        Ok(self.vector().behind(ExtXKey::new(self.decryption_key()?)))
    }

    /// `EXT-X-SESSION-KEY`.
    pub(crate) fn session_tag(&self) -> Result<String, PlaylistError> {
        Ok(self.vector().behind(ExtXSessionKey::new(self.decryption_key()?)))
    }

    /// The initialization vector, which `hls_m3u8` would write in lower case.
    fn vector(&self) -> Attributes {
        match self.iv.as_ref().and_then(|iv| hexadecimal(iv)) {
            Some(digits) => Attributes::default().plain("IV", digits),
            None => Attributes::default(),
        }
    }

    /// As `hls_m3u8` writes it, without its initialization vector.
    fn decryption_key(&self) -> Result<DecryptionKey<'_>, PlaylistError> {
        let mut key = DecryptionKey::builder();
        key.uri(uri::checked(&self.uri)?).method(match self.method {
            Method::Aes128 => EncryptionMethod::Aes128,
            Method::SampleAes => EncryptionMethod::SampleAes,
        });
        if let Some(format) = &self.format {
            Quoted::new("KEYFORMAT", format)?;
            key.format(match format.as_str() {
                "identity" => KeyFormat::Identity,
                other => KeyFormat::Other(other.into()),
            });
        }
        if !self.versions.is_empty() {
            if self.versions.len() > VERSIONS_MAX || self.versions.contains(&0) {
                let value = format!("{:?}", self.versions);
                return Err(PlaylistError::Attribute { attribute: "KEYFORMATVERSIONS", value });
            }
            key.versions(self.versions.iter().copied().collect::<KeyFormatVersions>());
        }
        Ok(key.build()?)
    }
}
