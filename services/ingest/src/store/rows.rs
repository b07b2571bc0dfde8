//! Rows become records; a value that this release never writes is damage, with its column named.

use flame_object_store::PartTag;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{RecordError, RecordResult};
use crate::concat::Concat;
use crate::labels::Labels;
use crate::record::{Origin, Record, Stage, Tail};

pub(super) fn record(row: &SqliteRow) -> RecordResult<Record> {
    let tail_key: Option<String> = row.get("tail_key");
    let tail_bytes = unsigned(row, "tail_bytes")?;
    let probe: Option<String> = row.get("probe");
    let concat: Option<String> = row.get("concat");
    Ok(Record {
        id: uuid(row, "id")?,
        tenant: row.get("tenant"),
        origin: Origin::parse(row.get("origin")).ok_or_else(|| damaged(row, "origin"))?,
        stage: Stage::parse(row.get("stage")).ok_or_else(|| damaged(row, "stage"))?,
        attempts: row.get("attempts"),
        looks: row.get("looks"),
        offset_bytes: unsigned(row, "offset_bytes")?,
        length_bytes: row.get::<Option<i64>, _>("length_bytes").map(|_| unsigned(row, "length_bytes")).transpose()?,
        part_bytes: unsigned(row, "part_bytes")?,
        labels: Labels { file_name: row.get("file_name"), title: row.get("title"), chain: row.get("chain") },
        url: row.get("url"),
        validator: row.get("validator"),
        multipart_id: row.get("multipart_id"),
        tail: tail_key.map(|key| Tail { key, size_bytes: tail_bytes }),
        sha256_state: row.get("sha256_state"),
        sha256: row.get("sha256"),
        concat: concat.map(|text| Concat::stored(&text).ok_or_else(|| damaged(row, "concat"))).transpose()?,
        probe: probe.map(|text| serde_json::from_str(&text).map_err(|_| damaged(row, "probe"))).transpose()?,
        poster_key: row.get("poster_key"),
        duplicate_of: row.get::<Option<&str>, _>("duplicate_of").map(|_| uuid(row, "duplicate_of")).transpose()?,
        asset_id: row.get::<Option<&str>, _>("asset_id").map(|_| uuid(row, "asset_id")).transpose()?,
        job_id: row.get::<Option<&str>, _>("job_id").map(|_| uuid(row, "job_id")).transpose()?,
        error: row.get("error"),
        created_at: time(row, "created_at_ms")?,
        expires_at: row.get::<Option<i64>, _>("expires_at_ms").map(|_| time(row, "expires_at_ms")).transpose()?,
    })
}

pub(super) fn part(row: &SqliteRow) -> RecordResult<PartTag> {
    let number: i64 = row.get("number");
    Ok(PartTag {
        number: u16::try_from(number).map_err(|_| damaged(row, "number"))?,
        etag: row.get("etag"),
        size_bytes: unsigned(row, "size_bytes")?,
    })
}

pub(super) fn uuid(row: &SqliteRow, column: &'static str) -> RecordResult<Uuid> {
    row.get::<&str, _>(column).parse().map_err(|_| damaged(row, column))
}

pub(super) fn unsigned(row: &SqliteRow, column: &'static str) -> RecordResult<u64> {
    u64::try_from(row.get::<i64, _>(column)).map_err(|_| damaged(row, column))
}

pub(super) fn time(row: &SqliteRow, column: &'static str) -> RecordResult<OffsetDateTime> {
    let nanoseconds = i128::from(row.get::<i64, _>(column)) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).map_err(|_| damaged(row, column))
}

fn damaged(row: &SqliteRow, column: &'static str) -> RecordError {
    let id = row.try_get("id").or_else(|_| row.try_get("upload_id")).unwrap_or_default();
    RecordError::Damaged { id, column }
}
