//! Final uploads and the partial ones that they are made of.
//!
//! A partial upload belongs to one final upload at most; the table's own constraint says so, and the row of the final one
//! and what it takes are written in one transaction. From then on the partial ones no longer expire: the final upload has
//! been acknowledged.

use sqlx::SqliteConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{RecordResult, Uploads, failed, insert_upload, rows, to_ms};
use crate::record::{Record, Stage};

/// Why a final upload was not made of these.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinRefusal {
    /// There is no such upload of this tenant.
    #[error("there is no upload {0}")]
    Missing(Uuid),
    /// It was not announced as partial.
    #[error("upload {0} was not announced with `Upload-Concat: partial`")]
    NotPartial(Uuid),
    /// Bytes of it are missing.
    #[error("upload {id} stands at {offset_bytes} of {length}: finish it first", length = length_bytes.map_or_else(|| "an unknown length".to_owned(), |length| length.to_string()))]
    Unfinished {
        /// The partial upload.
        id: Uuid,
        /// Where it stands.
        offset_bytes: u64,
        /// What it has been announced with.
        length_bytes: Option<u64>,
    },
    /// It belongs to another final upload.
    #[error("upload {id} is a part of upload {of} already")]
    Taken {
        /// The partial upload.
        id: Uuid,
        /// Whose part it is.
        of: Uuid,
    },
    /// All of them together are longer than anybody may send.
    #[error("the parts have {length_bytes} bytes together, at most {max_bytes} are taken")]
    TooLong {
        /// The sum.
        length_bytes: u64,
        /// The bound.
        max_bytes: u64,
    },
}

impl Uploads {
    /// Adds a final upload that is made of `partials`, in this order; its length is theirs. `record_of` gives its row for that length.
    /// The same list again gives the upload that was made of it.
    pub async fn insert_final(
        &self,
        tenant: &str,
        partials: &[Uuid],
        max_bytes: u64,
        record_of: impl FnOnce(u64) -> Record,
    ) -> RecordResult<Result<Record, JoinRefusal>> {
        let act = failed("add a final upload");
        let mut change = self.writer.begin().await.map_err(&act)?;
        let mut length_bytes = 0_u64;
        for (position, id) in partials.iter().enumerate() {
            let row =
                sqlx::query("SELECT * FROM uploads WHERE id = ? AND tenant = ?").bind(id.to_string()).bind(tenant);
            let row = row.fetch_optional(&mut *change).await.map_err(&act)?;
            let Some(partial) = row.as_ref().map(rows::record).transpose()? else {
                return Ok(Err(JoinRefusal::Missing(*id)));
            };
            if !partial.is_partial() {
                return Ok(Err(JoinRefusal::NotPartial(*id)));
            }
            if let Some(of) = final_of(&mut change, *id).await? {
                // A client that lost the answer asks again.
                if position == 0
                    && partials_of(&mut change, of).await?.iter().map(|partial| partial.id).eq(partials.iter().copied())
                    && let Some(record) = load(&mut change, of).await?
                {
                    return Ok(Ok(record));
                }
                return Ok(Err(JoinRefusal::Taken { id: *id, of }));
            }
            if partial.stage != Stage::Receiving {
                return Ok(Err(JoinRefusal::Missing(*id)));
            }
            if !partial.is_whole_partial() {
                let Record { offset_bytes, length_bytes, .. } = partial;
                return Ok(Err(JoinRefusal::Unfinished { id: *id, offset_bytes, length_bytes }));
            }
            length_bytes = length_bytes.saturating_add(partial.offset_bytes);
        }
        if length_bytes > max_bytes {
            return Ok(Err(JoinRefusal::TooLong { length_bytes, max_bytes }));
        }
        let record = record_of(length_bytes);
        insert_upload(&mut change, &record).await.map_err(&act)?;
        for (position, id) in (0_i64..).zip(partials) {
            sqlx::query("INSERT INTO joins (final_id, position, partial_id, tenant) VALUES (?, ?, ?, ?)")
                .bind(record.id.to_string())
                .bind(position)
                .bind(id.to_string())
                .bind(tenant)
                .execute(&mut *change)
                .await
                .map_err(&act)?;
            sqlx::query("UPDATE uploads SET expires_at_ms = NULL, holds_bytes = 0 WHERE id = ?")
                .bind(id.to_string())
                .execute(&mut *change)
                .await
                .map_err(&act)?;
        }
        // Nothing but empty parts: there is nothing to join.
        if record.stage != Stage::Receiving {
            end_partials(&mut change, record.id).await.map_err(&act)?;
        }
        change.commit().await.map_err(&act)?;
        Ok(Ok(record))
    }

    /// The partial uploads of a final one, in order.
    pub async fn partials(&self, final_id: Uuid) -> RecordResult<Vec<Record>> {
        let mut connection = self.readers.acquire().await.map_err(failed("read partial uploads"))?;
        partials_of(&mut connection, final_id).await
    }

    /// The final upload that a partial one belongs to.
    pub async fn part_of(&self, partial_id: Uuid) -> RecordResult<Option<Uuid>> {
        let mut connection = self.readers.acquire().await.map_err(failed("read partial uploads"))?;
        final_of(&mut connection, partial_id).await
    }

    /// Notes that joining has failed `attempts` times in a row, and when to try again.
    pub async fn postpone_join(
        &self,
        id: Uuid,
        attempts: u32,
        due: OffsetDateTime,
        reason: &str,
    ) -> RecordResult<bool> {
        let change = sqlx::query(
            "UPDATE uploads SET attempts = ?, join_at_ms = ?, error = ? WHERE id = ? AND stage = 'receiving'",
        );
        let change = change.bind(attempts).bind(to_ms(due)).bind(reason).bind(id.to_string());
        self.change("postpone a join", change).await
    }

    /// Forgets what was joined: the store no longer knows the multipart upload that it was joined in.
    pub async fn rejoin(&self, id: Uuid) -> RecordResult<()> {
        let act = failed("begin a join anew");
        let mut change = self.writer.begin().await.map_err(&act)?;
        let id = id.to_string();
        sqlx::query("DELETE FROM parts WHERE upload_id = ?").bind(&id).execute(&mut *change).await.map_err(&act)?;
        sqlx::query(
            "UPDATE uploads SET offset_bytes = 0, sha256_state = NULL, multipart_id = NULL WHERE id = ? AND stage = 'receiving'",
        )
        .bind(&id)
        .execute(&mut *change)
        .await
        .map_err(&act)?;
        change.commit().await.map_err(&act)
    }
}

/// What is stored of the parts of a final upload is deleted next: it has become something else, or is to become nothing.
pub(super) async fn end_partials(change: &mut SqliteConnection, final_id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE uploads SET stage = 'ending', due_at_ms = ?, attempts = 0, expires_at_ms = NULL, error = 'it is part of upload ' || ?
         WHERE stage = 'receiving' AND id IN (SELECT partial_id FROM joins WHERE final_id = ?)",
    )
    .bind(to_ms(OffsetDateTime::now_utc()))
    .bind(final_id.to_string())
    .bind(final_id.to_string())
    .execute(change)
    .await
    .map(drop)
}

async fn load(connection: &mut SqliteConnection, id: Uuid) -> RecordResult<Option<Record>> {
    let find = sqlx::query("SELECT * FROM uploads WHERE id = ?").bind(id.to_string());
    let row = find.fetch_optional(connection).await.map_err(failed("read an upload"))?;
    row.as_ref().map(rows::record).transpose()
}

async fn final_of(connection: &mut SqliteConnection, partial_id: Uuid) -> RecordResult<Option<Uuid>> {
    let find = sqlx::query("SELECT final_id AS id FROM joins WHERE partial_id = ?").bind(partial_id.to_string());
    let row = find.fetch_optional(connection).await.map_err(failed("read partial uploads"))?;
    row.as_ref().map(|row| rows::uuid(row, "id")).transpose()
}

async fn partials_of(connection: &mut SqliteConnection, final_id: Uuid) -> RecordResult<Vec<Record>> {
    let find = sqlx::query(
        "SELECT uploads.* FROM joins JOIN uploads ON uploads.id = joins.partial_id WHERE joins.final_id = ? ORDER BY joins.position",
    );
    let found = find.bind(final_id.to_string()).fetch_all(connection).await;
    found.map_err(failed("read partial uploads"))?.iter().map(rows::record).collect()
}
