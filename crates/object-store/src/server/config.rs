//! What the embedded server is told, and what can go wrong when it starts.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::error::BackendError;
use crate::client::SecretKey;

/// Settings of an embedded server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddedConfig {
    /// The folder that holds everything. Made if missing; must be empty or a store.
    pub root: PathBuf,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Access key of the one client there is.
    pub access_key: String,
    /// Its secret.
    pub secret_key: SecretKey,
    /// Writes are refused (507) when they would leave less of the disk free than this. Completing, aborting and
    /// deleting go on, and so do reads.
    #[serde(default = "default_min_free_percent")]
    pub min_free_percent: u8,
    /// Connections served at a time; further ones wait in the listen queue.
    #[serde(default = "default_max_connections")]
    pub max_connections: usize,
    /// Bodies received at a time, at 2 MiB of memory each; further ones wait unread.
    #[serde(default = "default_max_writes")]
    pub max_writes: usize,
    /// How long [`stop`](super::RunningStore::stop) waits for answers under way, in seconds.
    #[serde(default = "default_stop_grace_s")]
    pub stop_grace_s: u64,
}

/// Why an embedded server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The folder cannot be used.
    #[error("cannot {action} the object store folder {}", root.display())]
    Folder {
        /// What was tried.
        action: &'static str,
        /// The folder.
        root: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The folder holds something else.
    #[error("{} holds other files and is no object store; name an empty or a new folder", root.display())]
    ForeignFolder {
        /// The folder.
        root: PathBuf,
    },
    /// The folder was written by a newer release.
    #[error("the object store {} has layout {found}, this release reads up to {newest}; use the newer release", root.display())]
    NewerLayout {
        /// The folder.
        root: PathBuf,
        /// Its version.
        found: u32,
        /// The newest readable one.
        newest: u32,
    },
    /// Another process serves the folder.
    #[error("the object store {} is in use by another process; stop that one first", root.display())]
    InUse {
        /// The folder.
        root: PathBuf,
    },
    /// Left-overs of a crash could not be cleaned up.
    #[error("cannot clean up the object store {}", root.display())]
    Sweep {
        /// The folder.
        root: PathBuf,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {listen}; free that port or configure another one")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// Why not.
        source: io::Error,
    },
}

// === impl EmbeddedConfig ===

impl EmbeddedConfig {
    pub(super) fn stop_grace(&self) -> Duration {
        Duration::from_secs(self.stop_grace_s)
    }
}

// === impl ServerError ===

impl ServerError {
    pub(super) fn sweep(root: PathBuf, source: BackendError) -> Self {
        Self::Sweep { root, source: Box::new(source) }
    }
}

fn default_min_free_percent() -> u8 {
    5
}

fn default_max_connections() -> usize {
    256
}

fn default_max_writes() -> usize {
    64
}

fn default_stop_grace_s() -> u64 {
    10
}
