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
use tokio_util::task::AbortOnDropHandle;

/// Its name in a data folder.
pub const FILE: &str = "outside.toml";
/// The lock of whoever works on the database as a `flame up`: two numbers, which the catalogue's own locks, of one, never meet.
const LOCK: (i32, i32) = (0x666c_616d, 1);
/// How long a server may take to notice that whoever held the lock is gone.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often is looked whether it is held.
const HELD_EVERY: Duration = Duration::from_secs(5);
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
            let take = sqlx::query_scalar::<_, bool>("SELECT pg_try_advisory_lock($1, $2)").bind(LOCK.0).bind(LOCK.1);
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

    /// Keeps that: asks on the connection now and then, and takes the database anew where it was cut, until what is given back is dropped.
    pub fn keep(self, mut connection: PgConnection) -> AbortOnDropHandle<()> {
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                tokio::time::sleep(HELD_EVERY).await;
                // A server that is gone without a word would be waited for.
                let is_held = matches!(tokio::time::timeout(PATIENCE, connection.ping()).await, Ok(Ok(())));
                if !is_held {
                    tracing::warn!("the lock on the database of outside.toml was cut: it is taken again");
                    match self.hold().await {
                        Ok(again) => connection = again,
                        Err(error) => {
                            tracing::error!(error = format!("{error:#}"), "the database of outside.toml is not held");
                        }
                    }
                }
            }
        }))
    }

    /// The URL of the catalogue.
    pub fn url(&self) -> &str {
        match &self.database {
            Location::Postgres(url) => url,
            Location::Sqlite(_) => unreachable!("it was looked at when it was read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use flame_test_kit::{Postgres, eventually, loud_skip, postgres};

    use super::*;

    /// Whether somebody has the database, and as which process of the server.
    async fn holder(url: &str) -> Option<i32> {
        let mut connection = PgConnection::connect(url).await.unwrap();
        let found = sqlx::query_scalar::<_, i32>(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid::bigint = $1 \
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        );
        found.bind(i64::from(LOCK.0)).fetch_optional(&mut connection).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_database_stays_taken_when_the_connection_is_cut() {
        if !postgres::is_installed() {
            return loud_skip("PostgreSQL is not installed (tools/deps test)");
        }
        let server = Postgres::start().await;
        let url = server.url();
        let text = format!(
            "database = \"{url}\"\n[store]\nendpoint = \"http://127.0.0.1:9\"\nbucket = \"b\"\naccess_key = \"a\"\nsecret_key = \"s\"\n"
        );
        let outside: Outside = toml::from_str(&text).unwrap();
        let kept = outside.clone().keep(outside.hold().await.unwrap());
        let first = holder(&url).await.expect("it is taken");
        let mut other = PgConnection::connect(&url).await.unwrap();
        let cut = sqlx::query_scalar::<_, bool>("SELECT pg_terminate_backend($1)").bind(first);
        assert!(cut.fetch_one(&mut other).await.unwrap());
        eventually(Duration::from_secs(60), || async {
            match holder(&url).await {
                Some(second) if second != first => Ok(()),
                other => Err(format!("{other:?} after {first}")),
            }
        })
        .await;
        let refused = outside.hold().await.unwrap_err();
        assert!(refused.to_string().contains("another `flame up`"), "{refused}");
        drop(kept);
        outside.hold().await.unwrap();
    }
}
