//! What of a data folder lies outside of it: the catalogue in PostgreSQL, the media in an S3 that somebody else runs.
//!
//! The file `outside.toml` in a data folder says so to `flame up`. `flame migrate` writes it; who begins with such servers writes it by
//! hand before the first start. It holds passwords, so only its owner may read it.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use flame_ingest::config::ExternalStore;
use flame_metadata::config::Location;
use serde::Deserialize;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::time::Instant;

/// Its name in a data folder.
pub const FILE: &str = "outside.toml";
/// The lock of whoever works on the database as a `flame up`: two numbers, which the catalogue's own locks, of one, never meet.
const LOCK: (i32, i32) = (0x666c_616d, 1);
/// How long a server may take to notice that whoever held the lock is gone.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_millis(250);

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

    /// Takes the database for one `flame up`, for as long as the connection lives. Two on the same would each delete what only the other
    /// one knows: states of uploads lie in their data folders.
    ///
    /// # Errors
    /// The server does not answer, or another `flame up` has it.
    pub async fn hold(&self) -> anyhow::Result<PgConnection> {
        let options = PgConnectOptions::from_str(self.url()).context("read the URL of the database")?;
        let mut connection =
            options.application_name("flame up").connect().await.context("reach the database of outside.toml")?;
        let end = Instant::now() + PATIENCE;
        loop {
            let take = sqlx::query_scalar::<sqlx::Postgres, bool>("SELECT pg_try_advisory_lock($1, $2)")
                .bind(LOCK.0)
                .bind(LOCK.1);
            if take.fetch_one(&mut connection).await.context("lock the database of outside.toml")? {
                return Ok(connection);
            }
            if Instant::now() > end {
                connection.close().await.context("leave the database of outside.toml")?;
                bail!(
                    "another `flame up` works on the database that outside.toml names: stop it, or give each a database and a bucket \
                     of its own"
                );
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The URL of the catalogue.
    pub fn url(&self) -> &str {
        match &self.database {
            Location::Postgres(url) => url,
            Location::Sqlite(_) => unreachable!("it was looked at when it was read"),
        }
    }
}
