//! A catalogue of SQLite becomes one of PostgreSQL: every row of every table, in one transaction.
//!
//! Rows are carried as JSON objects, so the two schemas need not agree in types but in names, which is checked before anything is
//! written. Numbers of rows (`seq`) stay what they are: cursors, orders and references rest on them, and the next ones follow the
//! highest that SQLite ever gave. Positions of the feed stay, too: who follows it goes on. Words are made anew, for PostgreSQL's are cut by
//! [`tsvector`].
//!
//! The transaction leaves the mark of its caller on the table of assets. So one that was cut off is as if it had never been, one that
//! is repeated replaces what it wrote before, and a catalogue that somebody else has written is never touched.

use std::collections::BTreeSet;
use std::path::Path;

use futures_util::TryStreamExt;
use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqlitePool};

use super::StoreError;
use super::database::{Database, POSTGRES, migrations, unmigrated};
use crate::config::{Config, Location};
use crate::search::tsvector;
use crate::searched::Searched;

/// The tables, each behind those that it refers to, with the columns by which its rows are told apart. What is missing here is made by
/// the other database itself: indexes of words, and identifiers.
const TABLES: [(&str, &str); 11] = [
    ("assets", "seq"),
    ("versions", "seq"),
    ("tracks", "version_seq, position"),
    ("subtitles", "seq"),
    ("scores", "seq"),
    ("changes", "seq"),
    ("feed", "tenant, position"),
    ("deletions", "asset_id"),
    ("removals", "object_key"),
    ("purges", "seq"),
    ("webhooks", "tenant, name"),
];
/// Rows in one statement: at 24 KiB for the largest a few MiB.
const BATCH: usize = 200;
/// The column that the service makes of others.
const WORDS: &str = "words";

/// How many rows of each table are there now.
pub type Copied = Vec<(&'static str, u64)>;

/// The catalogue could not be copied. PostgreSQL is as it was.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// One of the databases.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The target holds a catalogue already.
    #[error("{database} holds a catalogue already: name a database that is empty")]
    Occupied {
        /// The target.
        database: String,
    },
    /// The schemas differ, so something would be lost.
    #[error("the table {table} has other columns in SQLite ({sqlite:?}) than in PostgreSQL ({postgres:?})")]
    Columns {
        /// The table.
        table: &'static str,
        /// Those that only SQLite has.
        sqlite: BTreeSet<String>,
        /// Those that only PostgreSQL has.
        postgres: BTreeSet<String>,
    },
    /// Something is missing after the copy.
    #[error("{found} of {wanted} rows of the table {table} are there")]
    Missing {
        /// The table.
        table: &'static str,
        /// Rows in SQLite.
        wanted: u64,
        /// Rows in PostgreSQL.
        found: u64,
    },
}

/// Copies the catalogue in the file `from`, which nobody else writes and which is brought up to date first, into the PostgreSQL
/// database at the URL `to`, whose schema is made if it is not there. `mark` names the caller's undertaking: only the same may replace what it wrote.
///
/// # Errors
/// [`TransferError`].
pub async fn transfer(from: &Path, to: &str, mark: &str) -> Result<Copied, TransferError> {
    let config = Config { database: from.to_owned().into(), ..Config::default() };
    let Database::Sqlite { writer, readers } = Database::open(&config).await? else {
        unreachable!("a path is a file");
    };
    let copied = copy(&readers, to, mark).await;
    readers.close().await;
    writer.close().await;
    copied
}

async fn copy(from: &SqlitePool, to: &str, mark: &str) -> Result<Copied, TransferError> {
    let target = Location::Postgres(to.to_owned());
    let options: PgConnectOptions = to.parse().map_err(StoreError::from)?;
    let mut connection = options.application_name("flame-migrate").connect().await.map_err(StoreError::from)?;
    let schema = migrations(&POSTGRES, &target, &mut connection).await?;
    schema.run(&mut connection).await.map_err(|source| unmigrated(&target, source))?;
    let mut transaction = connection.begin().await.map_err(StoreError::from)?;
    // Nobody else begins the same meanwhile.
    run(&mut transaction, "LOCK TABLE assets IN ACCESS EXCLUSIVE MODE").await?;
    clear(&mut transaction, &target, mark).await?;
    let mut copied = Vec::new();
    for (table, key) in TABLES {
        let columns = columns(from, &mut transaction, table).await?;
        let wanted = copy_table(from, &mut transaction, (table, key), &columns).await?;
        let count = format!("SELECT count(*) FROM {table}");
        let (found,): (i64,) =
            sqlx::query_as(AssertSqlSafe(count)).fetch_one(&mut *transaction).await.map_err(StoreError::from)?;
        let found = u64::try_from(found).unwrap_or(0);
        if found != wanted {
            return Err(TransferError::Missing { table, wanted, found });
        }
        copied.push((table, found));
    }
    continue_numbers(from, &mut transaction).await?;
    transaction.commit().await.map_err(StoreError::from)?;
    connection.close().await.map_err(StoreError::from)?;
    Ok(copied)
}

async fn run(transaction: &mut PgConnection, statement: &'static str) -> Result<(), StoreError> {
    sqlx::query(statement).execute(transaction).await?;
    Ok(())
}

/// Empties a catalogue that bears our mark, says no to another that is not empty, and leaves the mark.
async fn clear(transaction: &mut PgConnection, target: &Location, mark: &str) -> Result<(), TransferError> {
    let (found,): (Option<String>,) = sqlx::query_as("SELECT obj_description('assets'::regclass, 'pg_class')")
        .fetch_one(&mut *transaction)
        .await
        .map_err(StoreError::from)?;
    let tables = TABLES.map(|(table, _)| table).join(", ");
    if found.as_deref() == Some(mark) {
        let truncate = format!("TRUNCATE {tables} RESTART IDENTITY");
        sqlx::query(AssertSqlSafe(truncate)).execute(&mut *transaction).await.map_err(StoreError::from)?;
    }
    for (table, _) in TABLES {
        let is_there = format!("SELECT EXISTS (SELECT 1 FROM {table})");
        let (is_there,): (bool,) =
            sqlx::query_as(AssertSqlSafe(is_there)).fetch_one(&mut *transaction).await.map_err(StoreError::from)?;
        if is_there {
            return Err(TransferError::Occupied { database: target.to_string() });
        }
    }
    // COMMENT takes no parameters.
    let quoted = mark.replace('\'', "''");
    let comment = format!("COMMENT ON TABLE assets IS '{quoted}'");
    sqlx::query(AssertSqlSafe(comment)).execute(&mut *transaction).await.map_err(StoreError::from)?;
    Ok(())
}

/// The columns of a table, with whether they hold JSON: the same in both databases, but for the words.
async fn columns(
    from: &SqlitePool,
    to: &mut PgConnection,
    table: &'static str,
) -> Result<Vec<(String, bool)>, TransferError> {
    let sqlite: Vec<(String,)> = sqlx::query_as("SELECT name FROM pragma_table_info($1)")
        .bind(table)
        .fetch_all(from)
        .await
        .map_err(StoreError::from)?;
    let postgres: Vec<(String, String)> = sqlx::query_as(
        "SELECT column_name::text, data_type::text FROM information_schema.columns \
         WHERE table_schema = current_schema() AND table_name = $1 AND column_name <> $2",
    )
    .bind(table)
    .bind(WORDS)
    .fetch_all(to)
    .await
    .map_err(StoreError::from)?;
    let here: BTreeSet<String> = sqlite.into_iter().map(|(name,)| name).collect();
    let there: BTreeSet<String> = postgres.iter().map(|(name, _)| name.clone()).collect();
    if here != there {
        let sqlite = here.difference(&there).cloned().collect();
        let postgres = there.difference(&here).cloned().collect();
        return Err(TransferError::Columns { table, sqlite, postgres });
    }
    Ok(postgres.into_iter().map(|(name, kind)| (name, kind == "jsonb")).collect())
}

/// Copies the rows of one table; gives how many there are.
async fn copy_table(
    from: &SqlitePool,
    to: &mut PgConnection,
    (table, key): (&'static str, &'static str),
    columns: &[(String, bool)],
) -> Result<u64, StoreError> {
    let members: Vec<String> = columns
        .iter()
        .map(|(name, is_json)| if *is_json { format!("'{name}', json({name})") } else { format!("'{name}', {name}") })
        .collect();
    let select = format!("SELECT json_object({}) FROM {table} ORDER BY {key}", members.join(", "));
    let mut names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    if table == "assets" {
        names.push(WORDS);
    }
    let names = names.join(", ");
    let insert = format!(
        "INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE SELECT {names} FROM jsonb_populate_recordset(NULL::{table}, $1)"
    );
    let mut rows = sqlx::query_as::<_, (String,)>(AssertSqlSafe(select)).fetch(from);
    let (mut batch, mut count) = (Vec::with_capacity(BATCH), 0);
    while let Some((text,)) = rows.try_next().await? {
        let mut row: Value = serde_json::from_str(&text).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        if table == "assets" {
            row[WORDS] = words(&row).into();
        }
        batch.push(row);
        count += 1;
        if batch.len() == BATCH {
            write(to, &insert, &mut batch).await?;
        }
    }
    write(to, &insert, &mut batch).await?;
    Ok(count)
}

async fn write(to: &mut PgConnection, insert: &str, batch: &mut Vec<Value>) -> Result<(), StoreError> {
    let rows = Json(std::mem::take(batch));
    sqlx::query(AssertSqlSafe(insert.to_owned())).bind(rows).execute(to).await?;
    Ok(())
}

fn words(asset: &Value) -> String {
    let text = |name: &str| asset[name].as_str();
    let owned = |name: &str| text(name).unwrap_or_default().to_owned();
    // Not made yet: then the service makes them, and the words anew.
    let searched = Searched { record_words: owned("record_words"), stems: owned("stems") };
    tsvector::of(&owned("tenant"), &owned("title"), text("file_name"), &searched)
}

/// Has each table go on with its numbers behind the highest that SQLite ever gave, also to rows that are gone.
async fn continue_numbers(from: &SqlitePool, to: &mut PgConnection) -> Result<(), StoreError> {
    for (table, key) in TABLES {
        if key != "seq" {
            continue;
        }
        let given: Option<(i64,)> =
            sqlx::query_as("SELECT seq FROM sqlite_sequence WHERE name = $1").bind(table).fetch_optional(from).await?;
        if let Some((given,)) = given.filter(|(given,)| *given > 0) {
            let set = "SELECT setval(pg_get_serial_sequence($1, 'seq'), $2)";
            sqlx::query(set).bind(table).bind(given).execute(&mut *to).await?;
        }
    }
    Ok(())
}
