//! Why an operation on the store failed, in the kinds that callers treat differently.

use std::io;
use std::path::PathBuf;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

type Source = Box<dyn std::error::Error + Send + Sync>;

/// A failed operation; `key` is the bucket for operations on it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such object, or no such upload.
    #[error("{operation} {key}: not in the object store")]
    NotFound {
        /// What was tried.
        operation: &'static str,
        /// On what.
        key: String,
    },
    /// The object exists although it must not, or has changed.
    #[error("{operation} {key}: the object exists already or has changed")]
    PreconditionFailed {
        /// What was tried.
        operation: &'static str,
        /// On what.
        key: String,
    },
    /// The object is larger than the caller takes.
    #[error("{operation} {key}: the object has {size_bytes} bytes, at most {max_bytes} were expected")]
    TooLarge {
        /// What was tried.
        operation: &'static str,
        /// On what.
        key: String,
        /// Its size.
        size_bytes: u64,
        /// The caller's limit.
        max_bytes: u64,
    },
    /// The store's disk is too full to write.
    #[error("{operation} {key}: the disk of the object store is too full; delete something or add space")]
    StorageFull {
        /// What was tried.
        operation: &'static str,
        /// On what.
        key: String,
    },
    /// The credentials do not open this.
    #[error("{operation} {key}: the object store denies access; check access_key, secret_key and the clock")]
    Denied {
        /// What was tried.
        operation: &'static str,
        /// On what.
        key: String,
        /// What the store said.
        #[source]
        source: Source,
    },
    /// The store cannot be reached, did not answer in time, or failed. Worth trying later.
    #[error("{operation} {key}: the object store is not available")]
    Unavailable {
        /// What was tried.
        operation: &'static str,
        /// On what.
        key: String,
        /// What happened.
        #[source]
        source: Source,
    },
    /// The store refuses the request as it is; repeating it changes nothing.
    #[error("{operation} {key}: the object store refuses it ({code})")]
    Rejected {
        /// What was tried.
        operation: &'static str,
        /// On what.
        key: String,
        /// S3's error code.
        code: String,
        /// What the store said.
        #[source]
        source: Source,
    },
    /// A local file could not be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Sorts an SDK error into the kinds above.
pub(super) fn classify<E>(operation: &'static str, key: &str, error: SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let key = key.to_owned();
    let SdkError::ServiceError(service) = &error else {
        if matches!(error, SdkError::ConstructionFailure(_)) {
            let code = "InvalidRequest".to_owned();
            return StoreError::Rejected { operation, key, code, source: Box::new(error) };
        }
        // No connection, no answer in time, or one that is not S3.
        return StoreError::Unavailable { operation, key, source: Box::new(error) };
    };
    let status = service.raw().status().as_u16();
    let code = service.err().code().unwrap_or_default().to_owned();
    match status {
        404 if code != "NoSuchBucket" => StoreError::NotFound { operation, key },
        412 => StoreError::PreconditionFailed { operation, key },
        507 => StoreError::StorageFull { operation, key },
        401 | 403 => StoreError::Denied { operation, key, source: Box::new(error) },
        408 | 429 | 500.. => StoreError::Unavailable { operation, key, source: Box::new(error) },
        ..=499 => StoreError::Rejected { operation, key, code, source: Box::new(error) },
    }
}
