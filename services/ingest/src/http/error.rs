//! Where errors become HTTP, once.

use axum::http::{StatusCode, header};
use flame_api::ClientError;
use flame_object_store::StoreError;
use flame_service_host::Failure;

use crate::concat::ConcatError;
use crate::digest::DigestError;
use crate::intake::End;
use crate::labels::LabelError;
use crate::receive::ReceiveError;
use crate::store::{JoinRefusal, QuotaExceeded, RecordError};
use crate::subtitles::SubtitlesError;
use crate::ticket::TicketError;

/// When to try again what is away, seconds.
const RETRY_AFTER_S: u32 = 2;
/// When to look again whether other uploads have ended, seconds.
const OPEN_RETRY_AFTER_S: u32 = 30;

impl From<RecordError> for Failure {
    fn from(error: RecordError) -> Self {
        match &error {
            RecordError::Database { .. } => {
                Self::unavailable("the ingest database does not answer; try again", RETRY_AFTER_S).because(&error)
            }
            RecordError::Quota(exceeded) => of_quota(exceeded),
            RecordError::Migrate(_) | RecordError::TooNew { .. } | RecordError::Damaged { .. } => {
                Self::internal(&error)
            }
        }
    }
}

impl From<LabelError> for Failure {
    fn from(error: LabelError) -> Self {
        match &error {
            LabelError::TooLong { .. }
            | LabelError::Control(_)
            | LabelError::Path(_)
            | LabelError::Chain(_)
            | LabelError::Metadata(_) => Self::bad_request(error.to_string()),
        }
    }
}

impl From<ConcatError> for Failure {
    fn from(error: ConcatError) -> Self {
        match &error {
            ConcatError::Form | ConcatError::Url(_) | ConcatError::Twice(_) | ConcatError::TooMany { .. } => {
                Self::bad_request(error.to_string())
            }
        }
    }
}

impl From<JoinRefusal> for Failure {
    fn from(error: JoinRefusal) -> Self {
        let detail = error.to_string();
        match error {
            JoinRefusal::Missing(id) => Self::not_found(format_args!("upload {id}")),
            JoinRefusal::NotPartial(_) | JoinRefusal::Unfinished { .. } | JoinRefusal::Taken { .. } => {
                Self::conflict(detail)
            }
            JoinRefusal::TooLong { .. } => too_large(detail),
        }
    }
}

impl From<DigestError> for Failure {
    fn from(error: DigestError) -> Self {
        match &error {
            DigestError::Algorithm(_) | DigestError::Encoding | DigestError::Form(_) => {
                Self::bad_request(error.to_string())
            }
        }
    }
}

impl From<ReceiveError> for Failure {
    fn from(error: ReceiveError) -> Self {
        let detail = error.to_string();
        match error {
            ReceiveError::Store(error) => of_store(&error),
            ReceiveError::Record(error) => error.into(),
            ReceiveError::Damaged(error) => Self::internal(&error),
            ReceiveError::Checksum => {
                // tus 1.0, checksum extension.
                let status = StatusCode::from_u16(460).expect("460 is between 100 and 999");
                Self::new(status, "checksum-mismatch", "Checksum mismatch", detail)
            }
            ReceiveError::TooLong { .. } | ReceiveError::TooLarge { .. } => too_large(detail),
            ReceiveError::Quota => quota_exceeded(detail),
            ReceiveError::Ended => gone(detail),
            ReceiveError::NoMemory(_) => {
                Self::unavailable("other uploads hold all the memory that there is for them; try again", RETRY_AFTER_S)
            }
        }
    }
}

impl From<TicketError> for Failure {
    fn from(error: TicketError) -> Self {
        let detail = error.to_string();
        match error {
            TicketError::Record(error) => error.into(),
            TicketError::Store(error) => of_store(&error),
            TicketError::Busy => locked(detail),
            TicketError::Mixed(_) | TicketError::Nothing | TicketError::Length { .. } => Self::conflict(detail),
            TicketError::Digest { .. } => {
                Self::new(StatusCode::BAD_REQUEST, "digest-mismatch", "Digest mismatch", detail)
            }
            TicketError::Ended => gone(detail),
        }
    }
}

impl From<SubtitlesError> for Failure {
    fn from(error: SubtitlesError) -> Self {
        let detail = error.to_string();
        let unreadable = |detail| {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            Self::new(status, "unreadable-subtitles", "The subtitles cannot be read", detail)
        };
        match &error {
            SubtitlesError::Unreadable(_) | SubtitlesError::Nothing => unreadable(detail),
            SubtitlesError::Language(_) | SubtitlesError::NoLanguage => Self::bad_request(detail),
            SubtitlesError::Missing(id) => Self::not_found(format_args!("asset {id}")),
            SubtitlesError::Store(error) => of_store(error),
            SubtitlesError::Catalogue(refused) => of_catalogue(refused),
            SubtitlesError::NoRouter => busy(detail).because(&error),
        }
    }
}

/// What the catalogue refuses is the caller's to mend where it is about the asset, its revision or what is said of it.
fn of_catalogue(error: &ClientError) -> Failure {
    const OF_THE_REQUEST: [u16; 5] = [404, 409, 412, 422, 507];
    match error {
        ClientError::Refused { problem, .. }
            if OF_THE_REQUEST.contains(&problem.status) && !error.is_unknown_name() =>
        {
            let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Failure::new(status, problem.slug(), &problem.title, problem.detail.clone()).because(error)
        }
        ClientError::Refused { .. } | ClientError::Unreachable { .. } if error.is_transient() => {
            busy("the catalogue does not answer; try again").because(error)
        }
        ClientError::Refused { .. } | ClientError::Unreachable { .. } | ClientError::Malformed { .. } => {
            Failure::internal(error)
        }
    }
}

/// 503.
pub(super) fn busy(detail: impl Into<String>) -> Failure {
    Failure::unavailable(detail, RETRY_AFTER_S)
}

/// 413.
pub(super) fn too_large(detail: impl Into<String>) -> Failure {
    Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The upload is too large", detail)
}

/// 413, which no client of tus tries again: waiting does not help. 507 says that the disk is full, for everybody.
fn quota_exceeded(detail: impl Into<String>) -> Failure {
    Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "quota-exceeded", "The tenant's quota is used up", detail)
}

fn of_quota(exceeded: &QuotaExceeded) -> Failure {
    let detail = exceeded.to_string();
    match exceeded {
        QuotaExceeded::Stored { .. } => quota_exceeded(detail),
        QuotaExceeded::Open { .. } => too_many_uploads(detail),
    }
}

/// 429.
pub(super) fn too_many_uploads(detail: impl Into<String>) -> Failure {
    let status = StatusCode::TOO_MANY_REQUESTS;
    Failure::new(status, "too-many-uploads", "Too many unfinished uploads", detail)
        .with_header(header::RETRY_AFTER, OPEN_RETRY_AFTER_S.into())
}

/// 410.
pub(super) fn gone(detail: impl Into<String>) -> Failure {
    Failure::new(StatusCode::GONE, "gone", "The upload has ended", detail)
}

/// 423: who wrote did not stop in time.
pub(super) fn locked(detail: impl Into<String>) -> Failure {
    Failure::new(StatusCode::LOCKED, "locked", "The upload is in use", detail)
}

/// The answer to a body that was not whole; `None` for one that was.
pub(super) fn of_end(end: End) -> Option<Failure> {
    let detail = format!("{end}; what came is stored, HEAD tells how much");
    match end {
        End::Whole => None,
        // Nobody hears this.
        End::Broken => Some(Failure::bad_request(detail)),
        End::Idle => Some(Failure::new(StatusCode::REQUEST_TIMEOUT, "idle", "The body stood still", detail)),
        End::Displaced => Some(locked(detail)),
        End::Stopping => Some(Failure::unavailable(detail, RETRY_AFTER_S)),
    }
}

fn of_store(error: &StoreError) -> Failure {
    match error {
        StoreError::StorageFull { .. } => {
            let detail = "the object store has no room; delete something and try again";
            Failure::new(StatusCode::INSUFFICIENT_STORAGE, "insufficient-storage", "The disk is nearly full", detail)
                .because(error)
        }
        StoreError::Unavailable { .. } => {
            Failure::unavailable("the object store does not answer; try again", RETRY_AFTER_S).because(error)
        }
        StoreError::NotFound { .. }
        | StoreError::PreconditionFailed { .. }
        | StoreError::TooLarge { .. }
        | StoreError::Denied { .. }
        | StoreError::Rejected { .. }
        | StoreError::File { .. } => Failure::internal(error),
    }
}
