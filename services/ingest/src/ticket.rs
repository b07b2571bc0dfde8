//! Uploads that go to the object store itself: the client is given one signed request, and says when it has made it.
//!
//! The bytes lie under the upload's own prefix until then ([`depot`](crate::depot)). They are copied to the source by the
//! store (the embedded one links them), where nobody else writes, and read there once, for their SHA-256; from there on it is an upload like any other. Nothing of this is kept in memory, and what
//! was cut off is repeated.

use aws_lc_rs::digest::{Context, SHA256};
use flame_object_store::{PresignedPut, StoreError};
use futures_util::StreamExt;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::depot;
use crate::intake::{Announcement, Intake, PATIENCE};
use crate::labels::Labels;
use crate::record::{Origin, Record, Stage};
use crate::store::{Arrival, RecordError};

/// Tickets that are looked at at a time; the next look goes on.
const SWEPT_MAX: u32 = 500;

/// Why there is no ticket, or none that is complete.
#[derive(Debug, thiserror::Error)]
pub enum TicketError {
    /// The database.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Somebody writes that upload by another way.
    #[error("the upload is in use")]
    Busy,
    /// It was no ticket, or has bytes that came by another way.
    #[error("upload {0} has bytes that came by another way: it goes on there")]
    Mixed(Uuid),
    /// The client has not made its request.
    #[error("nothing has been stored with the ticket's request yet: make it first")]
    Nothing,
    /// It is not what was promised.
    #[error("{found_bytes} bytes were stored, {promised_bytes} were promised")]
    Length {
        /// What is there.
        found_bytes: u64,
        /// What was to be.
        promised_bytes: u64,
    },
    /// The bytes are not those that the client says.
    #[error("what was stored has the SHA-256 {found}, and not {promised}: make the ticket's request again")]
    Digest {
        /// Of what is there.
        found: String,
        /// What was to be.
        promised: String,
    },
    /// It has ended meanwhile.
    #[error("the upload has ended")]
    Ended,
}

/// A new upload, and the request that brings its bytes.
#[derive(Debug)]
pub struct Ticket {
    /// The upload.
    pub record: Record,
    /// The request.
    pub put: PresignedPut,
}

/// Where the bytes of an upload are put by its client.
fn staging_key(tenant: &str, id: Uuid) -> String {
    format!("{tenant}/uploads/{id}/whole")
}

impl Intake {
    /// Begins an upload of `size_bytes` whose client puts it into the store itself.
    ///
    /// # Errors
    /// [`TicketError::Record`], [`TicketError::Store`].
    pub async fn ticket(
        &self,
        tenant: String,
        labels: Labels,
        size_bytes: u64,
        sha256: Option<[u8; 32]>,
    ) -> Result<Ticket, TicketError> {
        let length_bytes = Some(size_bytes);
        let announcement = Announcement { tenant, origin: Origin::Tus, length_bytes, labels, url: None, concat: None };
        let record = self.announce(announcement).await?;
        let life = self.limits.ticket.0;
        let promised = sha256.map(hex::encode);
        let ends_at = OffsetDateTime::now_utc() + life;
        self.uploads.note_ticket((&record.tenant, record.id), promised.as_deref(), ends_at).await?;
        let put =
            self.depot.store().presigned_put(&staging_key(&record.tenant, record.id), size_bytes, sha256, life).await?;
        Ok(Ticket { record, put })
    }

    /// Takes what the client has stored with its ticket; `sha256` is what the client says of it, lower-case hex. Goes on when its caller
    /// leaves. Repeated, it gives the same.
    ///
    /// # Errors
    /// [`TicketError`]; the upload is as it was.
    pub async fn complete_ticket(&self, record: Record, sha256: Option<String>) -> Result<(), TicketError> {
        let intake = self.clone();
        let work = self.tasks.spawn(async move { intake.take_stored(record, sha256).await });
        work.await.expect("the task is neither aborted nor does it panic")
    }

    /// Deletes what somebody has put into the store with a ticket whose upload is over: a ticket cannot be taken back. One is looked at when
    /// its life has passed twice, so a request that began at the end of the first has ended; what comes later still, the scrub deletes.
    ///
    /// # Errors
    /// [`TicketError::Record`], [`TicketError::Store`]; the rest is done by the next look.
    pub async fn sweep_tickets(&self, now: OffsetDateTime) -> Result<(), TicketError> {
        for (tenant, id) in self.uploads.ended_tickets(now - self.limits.ticket.0, SWEPT_MAX).await? {
            self.depot.store().delete(&staging_key(&tenant, id)).await?;
            self.uploads.forget_ticket(id).await?;
        }
        Ok(())
    }

    async fn take_stored(&self, record: Record, promised: Option<String>) -> Result<(), TicketError> {
        let _turn = self.writers.take(record.id, PATIENCE).await.ok_or(TicketError::Busy)?;
        // Read again: the turn before may have been the same request.
        let record = self.uploads.load(record.id).await?.ok_or(TicketError::Ended)?;
        if record.stage != Stage::Receiving {
            let taken = record.sha256.filter(|_| record.stage.state().is_some()).ok_or(TicketError::Ended)?;
            return match promised.filter(|promised| *promised != taken) {
                Some(promised) => Err(TicketError::Digest { found: taken, promised }),
                None => Ok(()),
            };
        }
        if record.offset_bytes > 0 || record.concat.is_some() || record.origin != Origin::Tus {
            return Err(TicketError::Mixed(record.id));
        }
        // The copy is looked at, and not what was copied: its client may put something else there meanwhile.
        let source = depot::source_key(&record);
        match self.depot.store().copy(&staging_key(&record.tenant, record.id), &source).await {
            Ok(()) => {}
            Err(StoreError::NotFound { .. }) => return Err(TicketError::Nothing),
            Err(error) => return Err(error.into()),
        }
        flame_service_host::fault::point("ticket-copied");
        let (found_bytes, found) = self.digest(&source).await?;
        let promised_bytes = record.length_bytes.unwrap_or(found_bytes);
        // Not every store holds a request to the digest that was signed with it.
        let with_ticket = self.uploads.promised_sha256(record.id).await?;
        let refused = if found_bytes == promised_bytes {
            [promised, with_ticket]
                .into_iter()
                .flatten()
                .find(|promised| *promised != found)
                .map(|promised| TicketError::Digest { found: found.clone(), promised })
        } else {
            Some(TicketError::Length { found_bytes, promised_bytes })
        };
        if let Some(refused) = refused {
            self.depot.store().delete(&source).await?;
            return Err(refused);
        }
        let arrival = Arrival {
            offset_bytes: found_bytes,
            sha256_state: Vec::new(),
            parts: Vec::new(),
            tail: None,
            expires_at: record.expires_at,
        };
        if !self.uploads.arrive(&record, &arrival, Some(&found)).await? {
            return Err(TicketError::Ended);
        }
        self.processing.notify_one();
        Ok(())
    }

    /// Size and SHA-256 of what is stored under `key`.
    async fn digest(&self, key: &str) -> Result<(u64, String), TicketError> {
        let mut body = match self.depot.store().stream(key, None).await {
            Ok(body) => body,
            Err(StoreError::NotFound { .. }) => return Err(TicketError::Nothing),
            Err(error) => return Err(error.into()),
        };
        let (mut size_bytes, mut sha256) = (0, Context::new(&SHA256));
        while let Some(block) = body.next().await {
            let block = block?;
            size_bytes += block.len() as u64;
            sha256.update(&block);
        }
        Ok((size_bytes, hex::encode(sha256.finish())))
    }
}
