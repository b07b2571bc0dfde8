//! What of a data folder lies outside of it: the catalogue in PostgreSQL, the media in an S3 that somebody else runs.
//!
//! The file `outside.toml` in a data folder says so to `flame up`. `flame migrate` writes it; who begins with such servers writes it by
//! hand before the first start. It holds passwords, so only its owner may read it.

use std::path::Path;

use anyhow::{Context, bail};
use flame_ingest::config::ExternalStore;
use flame_metadata::config::Location;
use serde::Deserialize;

/// Its name in a data folder.
pub const FILE: &str = "outside.toml";

/// What the file says.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outside {
    /// The catalogue: `postgres://USER:PASSWORD@HOST/DATABASE`.
    pub database: Location,
    /// The object store. Its bucket is there already.
    pub store: ExternalStore,
}

impl Outside {
    /// What a data folder has outside, if it has.
    pub fn of(data: &Path) -> anyhow::Result<Option<Self>> {
        let path = data.join(FILE);
        if path.is_file() { Self::read(&path).map(|(outside, _)| Some(outside)) } else { Ok(None) }
    }

    /// Reads such a file; gives its text, too.
    pub fn read(path: &Path) -> anyhow::Result<(Self, String)> {
        let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        let outside: Self =
            toml::from_str(&text).with_context(|| format!("{} does not say what lies outside", path.display()))?;
        if let Some(file) = outside.database.file() {
            bail!(
                "{}: `database` is {}, and not the URL of a PostgreSQL database (postgres://…)",
                path.display(),
                file.display()
            );
        }
        Ok((outside, text))
    }

    /// The URL of the catalogue.
    pub fn url(&self) -> &str {
        match &self.database {
            Location::Postgres(url) => url,
            Location::Sqlite(_) => unreachable!("it was looked at when it was read"),
        }
    }
}
