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
use thiserror::Error;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
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

/// Another `flame up` has the database.
#[derive(Debug, Error)]
#[error(
    "another `flame up` works on the database that outside.toml names: stop it, or give each a database and a bucket of its own"
)]
pub struct Taken {
    /// The process of the server that works for it, where that is still there.
    holder: Option<i32>,
}

/// The lock on a database, and the connection that has it.
#[derive(Debug)]
pub struct Lock {
    connection: PgConnection,
    /// The connection's process of the server.
    pid: i32,
}

/// A database that is held: others are kept off it until this is dropped.
#[derive(Debug)]
pub struct Hold {
    lost: CancellationToken,
    _asking: AbortOnDropHandle<()>,
}

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
    /// The server does not answer, or another `flame up` has it ([`Taken`]).
    pub async fn hold(&self) -> anyhow::Result<Lock> {
        let options = PgConnectOptions::from_str(self.url()).context("read the URL of the database")?;
        let mut connection =
            options.application_name("flame up").connect().await.context("reach the database of outside.toml")?;
        let pid = sqlx::query_scalar::<_, i32>("SELECT pg_backend_pid()").fetch_one(&mut connection).await;
        let pid = pid.context("ask the database of outside.toml")?;
        let end = Instant::now() + PATIENCE;
        loop {
            let take = sqlx::query_scalar::<_, bool>("SELECT pg_try_advisory_lock($1, $2)").bind(LOCK.0).bind(LOCK.1);
            if take.fetch_one(&mut connection).await.context("lock the database of outside.toml")? {
                return Ok(Lock { connection, pid });
            }
            if Instant::now() > end {
                let holder = holder(&mut connection).await.context("ask who has the database of outside.toml")?;
                connection.close().await.context("leave the database of outside.toml")?;
                return Err(Taken { holder }.into());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Keeps that: looks now and then whether the connection has the lock, and takes the database anew where it was cut, until what is given
    /// back is dropped. That says, too, when another `flame up` was faster.
    pub fn keep(self, mut lock: Lock) -> Hold {
        let lost = CancellationToken::new();
        let told = lost.clone();
        let asking = tokio::spawn(async move {
            loop {
                tokio::time::sleep(HELD_EVERY).await;
                if is_held(&mut lock.connection).await {
                    continue;
                }
                tracing::warn!("the lock on the database of outside.toml is not seen any more: it is taken again");
                let error = match self.hold().await {
                    Ok(again) => {
                        lock = again;
                        continue;
                    }
                    Err(error) => error,
                };
                // A server that was slow, or has not noticed yet that the connection is cut, keeps the lock for it: nobody else has it.
                let holder = error.downcast_ref::<Taken>().and_then(|taken| taken.holder);
                if holder.is_some_and(|holder| holder != lock.pid) {
                    tracing::error!("another `flame up` has taken the database of outside.toml: this one ends");
                    told.cancel();
                    return;
                }
                tracing::error!(error = format!("{error:#}"), "the database of outside.toml is not held");
            }
        });
        Hold { lost, _asking: AbortOnDropHandle::new(asking) }
    }

    /// The URL of the catalogue.
    pub fn url(&self) -> &str {
        match &self.database {
            Location::Postgres(url) => url,
            Location::Sqlite(_) => unreachable!("it was looked at when it was read"),
        }
    }
}

// === impl Hold ===

impl Hold {
    /// Ends when another `flame up` has taken the database: two on the same must not go on.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }
}

/// Who has the lock on the database of a connection: a process of the server.
async fn holder(connection: &mut PgConnection) -> Result<Option<i32>, sqlx::Error> {
    let found = sqlx::query_scalar::<_, i32>(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid::bigint = $1 AND objid::bigint = $2 \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    );
    found.bind(i64::from(LOCK.0)).bind(i64::from(LOCK.1)).fetch_optional(connection).await
}

/// Whether a connection has the lock. Asked of the server: a connection that answers may be another one behind a pooler, or have let go of it.
/// One that does not answer in time, as of a server that is gone without a word, has it not.
async fn is_held(connection: &mut PgConnection) -> bool {
    let look = sqlx::query_scalar::<_, bool>(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid() \
         AND classid::bigint = $1 AND objid::bigint = $2)",
    );
    let look = look.bind(i64::from(LOCK.0)).bind(i64::from(LOCK.1)).fetch_one(connection);
    matches!(tokio::time::timeout(PATIENCE, look).await, Ok(Ok(true)))
}

#[cfg(test)]
mod tests {
    use flame_test_kit::{Postgres, eventually, loud_skip, postgres};

    use super::*;

    /// Whether somebody has the database, and as which process of the server.
    async fn held_by(url: &str) -> Option<i32> {
        holder(&mut PgConnection::connect(url).await.unwrap()).await.unwrap()
    }

    /// A server, and what lies outside with its database.
    async fn outside() -> (Postgres, Outside) {
        let server = Postgres::start().await;
        let url = server.url();
        let text = format!(
            "database = \"{url}\"\n[store]\nendpoint = \"http://127.0.0.1:9\"\nbucket = \"b\"\naccess_key = \"a\"\nsecret_key = \"s\"\n"
        );
        (server, toml::from_str(&text).unwrap())
    }

    /// Cuts the connection of the process `pid` of the server.
    async fn cut(url: &str, pid: i32) {
        let mut other = PgConnection::connect(url).await.unwrap();
        let cut = sqlx::query_scalar::<_, bool>("SELECT pg_terminate_backend($1)").bind(pid);
        assert!(cut.fetch_one(&mut other).await.unwrap());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_database_stays_taken_when_the_connection_is_cut() {
        if !postgres::is_installed() {
            return loud_skip("PostgreSQL is not installed (tools/deps test)");
        }
        let (server, outside) = outside().await;
        let url = server.url();
        let kept = outside.clone().keep(outside.hold().await.unwrap());
        let first = held_by(&url).await.expect("it is taken");
        cut(&url, first).await;
        eventually(Duration::from_secs(60), || async {
            match held_by(&url).await {
                Some(second) if second != first => Ok(()),
                other => Err(format!("{other:?} after {first}")),
            }
        })
        .await;
        let refused = outside.hold().await.unwrap_err();
        assert!(refused.is::<Taken>() && refused.to_string().contains("another `flame up`"), "{refused}");
        drop(kept);
        outside.hold().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn whoever_has_lost_its_database_to_another_is_told_and_lets_go() {
        if !postgres::is_installed() {
            return loud_skip("PostgreSQL is not installed (tools/deps test)");
        }
        let (server, outside) = outside().await;
        let url = server.url();
        let kept = outside.clone().keep(outside.hold().await.unwrap());
        let first = held_by(&url).await.expect("it is taken");
        // Whoever waits at the server has it as soon as it is free.
        let mut other = PgConnection::connect(&url).await.unwrap();
        let waiting = tokio::spawn(async move {
            let take = sqlx::query("SELECT pg_advisory_lock($1, $2)").bind(LOCK.0).bind(LOCK.1);
            take.execute(&mut other).await.unwrap();
            other
        });
        eventually(Duration::from_secs(60), || async {
            let mut third = PgConnection::connect(&url).await.map_err(|error| error.to_string())?;
            let waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)";
            let waits = sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut third).await;
            if waits.map_err(|error| error.to_string())? { Ok(()) } else { Err("nobody waits".to_owned()) }
        })
        .await;
        assert!(tokio::time::timeout(Duration::ZERO, kept.lost()).await.is_err(), "it is held");
        cut(&url, first).await;
        let mut other = waiting.await.unwrap();
        assert!(is_held(&mut other).await);
        tokio::time::timeout(Duration::from_secs(120), kept.lost()).await.expect("nobody says that it is lost");
        assert!(is_held(&mut other).await, "it was taken away from the other one");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_connection_that_answers_and_has_let_go_of_the_lock_holds_nothing() {
        if !postgres::is_installed() {
            return loud_skip("PostgreSQL is not installed (tools/deps test)");
        }
        let (_server, outside) = outside().await;
        let mut connection = outside.hold().await.unwrap().connection;
        assert!(is_held(&mut connection).await);
        sqlx::query("SELECT pg_advisory_unlock_all()").execute(&mut connection).await.unwrap();
        assert!(!is_held(&mut connection).await);
    }
}
