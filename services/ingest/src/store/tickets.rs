//! Which signed requests are out, what was promised of their bytes, and until when they are good.

use sqlx::Row;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{RecordResult, Uploads, failed, rows, to_ms};

impl Uploads {
    /// Notes the ticket of an upload.
    pub async fn note_ticket(
        &self,
        (tenant, id): (&str, Uuid),
        sha256: Option<&str>,
        ends_at: OffsetDateTime,
    ) -> RecordResult<()> {
        let note = sqlx::query("INSERT INTO tickets (upload_id, tenant, sha256, ends_at_ms) VALUES (?, ?, ?, ?)");
        let note = note.bind(id.to_string()).bind(tenant).bind(sha256).bind(to_ms(ends_at));
        note.execute(&self.writer).await.map(drop).map_err(failed("note a ticket"))
    }

    /// The SHA-256 that was promised with the ticket of an upload, lower-case hex.
    pub async fn promised_sha256(&self, id: Uuid) -> RecordResult<Option<String>> {
        let find = sqlx::query("SELECT sha256 FROM tickets WHERE upload_id = ?").bind(id.to_string());
        let found = find.fetch_optional(&self.readers).await.map_err(failed("find a ticket"))?;
        Ok(found.and_then(|row| row.get("sha256")))
    }

    /// Tickets that ended before `before`, and whose upload waits for them no more: their tenants and uploads.
    pub async fn ended_tickets(&self, before: OffsetDateTime, limit: u32) -> RecordResult<Vec<(String, Uuid)>> {
        let find = sqlx::query(
            "SELECT t.tenant, t.upload_id FROM tickets t LEFT JOIN uploads u ON u.id = t.upload_id
             WHERE t.ends_at_ms <= ? AND (u.id IS NULL OR u.stage <> 'receiving') ORDER BY t.ends_at_ms LIMIT ?",
        );
        let found = find.bind(to_ms(before)).bind(limit).fetch_all(&self.readers).await;
        let found = found.map_err(failed("find tickets"))?;
        found.iter().map(|row| Ok((row.get("tenant"), rows::uuid(row, "upload_id")?))).collect()
    }

    /// Forgets the ticket of an upload: nothing can come with it any more.
    pub async fn forget_ticket(&self, id: Uuid) -> RecordResult<()> {
        let forget = sqlx::query("DELETE FROM tickets WHERE upload_id = ?").bind(id.to_string());
        forget.execute(&self.writer).await.map(drop).map_err(failed("forget a ticket"))
    }
}
