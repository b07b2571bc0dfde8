//! Errors become HTTP here, once: what the viewer is told, and what the log is.

use axum::http::{HeaderValue, StatusCode, header};
use flame_cmaf::encryption::EncryptionError;
use flame_cmaf::samples::SamplesError;
use flame_cmaf::ts::TsError;
use flame_object_store::StoreError;
use flame_playlist::PlaylistError;
use flame_service_host::Failure;
use flame_service_host::problem::chain;
use flame_service_host::viewers::token::Refused;

use crate::derived::DeriveError;
use crate::live::{LiveError, NotTaken, RecordingError, RestoreError};
use crate::names::NoSuchName;
use crate::presentation::CatalogueError;
use crate::seals::SealError;
use crate::store::ReadError;
use crate::text::TextError;
use crate::track::TrackError;

/// What is not there may come soon: caches keep the refusal for a second, so that a crowd costs one question.
const MISSING_CACHE_CONTROL: &str = "public, max-age=1";
/// When to ask again for an asset that is being conditioned.
const CONDITIONING_RETRY_S: u32 = 2;
/// When to ask again while something that is needed is away.
const AWAY_RETRY_S: u32 = 2;

/// There is no `what`.
pub(super) fn missing(what: impl std::fmt::Display) -> Failure {
    Failure::not_found(what).with_header(header::CACHE_CONTROL, HeaderValue::from_static(MISSING_CACHE_CONTROL))
}

/// The asset exists, and nothing of it can be played yet.
pub(super) fn not_ready(asset: uuid::Uuid) -> Failure {
    let detail = format!(
        "asset {asset} has nothing to play yet: ask again in {CONDITIONING_RETRY_S} s if it is being conditioned \
         (`flame job list`), or let it be (`flame job start {asset}`)"
    );
    Failure::new(StatusCode::NOT_FOUND, "not-ready", "Not ready", detail)
        .with_header(header::RETRY_AFTER, HeaderValue::from(CONDITIONING_RETRY_S))
        .with_header(header::CACHE_CONTROL, HeaderValue::from_static(MISSING_CACHE_CONTROL))
}

/// The asset exists, and its conditioning failed.
pub(super) fn conditioning_failed(asset: uuid::Uuid, reason: &str) -> Failure {
    let detail = format!("asset {asset} cannot be played: {reason}");
    Failure::new(StatusCode::NOT_FOUND, "conditioning-failed", "Conditioning failed", detail)
        .with_header(header::CACHE_CONTROL, HeaderValue::from_static(MISSING_CACHE_CONTROL))
}

/// It is for another site to answer: routers search on (RFC 9110 section 15.5.20).
pub(super) fn elsewhere(what: impl std::fmt::Display) -> Failure {
    let detail = format!("{what} lies in the store of another site");
    Failure::new(StatusCode::MISDIRECTED_REQUEST, "elsewhere", "At another site", detail)
}

/// The channel exists, and nothing of it can be played yet.
pub(super) fn not_begun(channel: uuid::Uuid) -> Failure {
    let detail = format!("channel {channel} has nothing to play yet: its first segment has not come");
    Failure::new(StatusCode::NOT_FOUND, "not-ready", "Not ready", detail)
        .with_header(header::RETRY_AFTER, HeaderValue::from(CONDITIONING_RETRY_S))
        .with_header(header::CACHE_CONTROL, HeaderValue::from_static(MISSING_CACHE_CONTROL))
}

/// The channel goes on, and has not come to the end of a clip.
pub(super) fn not_come(channel: uuid::Uuid) -> Failure {
    let detail = format!("channel {channel} has not come to the end of the clip yet");
    Failure::new(StatusCode::NOT_FOUND, "not-ready", "Not ready", detail)
        .with_header(header::RETRY_AFTER, HeaderValue::from(CONDITIONING_RETRY_S))
        .with_header(header::CACHE_CONTROL, HeaderValue::from_static(MISSING_CACHE_CONTROL))
}

pub(super) fn of_recording(error: &RecordingError) -> Failure {
    match error {
        RecordingError::Missing(track) => missing(format_args!("track {track}")),
        RecordingError::Read { source, .. } => of_read(source, error),
        RecordingError::Seal(source) => of_seal(source),
        RecordingError::Document(_) | RecordingError::Playlist { .. } => Failure::internal(error),
    }
}

pub(super) fn of_live(error: LiveError) -> Failure {
    let said = error.to_string();
    match &error {
        LiveError::NoChannel(id) => Failure::not_found(format_args!("channel {id}")),
        LiveError::NoTrack(name) => Failure::not_found(format_args!("track `{name}`")),
        LiveError::Key => Failure::new(StatusCode::FORBIDDEN, "wrong-key", "Wrong key", said),
        LiveError::Ended(_) => Failure::new(StatusCode::FORBIDDEN, "channel-ended", "Channel ended", said),
        LiveError::Tenant(_) => Failure::new(StatusCode::FORBIDDEN, "forbidden", "Another tenant", said),
        LiveError::NotTaken(NotTaken::Shut) => Failure::unavailable(said, AWAY_RETRY_S).because(&error),
        LiveError::NoPublication(_)
        | LiveError::Taken(_)
        | LiveError::Asset(_)
        | LiveError::NoInit(_)
        | LiveError::NoSource(_)
        | LiveError::NoLadder(_)
        | LiveError::NotTaken(NotTaken::Jump { .. } | NotTaken::Time { .. } | NotTaken::Parts { .. }) => {
            Failure::conflict(said)
        }
        LiveError::Bounds(_) | LiveError::Mark(_) => {
            Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "unprocessable", "The request does not fit", said)
        }
        LiveError::Store(StoreError::StorageFull { .. }) => {
            Failure::new(StatusCode::INSUFFICIENT_STORAGE, "insufficient-storage", "The disk is nearly full", said)
        }
        LiveError::Full(_) => {
            Failure::new(StatusCode::TOO_MANY_REQUESTS, "too-many-channels", "Too many channels", said)
        }
        LiveError::Arrival(source) => Failure::bad_request(format!("{said}: {source}")),
        LiveError::BrokenOff(_) => Failure::bad_request(said),
        LiveError::Silent(_) => Failure::new(StatusCode::REQUEST_TIMEOUT, "silent", "Nothing came", said),
        LiveError::Behind(_) => Failure::unavailable_alone(said, AWAY_RETRY_S).because(&error),
        LiveError::Store(_) | LiveError::StoreSilent(_) | LiveError::Restore(RestoreError::Store(_)) => {
            Failure::unavailable("the object store does not answer", AWAY_RETRY_S).because(&error)
        }
        LiveError::Seal(source) => of_seal(source),
        LiveError::Catalogue(source) if source.is_transient() => {
            let said = "the catalogue does not take the recording now; end the channel again";
            Failure::unavailable_alone(said, AWAY_RETRY_S).because(&error)
        }
        LiveError::Conditions | LiveError::Catalogue(_) | LiveError::Restore(RestoreError::Document(_)) => {
            Failure::internal(&error)
        }
    }
}

/// The asset is protected.
pub(super) fn of_viewer(refused: &Refused) -> Failure {
    Failure::new(StatusCode::FORBIDDEN, refused.kind(), "Not with this link", refused.to_string())
        .with_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
}

pub(super) fn of_name(error: NoSuchName) -> Failure {
    missing(format_args!("{} `{}`", error.what, error.name))
}

pub(super) fn of_catalogue(error: &CatalogueError) -> Failure {
    match error {
        CatalogueError::Away { .. } => {
            Failure::unavailable("the catalogue does not answer", AWAY_RETRY_S).because(error)
        }
        CatalogueError::Refused { .. } => Failure::internal(error),
    }
}

pub(super) fn of_track(error: &TrackError) -> Failure {
    match error {
        TrackError::Missing { track } => missing(format_args!("track {track}")),
        TrackError::Read { source, .. } => of_read(source, error),
        TrackError::Nowhere { .. } => {
            Failure::unavailable_alone("no store of any site that answers has it", AWAY_RETRY_S).because(error)
        }
        TrackError::Index { .. } | TrackError::Playlist { .. } => Failure::internal(error),
    }
}

pub(super) fn of_text(error: &TextError) -> Failure {
    match error {
        TextError::Read { .. } if error.is_gone() => missing("such text: it was taken away"),
        TextError::Read { source, .. } => of_read(source, error),
        TextError::Damaged { .. } => Failure::internal(error),
    }
}

pub(super) fn of_seal(error: &SealError) -> Failure {
    match error {
        SealError::Read { source, .. } => of_read(source, error),
        SealError::Write { source: StoreError::Unavailable { .. } | StoreError::StorageFull { .. }, .. } => {
            Failure::unavailable("the object store does not take the key", AWAY_RETRY_S).because(error)
        }
        SealError::Elsewhere { asset } => elsewhere(format_args!("the key of asset {asset}")),
        SealError::Write { .. } | SealError::Document { .. } | SealError::Wrapping { .. } => Failure::internal(error),
    }
}

/// The asset is encrypted: what is in the clear is nobody's.
pub(super) fn encrypted(asset: uuid::Uuid) -> Failure {
    let detail = format!("asset {asset} is encrypted, and its playlists name other URLs than this");
    Failure::new(StatusCode::NOT_FOUND, "encrypted", "Encrypted", detail)
        .with_header(header::CACHE_CONTROL, HeaderValue::from_static(MISSING_CACHE_CONTROL))
}

/// What was asked of a track makes no playlist.
pub(super) fn of_playlist(error: &PlaylistError) -> Failure {
    match error {
        PlaylistError::Clip { .. } => Failure::bad_request("the clip begins behind the end of the track"),
        PlaylistError::Empty { .. } => missing("such a form of this asset: it has no track for it"),
        _ => Failure::internal(error),
    }
}

pub(super) fn of_derive(error: &DeriveError) -> Failure {
    match error {
        DeriveError::Read(source) => of_read(source, error),
        DeriveError::NoKeyframe => missing("I-frame"),
        DeriveError::Samples(SamplesError::NothingBefore { .. }) => {
            Failure::bad_request("the segment begins behind the end of the clip")
        }
        DeriveError::Ts(TsError::Codec { .. } | TsError::Unencryptable)
        | DeriveError::Encryption(EncryptionError::Codec { .. }) => missing(error),
        DeriveError::TooLarge { .. } | DeriveError::Ts(TsError::TooLarge { .. } | TsError::TooLong { .. }) => {
            Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "too-large", "Too large", chain(error))
        }
        DeriveError::Samples(_) | DeriveError::Ts(_) | DeriveError::Encryption(_) => Failure::internal(error),
    }
}

/// `logged` is what the log says of it: `error` itself, or what was done when it came up.
pub(super) fn of_read(error: &ReadError, logged: &(dyn std::error::Error + 'static)) -> Failure {
    match error {
        ReadError::Deadline { .. } | ReadError::Store(StoreError::Unavailable { .. }) => {
            Failure::unavailable("the object store does not answer", AWAY_RETRY_S).because(logged)
        }
        ReadError::Nowhere { .. } => {
            Failure::unavailable_alone("no store of any site that answers has it", AWAY_RETRY_S).because(logged)
        }
        // The catalogue or an index says that it is there, so each of these is a fault of ours.
        ReadError::Length { .. }
        | ReadError::Store(
            StoreError::NotFound { .. }
            | StoreError::PreconditionFailed { .. }
            | StoreError::TooLarge { .. }
            | StoreError::StorageFull { .. }
            | StoreError::Denied { .. }
            | StoreError::Rejected { .. }
            | StoreError::File { .. },
        ) => Failure::internal(logged),
    }
}
