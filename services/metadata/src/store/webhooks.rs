//! How far each webhook has come in its tenant's feed, and which process tells it.
//!
//! The feed is the outbox: a change is in it from the same transaction on, and what a webhook was told is one position of it. Several
//! processes may work on one database: one of them holds a webhook for a while, and another takes it when that is over.

use std::time::Duration;

use super::rows::{number, stored};
use super::sql::sql;
use super::{Store, StoreResult, feed, now_us};

/// A webhook in the hands of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The position that it was told last.
    pub position: u64,
    /// Attempts in a row that have failed.
    pub attempts: i64,
    /// When it may be tried again, microseconds since the Unix epoch.
    pub due_at_us: i64,
}

/// Which webhook, and who tells it.
#[derive(Debug, Clone, Copy)]
pub struct Hook<'a> {
    /// Whose changes.
    pub tenant: &'a str,
    /// Its name among those of the tenant.
    pub name: &'a str,
    /// The process.
    pub holder: &'a str,
}

// === impl Store ===

impl Store {
    /// Notes that there is a webhook. One that is new is told what comes from now on.
    pub async fn begin_webhook(&self, tenant: &str, name: &str) -> StoreResult<()> {
        let mut transaction = self.database.writing().await?;
        let (_, newest) = feed::ends(&mut transaction, tenant).await?;
        sql("INSERT INTO webhooks (tenant, name, position) VALUES ($1, $2, $3) ON CONFLICT (tenant, name) DO NOTHING")
            .bind(tenant)
            .bind(name)
            .bind(stored(newest))
            .run(&mut transaction)
            .await?;
        Ok(transaction.commit().await?)
    }

    /// Takes a webhook, or keeps it, for this time; `None` where another process has it.
    pub async fn hold_webhook(&self, hook: Hook<'_>, time: Duration) -> StoreResult<Option<Held>> {
        let mut transaction = self.database.writing().await?;
        let held: Option<(i64, i64, i64)> = sql("UPDATE webhooks SET holder = $3, held_until_us = $4 \
             WHERE tenant = $1 AND name = $2 AND (holder = $3 OR held_until_us < $5) \
             RETURNING position, attempts, due_at_us")
        .bind(hook.tenant)
        .bind(hook.name)
        .bind(hook.holder)
        .bind(after(time))
        .bind(now_us())
        .one(&mut transaction)
        .await?;
        transaction.commit().await?;
        held.map(|(position, attempts, due_at_us)| Ok(Held { position: number(position)?, attempts, due_at_us }))
            .transpose()
    }

    /// Notes that a webhook was told everything up to a position, and keeps it for this time; `false` where another process has it.
    pub async fn note_webhook_told(&self, hook: Hook<'_>, position: u64, time: Duration) -> StoreResult<bool> {
        let mut transaction = self.database.writing().await?;
        let noted = sql("UPDATE webhooks SET position = $4, attempts = 0, due_at_us = 0, error = NULL, \
             held_until_us = $5 WHERE tenant = $1 AND name = $2 AND holder = $3")
        .bind(hook.tenant)
        .bind(hook.name)
        .bind(hook.holder)
        .bind(stored(position))
        .bind(after(time))
        .run(&mut transaction)
        .await?;
        transaction.commit().await?;
        Ok(noted > 0)
    }

    /// Notes that an attempt has failed, and when the next one is due.
    pub async fn note_webhook_failed(&self, hook: Hook<'_>, error: &str, pause: Duration) -> StoreResult<()> {
        let noted = sql("UPDATE webhooks SET attempts = attempts + 1, error = $4, due_at_us = $5 \
             WHERE tenant = $1 AND name = $2 AND holder = $3")
        .bind(hook.tenant)
        .bind(hook.name)
        .bind(hook.holder)
        .bind(error)
        .bind(after(pause));
        self.write(noted).await
    }

    /// Lets another process have a webhook at once.
    pub async fn release_webhook(&self, hook: Hook<'_>) -> StoreResult<()> {
        let released = sql("UPDATE webhooks SET held_until_us = 0 WHERE tenant = $1 AND name = $2 AND holder = $3")
            .bind(hook.tenant)
            .bind(hook.name)
            .bind(hook.holder);
        self.write(released).await
    }
}

fn after(time: Duration) -> i64 {
    now_us().saturating_add(i64::try_from(time.as_micros()).unwrap_or(i64::MAX))
}
