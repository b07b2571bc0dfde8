//! Why bytes were not taken in. Each is told to its client by `http`, or decides what becomes of a pull; nothing is decided here.

use flame_object_store::StoreError;

use crate::digest::DamagedState;
use crate::memory::NoMemory;
use crate::store::RecordError;

/// Why bytes were not taken in.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The object store failed.
    #[error("the bytes could not be stored")]
    Store(#[from] StoreError),
    /// The database failed.
    #[error("the bytes could not be noted")]
    Record(#[from] RecordError),
    /// The hash cannot go on.
    #[error("the upload cannot go on")]
    Damaged(#[from] DamagedState),
    /// Other bytes than promised.
    #[error("the bytes that came do not have the checksum that was promised; nothing of them was kept")]
    Checksum,
    /// More bytes than promised.
    #[error("more bytes came than the {length_bytes} that were promised")]
    TooLong {
        /// The length promised.
        length_bytes: u64,
    },
    /// More bytes than anybody may send.
    #[error("more than {max_bytes} bytes came, the most that are taken")]
    TooLarge {
        /// The bound.
        max_bytes: u64,
    },
    /// More bytes than the tenant has room for.
    #[error(
        "more bytes came than the tenant's quota has room for (quotas.stored): delete something, or have the quota raised"
    )]
    Quota,
    /// The upload ended while its bytes came.
    #[error("the upload was ended meanwhile")]
    Ended,
    /// Others hold all memory.
    #[error(transparent)]
    NoMemory(#[from] NoMemory),
}
