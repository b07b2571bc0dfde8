//! The last share of the disk is for reading: below it, writes are refused with 507 (RFC 4918 section 11.5).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use flame_telemetry::machine::Room;

use crate::problem::Failure;

/// Watches the free space under a folder.
#[derive(Debug, Clone)]
pub struct DiskGuard {
    folder: Arc<Path>,
    min_free_percent: f64,
}

/// Extractor: there is room to write. Rejects with 507. Handlers that store something take it.
#[derive(Debug, Clone, Copy)]
pub struct FreeSpace;

// === impl DiskGuard ===

impl DiskGuard {
    /// A guard of the file system that holds `folder`.
    #[must_use]
    pub fn new(folder: PathBuf, min_free_percent: f64) -> Self {
        Self { folder: folder.into(), min_free_percent }
    }

    /// Free space in percent of the file system, as an unprivileged writer sees it.
    pub fn free_percent(&self) -> std::io::Result<f64> {
        let stat = rustix::fs::statvfs(&*self.folder)?;
        if stat.f_blocks == 0 {
            return Ok(100.0);
        }
        // Block counts are far below 2^52: the conversion is exact.
        #[allow(clippy::cast_precision_loss, reason = "block counts are far below 2^52")]
        Ok(stat.f_bavail as f64 / stat.f_blocks as f64 * 100.0)
    }

    /// The size of the file system; `None` where it does not say.
    pub(crate) fn total_bytes(&self) -> Option<u64> {
        self.room().map(|room| room.total_bytes)
    }

    /// The room of the file system; `None` where it does not say.
    pub(crate) fn room(&self) -> Option<Room> {
        room(&self.folder)
    }

    /// Refuses when there is less free space than configured.
    pub fn check(&self) -> Result<(), Failure> {
        let free = self.free_percent().map_err(|error| Failure::internal(&error))?;
        if free >= self.min_free_percent {
            return Ok(());
        }
        let detail = format!(
            "{free:.1} % of the disk under {} is free, writes need {:.1} %; delete something and try again",
            self.folder.display(),
            self.min_free_percent
        );
        Err(Failure::new(StatusCode::INSUFFICIENT_STORAGE, "insufficient-storage", "The disk is nearly full", detail))
    }
}

/// The room of the file system that holds `folder`, as an unprivileged writer sees it; `None` where it does not say.
pub(crate) fn room(folder: &Path) -> Option<Room> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    Some(Room {
        path: folder.display().to_string(),
        total_bytes: stat.f_blocks.checked_mul(stat.f_frsize)?,
        free_bytes: stat.f_bavail.checked_mul(stat.f_frsize)?,
    })
}

// === impl FreeSpace ===

impl<S: Send + Sync> FromRequestParts<S> for FreeSpace {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        // A host without a data folder stores nothing, so there is nothing to guard.
        parts.extensions.get::<DiskGuard>().map_or(Ok(()), DiskGuard::check).map(|()| Self)
    }
}
