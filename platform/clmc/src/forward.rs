//! The way to stores outside: InfluxDB 1.x, VictoriaMetrics, or whatever else takes line protocol, is told the same points.
//!
//! What was accepted waits in memory, in a [`queue`] that is bounded in bytes: beyond it the oldest points go, and are counted.
//! One sending is under way at a time, so a store outside gets points in their order; one that is away is tried again for as long
//! as it takes, and what it refuses for good is counted and not sent again. A database that it does not have is made; the points of one
//! that it will not have are refused for good, so that they hold up no others. Nothing of it survives the end of the process: the
//! window of the store here does.

pub mod queue;

use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use flame_api::client::Transport;
use flame_service_host::auth::DEFAULT_TENANT;
use flame_service_host::problem::chain;
use flame_telemetry::Point;
use flame_telemetry::line::{self, Line};
use prometheus::{IntCounter, IntGauge};
use reqwest::{RequestBuilder, StatusCode, header};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::config::ForwardConfig;
use queue::{Batch, Queue};

/// Length of a batch, bytes: so much is dropped at once where there is no room.
const BATCH_MAX_BYTES: usize = 256 << 10;
/// The longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// So much of a refusal is read, bytes.
const REASON_MAX_BYTES: usize = 300;

/// A store outside. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Forward {
    config: Arc<ForwardConfig>,
    http: reqwest::Client,
    queue: Arc<Mutex<Queue>>,
    /// Told when there is something to send.
    wake: Arc<Notify>,
    tally: Tally,
}

/// What became of points, of all stores outside together.
#[derive(Debug, Clone)]
pub struct Tally {
    pub sent: IntCounter,
    pub dropped: IntCounter,
    pub waiting: IntGauge,
}

/// Why a batch was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Refusal {
    /// It may be taken later.
    Later(String),
    /// So many of its points never will be, all where that is not said; the others were taken.
    Never(Option<u64>, String),
    /// There is no such database.
    NoDatabase,
}

/// Points as lines, with their times; the database is called as here, in another tenant than the default one `tenant:name`. No tenant's
/// name has a colon, so no two are called alike: a database of the default tenant that has one is called `default:name`.
pub fn batches<'a, 'b: 'a>(
    tenant: &str,
    database: &str,
    points: impl Iterator<Item = &'a (Line<'b>, i64)>,
) -> Vec<Batch> {
    // Not `/`, which InfluxDB has in no name.
    let is_plain = tenant == DEFAULT_TENANT && !database.contains(':');
    let database: Arc<str> = if is_plain { database.into() } else { format!("{tenant}:{database}").into() };
    let (mut batches, mut text, mut count) = (Vec::new(), String::new(), 0);
    for (line, time_ns) in points {
        count += u64::from(line::write(&point(line, *time_ns), &mut text));
        if text.len() >= BATCH_MAX_BYTES {
            let lines = Bytes::from(std::mem::take(&mut text));
            batches.push(Batch { database: Arc::clone(&database), lines, points: std::mem::take(&mut count) });
        }
    }
    if !text.is_empty() {
        batches.push(Batch { database, lines: Bytes::from(text), points: count });
    }
    batches
}

fn point(line: &Line<'_>, time_ns: i64) -> Point {
    let tags = line.tags.iter().map(|(name, value)| (name.clone().into_owned(), value.clone().into_owned()));
    let fields = line.fields.iter().map(|(name, value)| (name.clone().into_owned(), value.clone()));
    Point {
        measurement: line.measurement.clone().into_owned(),
        tags: tags.collect(),
        fields: fields.collect(),
        time_ns,
    }
}

// === impl Forward ===

impl Forward {
    /// Nothing waits yet.
    pub fn new(config: ForwardConfig, tally: Tally) -> Self {
        let queue = Queue::new(config.buffer.0);
        Self {
            config: Arc::new(config),
            http: Transport::default().http(),
            queue: Arc::new(Mutex::new(queue)),
            wake: Arc::default(),
            tally,
        }
    }

    /// Takes a batch; never waits.
    pub fn offer(&self, batch: Batch) {
        self.change(|queue| queue.push(batch));
        self.wake.notify_one();
    }

    /// Sends what is offered until `stop`; then what there is, until something is not taken.
    pub async fn run(self, stop: CancellationToken) {
        let (mut pause, mut is_taken) = (self.config.retry.0, true);
        loop {
            let mut taken = None;
            self.change(|queue| {
                taken = queue.take();
                0
            });
            let Some(batch) = taken else {
                if stop.is_cancelled() {
                    return;
                }
                tokio::select! {
                    () = self.wake.notified() => {}
                    () = stop.cancelled() => {}
                }
                continue;
            };
            let points = batch.points;
            match self.send(&batch).await {
                Ok(()) => {
                    self.tally.sent.inc_by(points);
                    if !std::mem::replace(&mut is_taken, true) {
                        tracing::info!(store = ?self.config, "points are taken again");
                    }
                    pause = self.config.retry.0;
                }
                Err(Refusal::Never(count, reason)) => {
                    let dropped = count.unwrap_or(points).min(points);
                    self.tally.dropped.inc_by(dropped);
                    self.tally.sent.inc_by(points - dropped);
                    tracing::warn!(store = ?self.config, dropped, reason, "points were refused for good");
                }
                Err(refusal @ (Refusal::Later(_) | Refusal::NoDatabase)) => {
                    if std::mem::replace(&mut is_taken, false) {
                        tracing::warn!(store = ?self.config, ?refusal, "points are not taken; trying on");
                    }
                    self.change(|queue| queue.put_back(batch));
                    if stop.is_cancelled() {
                        return;
                    }
                    // Woken by the stop, it tries once more.
                    let _ = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
                    pause = pause.saturating_mul(2).min(PAUSE_MAX);
                }
            }
        }
    }

    /// Changes what waits; `change` gives the points that there was no room for.
    fn change(&self, change: impl FnOnce(&mut Queue) -> u64) {
        let mut queue: MutexGuard<'_, Queue> = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let before = queue.bytes();
        self.tally.dropped.inc_by(change(&mut queue));
        self.tally.waiting.add(queue.bytes().cast_signed() - before.cast_signed());
    }

    async fn send(&self, batch: &Batch) -> Result<(), Refusal> {
        let outcome = self.write(batch).await;
        if outcome != Err(Refusal::NoDatabase) {
            return outcome;
        }
        self.create(&batch.database).await?;
        match self.write(batch).await {
            // One database holds up no other.
            Err(Refusal::NoDatabase) => {
                Err(Refusal::Never(None, format!("there is no database {:?}, and none is made", batch.database)))
            }
            outcome => outcome,
        }
    }

    async fn write(&self, batch: &Batch) -> Result<(), Refusal> {
        let request = self.http.post(self.config.url.clone()).query(&[("db", &*batch.database), ("precision", "ns")]);
        let answer = self.dressed(request).body(batch.lines.clone()).send().await;
        let mut answer = answer.map_err(|error| Refusal::Later(chain(&error.without_url())))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let mut reason = format!("{status} ");
        while let Ok(Some(piece)) = answer.chunk().await {
            // Writing to a string does not fail.
            let _ = write!(reason, "{}", String::from_utf8_lossy(&piece));
            if reason.len() > REASON_MAX_BYTES {
                break;
            }
        }
        Err(refusal(status, reason))
    }

    /// Makes a database. That there can be none of this name InfluxDB says with 200: the write after it shows that.
    async fn create(&self, database: &str) -> Result<(), Refusal> {
        let url = query_of(&self.config.url).map_err(|error| Refusal::Later(error.to_string()))?;
        let name = database.replace('\\', "\\\\").replace('"', "\\\"");
        let request = self.http.post(url).query(&[("q", format!("CREATE DATABASE \"{name}\""))]);
        let answer = self.dressed(request).send().await;
        let answer = answer.map_err(|error| Refusal::Later(chain(&error.without_url())))?;
        uncreated(answer.status(), database)
    }

    fn dressed(&self, request: RequestBuilder) -> RequestBuilder {
        let request = request.timeout(self.config.timeout.0);
        match &self.config.token {
            Some(token) => request.header(header::AUTHORIZATION, format!("Token {token}")),
            None => request,
        }
    }
}

/// Where a store that takes lines at `write` takes statements.
fn query_of(write: &Url) -> Result<Url, url::ParseError> {
    let mut url = write.join("query")?;
    url.set_query(None);
    Ok(url)
}

/// What the status of an answer to the making of a database means.
fn uncreated(status: StatusCode, database: &str) -> Result<(), Refusal> {
    let reason = format!("{status} for the making of the database {database:?}");
    match status {
        status if status.is_success() => Ok(()),
        StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN => Err(Refusal::Never(None, reason)),
        _ => Err(Refusal::Later(reason)),
    }
}

fn refusal(status: StatusCode, reason: String) -> Refusal {
    match status {
        StatusCode::NOT_FOUND => Refusal::NoDatabase,
        // A token that is wrong is 401; 403 is of this one database.
        StatusCode::BAD_REQUEST
        | StatusCode::FORBIDDEN
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNPROCESSABLE_ENTITY => Refusal::Never(dropped(&reason), reason),
        // A token that is wrong, a store that is full or not yet up: a matter of time, or of its operator.
        _ => Refusal::Later(reason),
    }
}

/// How many points a store says that it did not take: `partial write: … dropped=3`.
fn dropped(reason: &str) -> Option<u64> {
    let (_, rest) = reason.split_once("dropped=")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_what_was_written_and_no_batch_is_long() {
        let text = "a\\ b,tag=x\\,y f=1.5,n=2i,s=\"say \\\"it\\\"\",ok=true 7\n".repeat(10_000);
        let points: Vec<_> = line::lines(&text).map(|(_, line)| (line.unwrap(), 7)).collect();
        let sent = batches("default", "shop", points.iter());
        assert!(sent.len() > 1 && sent.iter().all(|batch| batch.lines.len() < BATCH_MAX_BYTES + 100));
        assert_eq!(sent.iter().map(|batch| batch.points).sum::<u64>(), 10_000);
        let mut read = Vec::new();
        for batch in &sent {
            let text = std::str::from_utf8(&batch.lines).unwrap();
            read.extend(line::lines(text).map(|(_, line)| format!("{:?}", line.unwrap())));
        }
        let written: Vec<_> = line::lines(&text).map(|(_, line)| format!("{:?}", line.unwrap())).collect();
        assert_eq!(read, written);
        assert_eq!(&*batches("acme", "shop", points.iter().take(1))[0].database, "acme:shop");
        let called = |database: &str| batches("default", database, points.iter().take(1))[0].database.to_string();
        assert_eq!(
            (called("acme:shop"), called("acme/shop")),
            ("default:acme:shop".to_owned(), "acme/shop".to_owned())
        );
    }

    #[test]
    fn what_a_store_says_is_for_later_or_for_good() {
        let said = |status: u16, reason: &str| refusal(StatusCode::from_u16(status).unwrap(), reason.to_owned());
        let partial = "400 partial write: field type conflict dropped=3";
        assert_eq!(said(400, partial), Refusal::Never(Some(3), partial.to_owned()));
        assert_eq!(said(413, "long"), Refusal::Never(None, "long".to_owned()));
        assert_eq!(said(404, "database not found"), Refusal::NoDatabase);
        assert_eq!(said(403, "no grants"), Refusal::Never(None, "no grants".to_owned()));
        for status in [401, 429, 500, 503] {
            assert_eq!(said(status, "no"), Refusal::Later("no".to_owned()));
        }
        let made = |status: u16| uncreated(StatusCode::from_u16(status).unwrap(), "acme:shop");
        assert_eq!(made(200), Ok(()));
        assert!(matches!(made(403), Err(Refusal::Never(None, _))));
        assert!(matches!(made(401), Err(Refusal::Later(_))) && matches!(made(503), Err(Refusal::Later(_))));
        let query = query_of(&Url::parse("http://u:p@store:8086/influx/write?u=1").unwrap()).unwrap();
        assert_eq!(query.as_str(), "http://u:p@store:8086/influx/query");
    }
}
