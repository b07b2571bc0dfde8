//! Requests that somebody else may make, once or until they expire, without credentials.

use std::time::Duration;

use aws_sdk_s3::presigning::{PresignedRequest, PresigningConfig};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Store;
use super::error::{StoreError, classify};

/// A PUT that stores one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresignedPut {
    /// Where to.
    pub url: String,
    /// Headers that have to be sent as they are: they are signed.
    pub headers: Vec<(String, String)>,
}

impl Store {
    /// A URL that reads the object without credentials for `expires_in`, a week at most.
    ///
    /// # Errors
    /// [`StoreError::Rejected`] if the duration is too long.
    pub async fn presigned_get(&self, key: &str, expires_in: Duration) -> Result<String, StoreError> {
        let request = self.client.get_object().bucket(&self.bucket).key(key).presigned(expiry(key, expires_in)?).await;
        Ok(request.map_err(|error| classify("presign", key, error))?.uri().to_owned())
    }

    /// A PUT of exactly `size_bytes` bytes, of this SHA-256 where one is named, that needs no credentials for `expires_in`, a week at
    /// most. The store refuses other bytes.
    ///
    /// # Errors
    /// [`StoreError::Rejected`] if the duration is too long.
    pub async fn presigned_put(
        &self,
        key: &str,
        size_bytes: u64,
        sha256: Option<[u8; 32]>,
        expires_in: Duration,
    ) -> Result<PresignedPut, StoreError> {
        let config = expiry(key, expires_in)?;
        let length = i64::try_from(size_bytes).unwrap_or(i64::MAX);
        let request = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type("application/octet-stream")
            .content_length(length)
            .set_checksum_sha256(sha256.map(|sha256| STANDARD.encode(sha256)));
        let request: PresignedRequest =
            request.presigned(config).await.map_err(|error| classify("presign", key, error))?;
        let headers = request.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(PresignedPut { url: request.uri().to_owned(), headers })
    }
}

fn expiry(key: &str, expires_in: Duration) -> Result<PresigningConfig, StoreError> {
    PresigningConfig::expires_in(expires_in).map_err(|error| StoreError::Rejected {
        operation: "presign",
        key: key.to_owned(),
        code: "InvalidExpiry".to_owned(),
        source: Box::new(error),
    })
}
