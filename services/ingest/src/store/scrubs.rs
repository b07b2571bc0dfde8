//! How far each tenant's scrub has come, and what it found.

use std::time::Duration;

use flame_api::ingest::{Rot, Scrub};
use sqlx::Row;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{RecordError, RecordResult, Uploads, failed, rows, signed, to_ms};

/// Rotten objects that are told; more are only counted.
const TOLD_MAX: u32 = 1000;

/// A scrub under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scrubbing {
    /// Whose objects.
    pub tenant: String,
    /// The last key that was looked at.
    pub position: Option<String>,
    /// Objects looked at.
    pub objects: u64,
    /// Bytes of them.
    pub size_bytes: u64,
    /// Those of which nothing was noted that they could be held against.
    pub unverified: u64,
    /// Those that were found not to be what they were, since this process took it up.
    pub rotten: u64,
}

impl Uploads {
    /// Begins a tenant's scrub at the first object, unless one is under way.
    pub async fn request_scrub(&self, tenant: &str, now: OffsetDateTime) -> RecordResult<()> {
        let begin = sqlx::query(
            "INSERT INTO scrubs (tenant, began_at_ms, is_running) VALUES (?1, ?2, 1)
             ON CONFLICT (tenant) DO UPDATE SET began_at_ms = ?2, is_running = 1, ended_at_ms = NULL, position = NULL,
                 objects = 0, size_bytes = 0, unverified = 0 WHERE NOT is_running",
        );
        let begin = begin.bind(tenant).bind(to_ms(now));
        begin.execute(&self.writer).await.map(drop).map_err(failed("begin a scrub"))
    }

    /// The scrub that goes on: one under way, or one that is begun because the last look at that tenant's objects, or at its first upload, is
    /// longer ago than `every`.
    pub async fn due_scrub(&self, now: OffsetDateTime, every: Option<Duration>) -> RecordResult<Option<Scrubbing>> {
        if let Some(running) = self.running_scrub().await? {
            return Ok(Some(running));
        }
        let Some(every) = every else { return Ok(None) };
        let find = sqlx::query(
            "SELECT u.tenant FROM usage u LEFT JOIN scrubs s ON s.tenant = u.tenant
             WHERE coalesce(s.ended_at_ms, (SELECT min(created_at_ms) FROM uploads WHERE tenant = u.tenant)) <= ? LIMIT 1",
        );
        let find = find.bind(to_ms(now - every)).fetch_optional(&self.readers);
        let Some(row) = find.await.map_err(failed("find a scrub"))? else { return Ok(None) };
        self.request_scrub(row.get("tenant"), now).await?;
        self.running_scrub().await
    }

    async fn running_scrub(&self) -> RecordResult<Option<Scrubbing>> {
        let find = sqlx::query("SELECT * FROM scrubs WHERE is_running ORDER BY began_at_ms LIMIT 1");
        let row = find.fetch_optional(&self.readers).await.map_err(failed("find a scrub"))?;
        row.map(|row| {
            Ok(Scrubbing {
                tenant: row.get("tenant"),
                position: row.get("position"),
                objects: rows::unsigned(&row, "objects")?,
                size_bytes: rows::unsigned(&row, "size_bytes")?,
                unverified: rows::unsigned(&row, "unverified")?,
                rotten: 0,
            })
        })
        .transpose()
    }

    /// Notes how far a scrub has come.
    pub async fn note_scrub(&self, scrub: &Scrubbing) -> RecordResult<()> {
        let note = sqlx::query(
            "UPDATE scrubs SET position = ?, objects = ?, size_bytes = ?, unverified = ? WHERE tenant = ? AND is_running",
        );
        let note = note.bind(&scrub.position).bind(signed(scrub.objects)).bind(signed(scrub.size_bytes));
        let note = note.bind(signed(scrub.unverified)).bind(&scrub.tenant);
        note.execute(&self.writer).await.map(drop).map_err(failed("note a scrub"))
    }

    /// Notes that an object is not what it was.
    pub async fn note_rot(
        &self,
        tenant: &str,
        key: &str,
        asset: Option<Uuid>,
        what: &str,
        now: OffsetDateTime,
    ) -> RecordResult<()> {
        let note = sqlx::query(
            "INSERT INTO rot (tenant, key, asset_id, what, found_at_ms) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (tenant, key) DO UPDATE SET what = excluded.what, found_at_ms = excluded.found_at_ms",
        );
        let note = note.bind(tenant).bind(key).bind(asset.map(|id| id.to_string())).bind(what).bind(to_ms(now));
        note.execute(&self.writer).await.map(drop).map_err(failed("note rot"))
    }

    /// Notes that all of a tenant's objects have been looked at. What was not found again is whole, or gone.
    pub async fn end_scrub(&self, scrub: &Scrubbing, now: OffsetDateTime) -> RecordResult<()> {
        self.note_scrub(scrub).await?;
        let act = failed("end a scrub");
        let mut change = self.writer.begin().await.map_err(&act)?;
        let forget = sqlx::query(
            "DELETE FROM rot WHERE tenant = ?1 AND found_at_ms < (SELECT began_at_ms FROM scrubs WHERE tenant = ?1)",
        );
        forget.bind(&scrub.tenant).execute(&mut *change).await.map_err(&act)?;
        let end = sqlx::query("UPDATE scrubs SET is_running = 0, ended_at_ms = ?, position = NULL WHERE tenant = ?");
        end.bind(to_ms(now)).bind(&scrub.tenant).execute(&mut *change).await.map_err(&act)?;
        change.commit().await.map_err(&act)
    }

    /// What is known of a tenant's objects.
    pub async fn scrub(&self, tenant: &str) -> RecordResult<Scrub> {
        let act = failed("read a scrub");
        let row = sqlx::query("SELECT * FROM scrubs WHERE tenant = ?").bind(tenant);
        let row = row.fetch_optional(&self.readers).await.map_err(&act)?;
        let Some(row) = row else { return Ok(Scrub::default()) };
        let rot = sqlx::query("SELECT key, asset_id, what, found_at_ms FROM rot WHERE tenant = ? ORDER BY key LIMIT ?");
        let rot = rot.bind(tenant).bind(TOLD_MAX).fetch_all(&self.readers).await.map_err(&act)?;
        let count = sqlx::query("SELECT count(*) AS rotten FROM rot WHERE tenant = ?").bind(tenant);
        let rotten = rows::unsigned(&count.fetch_one(&self.readers).await.map_err(&act)?, "rotten")?;
        let ended: Option<i64> = row.get("ended_at_ms");
        Ok(Scrub {
            is_running: row.get("is_running"),
            began_at: Some(rows::time(&row, "began_at_ms")?),
            ended_at: ended.map(|_| rows::time(&row, "ended_at_ms")).transpose()?,
            objects: rows::unsigned(&row, "objects")?,
            size_bytes: rows::unsigned(&row, "size_bytes")?,
            unverified: rows::unsigned(&row, "unverified")?,
            rotten,
            rot: rot
                .iter()
                .map(|row| {
                    Ok::<_, RecordError>(Rot {
                        key: row.get("key"),
                        asset_id: row
                            .get::<Option<&str>, _>("asset_id")
                            .map(|_| rows::uuid(row, "asset_id"))
                            .transpose()?,
                        what: row.get("what"),
                        found_at: rows::time(row, "found_at_ms")?,
                    })
                })
                .collect::<RecordResult<_>>()?,
        })
    }
}
