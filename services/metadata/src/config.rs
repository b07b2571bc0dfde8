//! What the service is told. `config.example.toml` holds every key with its meaning.

use std::path::PathBuf;
use std::time::Duration;

use flame_object_store::StoreConfig;
use flame_service_host::HostConfig;
use flame_service_host::config::Span;
use serde::Deserialize;

/// The configuration of the metadata service.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What every service is told.
    pub host: HostConfig,
    /// The SQLite file; it and its folder are made if they are not there.
    pub database: PathBuf,
    /// Connections that read at once; one more writes.
    pub database_readers: u32,
    /// Time that a request waits for a free connection, or for another process's lock, before it gets 503.
    pub database_wait: Span,
    /// The object store, from which the objects of deleted assets are removed. Without one they stay until there is.
    pub store: Option<StoreConfig>,
    /// Who is told when something was deleted that surrogates keep.
    pub purges: PurgeConfig,
}

/// `[purges]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PurgeConfig {
    /// Names under which surrogates serve media: those of their fronts. None: nobody is told.
    pub names: Vec<String>,
    /// They are told again after this time, when streaming believes the catalogue's last answer no more
    /// (`catalogue.media_fresh` there): meanwhile they may have fetched it anew.
    pub again: Span,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            host: HostConfig::default(),
            database: PathBuf::from("metadata.db"),
            database_readers: 4,
            database_wait: Span(Duration::from_secs(5)),
            store: None,
            purges: PurgeConfig::default(),
        }
    }
}

// === impl PurgeConfig ===

impl Default for PurgeConfig {
    fn default() -> Self {
        Self { names: Vec::new(), again: Span(Duration::from_secs(90)) }
    }
}
