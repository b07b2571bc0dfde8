//! What the folder can refuse, and the one place where that becomes S3's words.

use std::io;
use std::path::{Path, PathBuf};

use http::StatusCode;
use s3s::{S3Error, S3ErrorCode};

use super::key::KeyError;

/// A refused or failed operation on the folder.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackendError {
    #[error("the bucket does not exist")]
    NoSuchBucket,
    #[error("the bucket exists already and is yours")]
    BucketExists,
    #[error("the bucket is not empty")]
    BucketNotEmpty,
    #[error("the key does not exist")]
    NoSuchKey,
    #[error("the multipart upload does not exist: it was aborted, completed, or never created")]
    NoSuchUpload,
    #[error("a condition of the request (If-Match, If-None-Match) does not hold")]
    PreconditionFailed,
    #[error("the object has not changed")]
    NotModified,
    #[error("part {number} was not uploaded, or its ETag differs")]
    InvalidPart { number: i32 },
    #[error("the parts are not listed in ascending order")]
    InvalidPartOrder,
    #[error("part {number} has {size_bytes} bytes; all but the last need at least {minimum_bytes}")]
    PartTooSmall { number: i32, size_bytes: u64, minimum_bytes: u64 },
    #[error("the body has more than {limit_bytes} bytes")]
    TooLarge { limit_bytes: u64 },
    #[error("the body has {got_bytes} bytes, {expected_bytes} were announced")]
    IncompleteBody { got_bytes: u64, expected_bytes: u64 },
    #[error("the body broke off")]
    BrokenBody(#[source] s3s::StdError),
    #[error("no byte of the body arrived in {idle_s} s")]
    IdleBody { idle_s: u64 },
    #[error("the {algorithm} of the received body differs from the one announced")]
    BadDigest { algorithm: &'static str },
    #[error("the range lies outside the object")]
    InvalidRange,
    #[error("{0}")]
    InvalidArgument(String),
    #[error("{0}")]
    InvalidKey(#[from] KeyError),
    #[error("less than {min_free_percent} % of the disk would stay free; delete something or lower min_free_percent")]
    StorageFull { min_free_percent: u8 },
    #[error("cannot {action} {path}")]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} is damaged")]
    Damaged {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("{path} has version {found}, this server reads up to {newest}")]
    Newer { path: PathBuf, found: u32, newest: u32 },
    #[error("the work on the disk was cut off")]
    Interrupted(#[source] tokio::task::JoinError),
    #[error("{feature} is not offered by the embedded store")]
    NotOffered { feature: &'static str },
}

/// Result of the folder's operations.
pub(crate) type Result<T, E = BackendError> = std::result::Result<T, E>;

/// Names the action and the path of an I/O error.
pub(crate) trait AtPath<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T>;
}

impl<T> AtPath<T> for io::Result<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| BackendError::Io { action, path: path.to_owned(), source })
    }
}

// === impl BackendError ===

impl BackendError {
    /// The S3 code a client acts on.
    fn code(&self) -> S3ErrorCode {
        match self {
            Self::NoSuchBucket => S3ErrorCode::NoSuchBucket,
            Self::BucketExists => S3ErrorCode::BucketAlreadyOwnedByYou,
            Self::BucketNotEmpty => S3ErrorCode::BucketNotEmpty,
            Self::NoSuchKey => S3ErrorCode::NoSuchKey,
            Self::NoSuchUpload => S3ErrorCode::NoSuchUpload,
            Self::PreconditionFailed => S3ErrorCode::PreconditionFailed,
            Self::NotModified => S3ErrorCode::NotModified,
            Self::InvalidPart { .. } => S3ErrorCode::InvalidPart,
            Self::InvalidPartOrder => S3ErrorCode::InvalidPartOrder,
            Self::PartTooSmall { .. } => S3ErrorCode::EntityTooSmall,
            Self::TooLarge { .. } => S3ErrorCode::EntityTooLarge,
            Self::IncompleteBody { .. } | Self::BrokenBody(_) => S3ErrorCode::IncompleteBody,
            Self::IdleBody { .. } => S3ErrorCode::RequestTimeout,
            Self::BadDigest { .. } => S3ErrorCode::BadDigest,
            Self::InvalidRange => S3ErrorCode::InvalidRange,
            Self::InvalidArgument(_) => S3ErrorCode::InvalidArgument,
            Self::InvalidKey(KeyError::TooLong) => S3ErrorCode::KeyTooLongError,
            Self::InvalidKey(KeyError::Empty | KeyError::Unlistable) => S3ErrorCode::InvalidArgument,
            Self::StorageFull { .. } => S3ErrorCode::Custom("InsufficientStorage".into()),
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    S3ErrorCode::Custom("InsufficientStorage".into())
                }
                io::ErrorKind::InvalidFilename => S3ErrorCode::KeyTooLongError,
                _other_kind => S3ErrorCode::InternalError,
            },
            Self::Damaged { .. } | Self::Newer { .. } | Self::Interrupted(_) => S3ErrorCode::InternalError,
            Self::NotOffered { .. } => S3ErrorCode::NotImplemented,
        }
    }

    /// Whether the cause lies in this server and belongs in its log.
    fn is_ours(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::Damaged { .. } | Self::Newer { .. } | Self::Interrupted(_))
    }
}

impl From<BackendError> for S3Error {
    fn from(error: BackendError) -> Self {
        if error.is_ours() {
            tracing::error!(error = &error as &dyn std::error::Error, "object store operation failed");
        }
        let code = error.code();
        let full = matches!(&code, S3ErrorCode::Custom(name) if *name == *"InsufficientStorage");
        // A path of this machine is for the log, not for the caller.
        let message = if full {
            "the disk of the object store is too full to write; delete something or add space".to_owned()
        } else if error.is_ours() {
            "the object store failed; its log has the cause".to_owned()
        } else {
            error.to_string()
        };
        let mut answer = S3Error::with_message(code, message);
        if full {
            answer.set_status_code(StatusCode::INSUFFICIENT_STORAGE);
        }
        answer
    }
}
