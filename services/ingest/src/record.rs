//! An upload as it is stored, and the stages that it passes.

use flame_api::ingest::{Upload, UploadState};
use flame_api::media::Probe;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::concat::Concat;
use crate::labels::Labels;

/// How the bytes come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// By tus; resumable by the client.
    Tus,
    /// By one PUT; over when its connection is.
    Put,
    /// Fetched from a URL by this service.
    Pull,
}

/// Where an upload stands. Those from `Assemble` to `Queue` are work that waits or runs, and each may be repeated.
///
/// ```text
/// Receiving → Assemble → Inspect → Picture → Register → Queue → Done
///     │           └──────────┴─────────┴─────────┴────────┴──→ Refusing → Failed
///     └→ Ending → Gone
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Bytes are missing.
    Receiving,
    /// The parts are to be made one object.
    Assemble,
    /// The boxes are to be walked and the media probed.
    Inspect,
    /// A poster is to be made.
    Picture,
    /// The asset is to be registered.
    Register,
    /// The job is to be queued.
    Queue,
    /// All is done.
    Done,
    /// It was refused; everything stored is to be deleted.
    Refusing,
    /// It was refused and everything deleted.
    Failed,
    /// It was ended by its owner or by time; everything stored is to be deleted.
    Ending,
    /// It was ended and everything deleted; remembered for a while.
    Gone,
}

/// What is left after the last whole part: an object of its own until more comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// Its key.
    pub key: String,
    /// Its size.
    pub size_bytes: u64,
}

/// One row.
#[derive(Debug, Clone)]
pub struct Record {
    /// Identifier of the upload, and of the asset that it becomes.
    pub id: Uuid,
    /// The tenant that owns it.
    pub tenant: String,
    /// How the bytes come.
    pub origin: Origin,
    /// Where it stands.
    pub stage: Stage,
    /// Tries of the stage's work, in a row, that failed.
    pub attempts: u32,
    /// Looks into the file that have begun and not come back.
    pub looks: u32,
    /// Bytes that are stored and acknowledged.
    pub offset_bytes: u64,
    /// Length promised.
    pub length_bytes: Option<u64>,
    /// Size of every part but the last.
    pub part_bytes: u64,
    /// What the uploader said about the file.
    pub labels: Labels,
    /// Where a pull comes from.
    pub url: Option<String>,
    /// What names exactly the bytes that a pull has begun: an ETag or a date.
    pub validator: Option<String>,
    /// The store's name of the multipart upload.
    pub multipart_id: Option<String>,
    /// What is left after the last whole part.
    pub tail: Option<Tail>,
    /// State of the SHA-256 of the first `offset_bytes`.
    pub sha256_state: Option<Vec<u8>>,
    /// SHA-256 of the whole.
    pub sha256: Option<String>,
    /// Whether it is a part of another upload, or made of such.
    pub concat: Option<Concat>,
    /// What the probe measured.
    pub probe: Option<Probe>,
    /// Key of the poster.
    pub poster_key: Option<String>,
    /// The upload with the same bytes that counts them.
    pub duplicate_of: Option<Uuid>,
    /// The asset, once registered.
    pub asset_id: Option<Uuid>,
    /// The job, once it is to be queued.
    pub job_id: Option<Uuid>,
    /// Why it failed or ended.
    pub error: Option<String>,
    /// When it began.
    pub created_at: OffsetDateTime,
    /// When it ends or is forgotten, unless something happens.
    pub expires_at: Option<OffsetDateTime>,
}

// === impl Origin ===

impl Origin {
    /// The word in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tus => "tus",
            Self::Put => "put",
            Self::Pull => "pull",
        }
    }

    /// The origin of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Tus, Self::Put, Self::Pull].into_iter().find(|origin| origin.as_str() == word)
    }
}

// === impl Stage ===

impl Stage {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Receiving,
        Self::Assemble,
        Self::Inspect,
        Self::Picture,
        Self::Register,
        Self::Queue,
        Self::Done,
        Self::Refusing,
        Self::Failed,
        Self::Ending,
        Self::Gone,
    ];

    /// The word in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receiving => "receiving",
            Self::Assemble => "assemble",
            Self::Inspect => "inspect",
            Self::Picture => "picture",
            Self::Register => "register",
            Self::Queue => "queue",
            Self::Done => "done",
            Self::Refusing => "refusing",
            Self::Failed => "failed",
            Self::Ending => "ending",
            Self::Gone => "gone",
        }
    }

    /// The stage of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == word)
    }

    /// The state that callers see; `None` where there is nothing left to see.
    #[must_use]
    pub fn state(self) -> Option<UploadState> {
        match self {
            Self::Receiving => Some(UploadState::Receiving),
            // Refused, but not yet cleaned up: callers see `failed` only when nothing is left.
            Self::Assemble | Self::Inspect | Self::Picture | Self::Register | Self::Queue | Self::Refusing => {
                Some(UploadState::Processing)
            }
            Self::Done => Some(UploadState::Done),
            Self::Failed => Some(UploadState::Failed),
            Self::Ending | Self::Gone => None,
        }
    }

    /// Whether somebody in this service has work to do for it.
    #[must_use]
    pub fn has_work(self) -> bool {
        match self {
            Self::Assemble
            | Self::Inspect
            | Self::Picture
            | Self::Register
            | Self::Queue
            | Self::Refusing
            | Self::Ending => true,
            Self::Receiving | Self::Done | Self::Failed | Self::Gone => false,
        }
    }
}

// === impl Record ===

impl Record {
    /// Whether all promised bytes are here.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.stage != Stage::Receiving
    }

    /// Whether something may lie in the store that belongs to nothing but the upload itself.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self.stage {
            Stage::Receiving | Stage::Assemble | Stage::Refusing | Stage::Ending => true,
            Stage::Inspect
            | Stage::Picture
            | Stage::Register
            | Stage::Queue
            | Stage::Done
            | Stage::Failed
            | Stage::Gone => false,
        }
    }

    /// Whether it is made of partial uploads, and so takes no bytes of its own.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self.concat, Some(Concat::Final(_)))
    }

    /// Whether it is a partial upload, and so becomes nothing by itself.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        matches!(self.concat, Some(Concat::Partial))
    }

    /// Whether it is a partial upload with all its bytes, each in a place where the store can copy it from.
    #[must_use]
    pub fn is_whole_partial(&self) -> bool {
        self.is_partial() && self.tail.is_none() && self.length_bytes == Some(self.offset_bytes)
    }

    /// What callers see of it; `None` once it is gone.
    #[must_use]
    pub fn to_wire(&self) -> Option<Upload> {
        let state = self.stage.state()?;
        Some(Upload {
            id: self.id,
            tenant: self.tenant.clone(),
            state,
            offset_bytes: self.offset_bytes,
            length_bytes: self.length_bytes,
            file_name: self.labels.file_name.clone(),
            title: self.labels.title.clone(),
            chain: self.labels.chain.clone(),
            sha256: self.sha256.clone(),
            concat: self.concat.as_ref().map(Concat::role),
            probe: self.probe.clone(),
            duplicate_of: self.duplicate_of,
            asset_id: self.asset_id.filter(|_| state != UploadState::Failed),
            job_id: self.job_id.filter(|_| state == UploadState::Done),
            // While a passing trouble lasts, the reason of the last try is shown too.
            error: self.error.clone(),
            created_at: self.created_at,
        })
    }
}
