//! Statements that both databases run: one text, or a text each where SQLite and PostgreSQL differ.
//!
//! Everything that the store says is said through here, so that there is one set of functions and not one a database. It
//! knows the six kinds of values that the catalogue has; what a statement means, it does not know.

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::types::Json;
use sqlx::{FromRow, Postgres, Sqlite};

/// The text of a statement. Parameters are `$1`, `$2`, … in both.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sql {
    pub(super) sqlite: &'static str,
    pub(super) postgres: &'static str,
}

/// A value that is bound to a parameter.
#[derive(Debug)]
pub(super) enum Value {
    Text(Option<String>),
    Number(Option<i64>),
    Flag(bool),
    Json(Option<serde_json::Value>),
    /// For [`among`] alone.
    Numbers(Vec<i64>),
}

/// A statement with its values.
#[derive(Debug)]
pub(super) struct Statement {
    sql: Sql,
    values: Vec<Value>,
}

/// A transaction; without a commit it is as if it had never been.
#[derive(Debug)]
pub(super) enum Transaction {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres(sqlx::Transaction<'static, Postgres>),
}

/// What can be read from a row of either database.
pub(super) trait Row:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin + 'static
{
}

impl<T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin + 'static> Row for T {}

/// A statement of this text, without values yet.
pub(super) fn sql(text: impl Into<Sql>) -> Statement {
    Statement { sql: text.into(), values: Vec::new() }
}

/// A value that is stored as JSON. Every type of the contract can be written so.
pub(super) fn json<T: serde::Serialize>(value: &T) -> Result<Value, sqlx::Error> {
    let value = serde_json::to_value(value).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
    Ok(Value::Json(Some(value)))
}

/// As [`json`], of something that may be absent.
pub(super) fn json_or_null<T: serde::Serialize>(value: Option<&T>) -> Result<Value, sqlx::Error> {
    value.map_or(Ok(Value::Json(None)), json)
}

/// Says that what stands before it is one of the numbers of `$1`.
macro_rules! among {
    ($before:literal, $after:literal) => {
        crate::store::sql::Sql {
            sqlite: concat!($before, " IN (SELECT value FROM json_each($1)) ", $after),
            postgres: concat!($before, " = ANY ($1) ", $after),
        }
    };
}
pub(super) use among;

macro_rules! bound {
    ($query:expr, $values:expr, |$numbers:ident| $bind:expr) => {{
        let mut query = $query;
        for value in $values {
            query = match value {
                Value::Text(text) => query.bind(text),
                Value::Number(number) => query.bind(number),
                Value::Flag(flag) => query.bind(flag),
                Value::Json(json) => query.bind(json.map(Json)),
                Value::Numbers($numbers) => query.bind($bind),
            };
        }
        query
    }};
}

// === impl Sql ===

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self { sqlite: text, postgres: text }
    }
}

// === impl Value ===

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(Some(text.clone()))
    }
}

impl From<&Option<String>> for Value {
    fn from(text: &Option<String>) -> Self {
        Self::Text(text.clone())
    }
}

impl From<Option<&'static str>> for Value {
    fn from(text: Option<&'static str>) -> Self {
        Self::Text(text.map(str::to_owned))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(Some(number))
    }
}

impl From<Option<u32>> for Value {
    fn from(number: Option<u32>) -> Self {
        Self::Number(number.map(i64::from))
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<&[i64]> for Value {
    fn from(numbers: &[i64]) -> Self {
        Self::Numbers(numbers.to_vec())
    }
}

// === impl Statement ===

impl Statement {
    /// The same with the next parameter's value.
    pub(super) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// All rows that it gives.
    pub(super) async fn all<T: Row>(self, transaction: &mut Transaction) -> Result<Vec<T>, sqlx::Error> {
        let Self { sql, values } = self;
        match transaction {
            Transaction::Sqlite(connection) => {
                let query = sqlx::query_as::<Sqlite, T>(sql.sqlite);
                bound!(query, values, |numbers| Json(numbers)).fetch_all(&mut **connection).await
            }
            Transaction::Postgres(connection) => {
                let query = sqlx::query_as::<Postgres, T>(sql.postgres);
                bound!(query, values, |numbers| numbers).fetch_all(&mut **connection).await
            }
        }
    }

    /// The one row that it gives, if it gives one.
    pub(super) async fn one<T: Row>(self, transaction: &mut Transaction) -> Result<Option<T>, sqlx::Error> {
        Ok(self.all(transaction).await?.into_iter().next())
    }

    /// Runs it; gives the rows that it has changed.
    pub(super) async fn run(self, transaction: &mut Transaction) -> Result<u64, sqlx::Error> {
        let Self { sql, values } = self;
        match transaction {
            Transaction::Sqlite(connection) => {
                let query = sqlx::query::<Sqlite>(sql.sqlite);
                let done = bound!(query, values, |numbers| Json(numbers)).execute(&mut **connection).await?;
                Ok(done.rows_affected())
            }
            Transaction::Postgres(connection) => {
                let query = sqlx::query::<Postgres>(sql.postgres);
                let done = bound!(query, values, |numbers| numbers).execute(&mut **connection).await?;
                Ok(done.rows_affected())
            }
        }
    }
}

// === impl Transaction ===

impl Transaction {
    /// Makes it last.
    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await,
            Self::Postgres(transaction) => transaction.commit().await,
        }
    }
}
