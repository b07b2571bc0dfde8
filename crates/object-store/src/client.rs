//! The store as the services see it: a few typed operations over `aws-sdk-s3`, the same for every S3.
//!
//! A [`Store`] is one bucket at one endpoint. It decides nothing about keys, retries only what the protocol makes
//! safe to repeat, and never holds more than a stated number of bytes: whole objects only up to the caller's
//! limit, everything larger as a stream or in parts.

mod error;
mod list;
mod multipart;
mod presigned;
mod read;

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    StalledStreamProtectionConfig,
};
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use serde::Deserialize;

pub use error::StoreError;
pub use list::{ListPage, ObjectSummary, OpenUpload, PageToken};
pub use multipart::{MultipartUpload, PartTag, part_size_bytes};
pub use presigned::PresignedPut;
pub use read::ObjectBody;

use crate::server::{Inside, RunningStore};
use error::classify;

/// Time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time without a byte from the store.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Time for one attempt up to the head of its answer; a body of 64 MiB at 2 Mbit/s fits.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(300);
/// First attempt and retries.
const MAX_ATTEMPTS: u32 = 4;
/// Longest pause between attempts.
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// Where the store is and how to enter it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// URL of the endpoint, for example `http://127.0.0.1:9000`. Addressed path-style.
    pub endpoint: String,
    /// Region that requests are signed for.
    #[serde(default = "default_region")]
    pub region: String,
    /// The bucket that holds everything.
    pub bucket: String,
    /// Access key.
    pub access_key: String,
    /// Its secret.
    pub secret_key: SecretKey,
}

/// A secret that `Debug` does not print.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretKey(String);

/// A bucket. Cheap to clone; clones share the connections.
#[derive(Debug, Clone)]
pub struct Store {
    client: Client,
    bucket: String,
    /// Whether payloads are hashed into the signature. They are not where TLS protects them, nor on loopback,
    /// where nobody is in between.
    sign_payload: bool,
}

/// What the store knows about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Size of the whole object.
    pub size_bytes: u64,
    /// Entity tag, without quotes.
    pub etag: String,
    /// Media type given at the upload.
    pub content_type: Option<String>,
    /// Time of the last write.
    pub modified: Option<SystemTime>,
}

/// Whether a write may replace an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfExists {
    /// The last writer wins.
    Replace,
    /// [`StoreError::PreconditionFailed`] if the key exists.
    Fail,
}

// === impl SecretKey ===

impl SecretKey {
    /// Wraps a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

// === impl Store ===

impl Store {
    /// Makes the client. Opens no connection: a store that is down shows at the first operation.
    pub fn connect(config: &StoreConfig) -> Self {
        Self::build(config, None)
    }

    /// Makes the client of a store in this process, which spares bytes the way through a socket. Otherwise it is the
    /// same as [`connect`](Self::connect) with the store's address in `config`.
    pub fn connect_inside(store: &RunningStore, config: &StoreConfig) -> Self {
        Self::build(config, Some(store.inside()))
    }

    fn build(config: &StoreConfig, inside: Option<Inside>) -> Self {
        let credentials = Credentials::new(&config.access_key, config.secret_key.expose(), None, None, "configuration");
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .build();
        let mut sdk = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&config.endpoint)
            .region(Region::new(config.region.clone()))
            .credentials_provider(credentials)
            .force_path_style(true)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS).with_max_backoff(MAX_BACKOFF))
            .stalled_stream_protection(StalledStreamProtectionConfig::enabled().grace_period(READ_TIMEOUT).build());
        if let Some(inside) = inside {
            sdk = sdk.http_client(inside);
        }
        Self {
            client: Client::from_conf(sdk.build()),
            bucket: config.bucket.clone(),
            sign_payload: !is_protected(&config.endpoint),
        }
    }

    /// Name of the bucket.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Makes the bucket if it is missing.
    ///
    /// # Errors
    /// [`StoreError::Denied`] if the bucket is somebody else's; [`StoreError::Unavailable`].
    pub async fn ensure_bucket(&self) -> Result<(), StoreError> {
        match self.client.create_bucket().bucket(&self.bucket).send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(service) if service.is_bucket_already_owned_by_you() => Ok(()),
                Some(_) | None => Err(classify("create bucket", &self.bucket, error)),
            },
        }
    }

    /// Writes an object from memory; returns its ETag. For files see [`put_file`](Self::put_file).
    ///
    /// # Errors
    /// [`StoreError::StorageFull`], [`StoreError::Unavailable`].
    pub async fn put(&self, key: &str, bytes: Bytes, content_type: &str) -> Result<String, StoreError> {
        self.put_if(key, bytes, content_type, IfExists::Replace).await
    }

    /// [`put`](Self::put) that can refuse to replace.
    ///
    /// # Errors
    /// As [`put`](Self::put), and [`StoreError::PreconditionFailed`] if the key exists and [`IfExists::Fail`].
    pub async fn put_if(
        &self,
        key: &str,
        bytes: Bytes,
        content_type: &str,
        if_exists: IfExists,
    ) -> Result<String, StoreError> {
        let request = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type(content_type)
            .set_if_none_match((if_exists == IfExists::Fail).then(|| "*".to_owned()))
            .body(ByteStream::from(bytes))
            .customize();
        let request = if self.sign_payload { request } else { request.disable_payload_signing() };
        let answer = request.send().await.map_err(|error| classify("put", key, error))?;
        Ok(unquote(answer.e_tag()))
    }

    /// [`put`](Self::put) in the place of the object that has this ETag, and of no other one.
    ///
    /// # Errors
    /// As [`put`](Self::put); [`StoreError::PreconditionFailed`] if the object is another one by now, and
    /// [`StoreError::NotFound`] if there is none.
    pub async fn put_over(
        &self,
        key: &str,
        bytes: Bytes,
        content_type: &str,
        etag: &str,
    ) -> Result<String, StoreError> {
        let request = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type(content_type)
            .if_match(format!("\"{etag}\""))
            .body(ByteStream::from(bytes))
            .customize();
        let request = if self.sign_payload { request } else { request.disable_payload_signing() };
        let answer = request.send().await.map_err(|error| classify("put", key, error))?;
        Ok(unquote(answer.e_tag()))
    }

    /// Looks at an object; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Denied`].
    pub async fn head(&self, key: &str) -> Result<Option<ObjectInfo>, StoreError> {
        let answer = match self.client.head_object().bucket(&self.bucket).key(key).send().await {
            Ok(answer) => answer,
            Err(error) => {
                return match classify("head", key, error) {
                    StoreError::NotFound { .. } => Ok(None),
                    other => Err(other),
                };
            }
        };
        Ok(Some(ObjectInfo {
            size_bytes: answer.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or(0),
            etag: unquote(answer.e_tag()),
            content_type: answer.content_type().map(str::to_owned),
            modified: answer.last_modified().and_then(|time| SystemTime::try_from(*time).ok()),
        }))
    }

    /// Deletes an object. A missing one is a success.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Denied`].
    pub async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let deleted = self.client.delete_object().bucket(&self.bucket).key(key).send().await;
        deleted.map(drop).map_err(|error| classify("delete", key, error))
    }
}

fn unquote(etag: Option<&str>) -> String {
    etag.unwrap_or_default().trim_matches('"').to_owned()
}

/// Whether the way to the endpoint keeps payloads from being changed.
fn is_protected(endpoint: &str) -> bool {
    let Ok(uri) = endpoint.parse::<http::Uri>() else { return false };
    if uri.scheme() == Some(&http::uri::Scheme::HTTPS) {
        return true;
    }
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_signed_only_where_somebody_could_change_them() {
        for (endpoint, protected) in [
            ("http://127.0.0.1:9000", true),
            ("http://[::1]:9000", true),
            ("http://localhost:9000", true),
            ("https://s3.example.org", true),
            ("http://10.0.0.7:9000", false),
            ("http://localhost.example.org", false),
            ("not a url", false),
        ] {
            assert_eq!(is_protected(endpoint), protected, "{endpoint}");
        }
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", SecretKey::new("hunter2")), "[redacted]");
    }
}
