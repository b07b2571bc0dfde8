//! Webhooks: others are told of changes as they happen, and need not ask.
//!
//! Each is told what its tenant's feed says, in its order, one event after the other: the next one waits until the one before has been
//! taken (any 2xx). What is refused, or not answered in time, is told again after a pause that doubles up to five minutes, and never
//! given up: at least once, that is. A receiver that is away for longer than `[feed] keep` changes is told that some are lost.
//! Redirects are not followed. It never tells what was edited: who may read the catalogue asks it.

pub mod event;

use std::time::Duration;

use flame_api::metadata::ChangeNotice;
use flame_service_host::problem::chain;
use time::OffsetDateTime;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::Webhook;
use crate::deletions::{retry_after, until};
use crate::store::{Followed, Held, Hook, Store, StoreResult};
use event::Event;

/// Changes that are read at once.
const BATCH: u32 = 50;
/// A process has a webhook for so many times its timeout, and takes it anew when half of that is over.
const HELD_TIMEOUTS: u32 = 4;
/// Pause when the database could not be asked.
const DATABASE_RETRY: Duration = Duration::from_secs(10);

/// Who tells one webhook.
struct Teller {
    store: Store,
    webhook: Webhook,
    http: reqwest::Client,
    holder: String,
    /// The position that it was told last, and until when that is this process's to say.
    held: Option<(Held, Instant)>,
}

/// What comes next.
enum Next {
    /// More, at once.
    More,
    /// What changes, or what another process has changed by then.
    Change(Duration),
    /// Nothing before this time is over.
    Pause(Duration),
}

/// A client that asks the receiver that is named and no other.
pub(crate) fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()
}

/// Tells one webhook, until `stop`.
pub(crate) async fn tell(store: Store, webhook: Webhook, http: reqwest::Client, stop: CancellationToken) {
    let mut changed = store.changed();
    let mut teller = Teller { store, webhook, http, holder: Uuid::now_v7().to_string(), held: None };
    loop {
        changed.mark_unchanged();
        let next = tokio::select! {
            next = teller.next() => next,
            () = stop.cancelled() => break,
        };
        let next = next.unwrap_or_else(|error| {
            tracing::error!(
                webhook = teller.webhook.name,
                error = chain(&error),
                "what a webhook is to be told cannot be read or noted; it waits"
            );
            teller.held = None;
            Next::Pause(DATABASE_RETRY)
        });
        let (pause, wakes) = match next {
            Next::More => continue,
            Next::Change(pause) => (pause, true),
            Next::Pause(pause) => (pause, false),
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = changed.changed(), if wakes => {}
            () = stop.cancelled() => break,
        }
    }
    if teller.held.is_some()
        && let Err(error) = teller.store.release_webhook(teller.hook()).await
    {
        tracing::warn!(
            webhook = teller.webhook.name,
            error = chain(&error),
            "another process has to wait for this webhook"
        );
    }
}

// === impl Teller ===

impl Teller {
    fn hook(&self) -> Hook<'_> {
        Hook { tenant: &self.webhook.tenant, name: &self.webhook.name, holder: &self.holder }
    }

    /// Tells the next changes.
    async fn next(&mut self) -> StoreResult<Next> {
        let time = self.webhook.timeout.0.saturating_mul(HELD_TIMEOUTS);
        let mut held = match self.held {
            Some((held, until)) if Instant::now() < until => held,
            _ => match self.store.hold_webhook(self.hook(), time).await? {
                Some(held) => {
                    self.held = Some((held, Instant::now() + time / 2));
                    held
                }
                None => {
                    self.held = None;
                    return Ok(Next::Pause(time / 2));
                }
            },
        };
        if let Some(pause) = until(held.due_at_us) {
            return Ok(Next::Pause(pause));
        }
        let tenant = &self.webhook.tenant;
        let changes = match self.store.follow(tenant, held.position, BATCH).await? {
            Followed::Changes(changes) => Ok(changes),
            // Positions that are still to come: the catalogue is an older one again.
            Followed::Unknown(_, newest) if held.position > newest => Err(newest + 1),
            Followed::Unknown(oldest, _) => Err(oldest),
        };
        let (position, failed) = match changes.map(|changes| (changes.first().map(|first| first.position), changes)) {
            Ok((None, _)) => return Ok(Next::Change(self.store.feed_poll())),
            Ok((Some(first), changes)) if first == held.position + 1 => self.changes(&changes, time).await?,
            Ok((Some(next), _)) | Err(next) => {
                let event = Event::lost(tenant, held.position, next, OffsetDateTime::now_utc());
                let told = self.event(&event).await;
                told.map_or_else(|error| (held.position, Some(error)), |()| (next.saturating_sub(1), None))
            }
        };
        if position != held.position {
            held = Held { position, attempts: 0, due_at_us: 0 };
            if !self.store.note_webhook_told(self.hook(), position, time).await? {
                self.held = None;
                return Ok(Next::More);
            }
        }
        let mut next = Next::More;
        if let Some(error) = failed {
            held.attempts += 1;
            let pause = retry_after(held.attempts);
            let (name, attempts) = (&self.webhook.name, held.attempts);
            tracing::warn!(
                webhook = name,
                position,
                attempts,
                error,
                "a webhook has not taken an event; it is told again"
            );
            self.store.note_webhook_failed(self.hook(), &error, pause).await?;
            held.due_at_us =
                crate::store::now_us().saturating_add(i64::try_from(pause.as_micros()).unwrap_or(i64::MAX));
            next = Next::Pause(pause);
        }
        self.held = self.held.map(|(_, until)| (held, until));
        Ok(next)
    }

    /// Tells these changes, those that are wanted; up to which it was told, and why not further.
    async fn changes(&self, changes: &[ChangeNotice], time: Duration) -> StoreResult<(u64, Option<String>)> {
        let mut position = changes.first().map_or(0, |first| first.position.saturating_sub(1));
        for change in changes {
            let is_wanted = self.webhook.actions.is_empty() || self.webhook.actions.contains(&change.action);
            if is_wanted {
                if let Err(error) = self.event(&Event::change(&self.webhook.tenant, change)).await {
                    return Ok((position, Some(error)));
                }
                // One after the other, so that a process that ends in between tells one of them again at most. The last is noted by who calls.
                if change.position != changes.last().map_or(0, |last| last.position)
                    && !self.store.note_webhook_told(self.hook(), change.position, time).await?
                {
                    return Ok((change.position, None));
                }
            }
            position = change.position;
        }
        Ok((position, None))
    }

    /// Tells one event; why it was not taken.
    async fn event(&self, event: &Event) -> Result<(), String> {
        let at_s = OffsetDateTime::now_utc().unix_timestamp();
        let sent = self
            .http
            .post(self.webhook.url.clone())
            .timeout(self.webhook.timeout.0)
            .header("content-type", event::CONTENT_TYPE)
            .header("webhook-id", &event.id)
            .header("webhook-timestamp", at_s.to_string())
            .header("webhook-signature", event.signature(&self.webhook.secret, at_s))
            .body(event.body.clone())
            .send()
            .await;
        match sent {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("it answered {}", answer.status())),
            Err(error) => Err(chain(&error.without_url())),
        }
    }
}
