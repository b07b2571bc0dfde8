//! Unfinished uploads as somebody sees them who is not the service: who copies its database, or takes it to another store.
//!
//! These functions open the file by themselves, and expect nobody else to write it: a copy, or that of a service that does not run.

use std::path::Path;
use std::time::Duration;

use flame_object_store::PartTag;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};
use uuid::Uuid;

use super::{RecordResult, failed, rows, signed};
use crate::depot;

/// An upload that goes on, or whose parts are still to become an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// Which.
    pub id: Uuid,
    /// Key of the object that it becomes.
    pub key: String,
    /// The store's name of its multipart upload, if it has one.
    pub multipart_id: Option<String>,
    /// Object that holds what is left after the last whole part.
    pub tail_key: Option<String>,
    /// Its parts that are acknowledged, by number.
    pub parts: Vec<PartTag>,
    /// Whether bytes are missing. Where none are, its parts may have become the object without a note of it.
    pub is_receiving: bool,
}

/// All of them in the database at `path`.
///
/// # Errors
/// It cannot be read, or holds what no release has written.
pub async fn unfinished(path: &Path) -> RecordResult<Vec<Unfinished>> {
    let act = failed("read unfinished uploads");
    let mut connection = open(path).await?;
    let found = sqlx::query(
        "SELECT id, tenant, multipart_id, tail_key, stage FROM uploads WHERE stage IN ('receiving', 'assemble') ORDER BY id",
    );
    let mut uploads = Vec::new();
    for row in found.fetch_all(&mut connection).await.map_err(&act)? {
        let id = rows::uuid(&row, "id")?;
        let parts =
            sqlx::query("SELECT upload_id, number, etag, size_bytes FROM parts WHERE upload_id = ? ORDER BY number");
        let parts = parts.bind(id.to_string()).fetch_all(&mut connection).await.map_err(&act)?;
        let stage: String = row.get("stage");
        uploads.push(Unfinished {
            id,
            key: depot::source_of(row.get("tenant"), id),
            multipart_id: row.get("multipart_id"),
            tail_key: row.get("tail_key"),
            parts: parts.iter().map(rows::part).collect::<RecordResult<_>>()?,
            is_receiving: stage == "receiving",
        });
    }
    connection.close().await.map_err(&act)?;
    Ok(uploads)
}

/// Notes that the parts of `upload` lie in another store, under another name of the multipart upload: all of them, or none.
///
/// # Errors
/// The database cannot be written.
pub async fn note_moved(path: &Path, upload: &Unfinished, multipart_id: &str, parts: &[PartTag]) -> RecordResult<()> {
    let act = failed("note that an upload has moved");
    let mut connection = open(path).await?;
    let mut change = connection.begin().await.map_err(&act)?;
    let named = sqlx::query("UPDATE uploads SET multipart_id = ? WHERE id = ?");
    named.bind(multipart_id).bind(upload.id.to_string()).execute(&mut *change).await.map_err(&act)?;
    for part in parts {
        let noted = sqlx::query("UPDATE parts SET etag = ?, size_bytes = ? WHERE upload_id = ? AND number = ?");
        let noted = noted.bind(&part.etag).bind(signed(part.size_bytes)).bind(upload.id.to_string()).bind(part.number);
        noted.execute(&mut *change).await.map_err(&act)?;
    }
    change.commit().await.map_err(&act)?;
    connection.close().await.map_err(&act)
}

async fn open(path: &Path) -> RecordResult<SqliteConnection> {
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(Duration::from_secs(10));
    options.connect().await.map_err(failed("open a connection"))
}
