//! Requests at a steady rate, whatever becomes of them: each has its time, and its delay counts from that time, so that
//! a stall is seen by all requests that it meets and not only by one (no coordinated omission).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::client::{self, Answer, Failed};
use crate::samples::Samples;

/// Requests a second.
pub(super) const PER_S: u32 = 500;
/// Longer than a proxy waits for several endpoints.
const PATIENCE: Duration = Duration::from_secs(10);
/// Requests whose time has come and that have not been sent.
const WAITING_MAX: usize = 4096;

/// What one request met.
#[derive(Debug, Clone)]
pub(super) struct Met {
    /// When its time was.
    pub at: Instant,
    pub delay: Duration,
    pub answer: Result<Answer, String>,
}

/// What all requests met, in the order of their times.
#[derive(Debug)]
pub(super) struct Timeline(Vec<Met>);

struct Load {
    port: u16,
    path: String,
    body: Vec<u8>,
    idle: Mutex<Vec<TcpStream>>,
}

/// Asks for `path` at [`PER_S`] for `span`; `meanwhile` runs beside it.
pub(super) async fn run<T>(
    (port, path, body): (u16, String, Vec<u8>),
    span: Duration,
    meanwhile: impl Future<Output = Result<T>>,
) -> Result<(Timeline, T)> {
    let load = Arc::new(Load { port, path, body, idle: Mutex::default() });
    let (times, mut due) = mpsc::channel(WAITING_MAX);
    // The runtime's timer counts whole milliseconds: a thread of its own is nearer to the times.
    let clock = tokio::task::spawn_blocking(move || {
        let began = Instant::now();
        let every = Duration::from_secs(1) / PER_S;
        let mut at = began;
        while at < began + span {
            while let Some(left) = at.checked_duration_since(Instant::now()) {
                std::thread::park_timeout(left);
            }
            if times.blocking_send(at).is_err() {
                return;
            }
            at += every;
        }
    });
    let requests = async {
        let mut requests = JoinSet::new();
        while let Some(at) = due.recv().await {
            requests.spawn(Arc::clone(&load).request(at));
        }
        requests.join_all().await
    };
    let (mut met, done) = tokio::join!(requests, meanwhile);
    clock.await.context("the clock of the requests")?;
    met.sort_by_key(|met| met.at);
    Ok((Timeline(met), done?))
}

// === impl Load ===

impl Load {
    async fn request(self: Arc<Self>, at: Instant) -> Met {
        let answer = match timeout(PATIENCE, self.ask()).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(failed)) => Err(format!("{failed:#}")),
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        Met { at, delay: at.elapsed(), answer }
    }

    async fn ask(&self) -> Result<Answer, Failed> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(mut stream) = idle {
            match client::ask(&mut stream, &self.path, &self.body).await {
                // As every client does, once, on a new connection.
                Err(Failed::Ended) => {}
                answer => return self.keep(stream, answer),
            }
        }
        let connected = TcpStream::connect(("127.0.0.1", self.port)).await.context("connect");
        let mut stream = connected?;
        let answer = client::ask(&mut stream, &self.path, &self.body).await;
        self.keep(stream, answer)
    }

    fn keep(&self, stream: TcpStream, answer: Result<Answer, Failed>) -> Result<Answer, Failed> {
        if answer.is_ok() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
        }
        answer
    }
}

// === impl Timeline ===

impl Timeline {
    /// Delays of the requests whose time was within a span, milliseconds; failed ones too.
    pub(super) fn delays_ms(&self, from: Instant, to: Instant) -> Samples {
        let within = self.0.iter().filter(|met| met.at >= from && met.at < to);
        within.map(|met| met.delay.as_secs_f64() * 1000.0).collect()
    }

    /// When the first one's time was.
    pub(super) fn began(&self) -> Result<Instant> {
        Ok(self.0.first().context("no request was made")?.at)
    }

    /// When the last one's time was.
    pub(super) fn ended(&self) -> Result<Instant> {
        Ok(self.0.last().context("no request was made")?.at)
    }

    /// How many failed, and why the first did.
    pub(super) fn failed(&self) -> (u32, Option<&str>) {
        let mut failures = self.0.iter().filter_map(|met| met.answer.as_ref().err());
        let first = failures.next();
        (first.map_or(0, |_| 1 + u32::try_from(failures.count()).unwrap_or(u32::MAX)), first.map(String::as_str))
    }

    /// When the first answer of `who` was there that began after `from`.
    pub(super) fn first_of(&self, who: &str, from: Instant) -> Option<Instant> {
        let those = self.0.iter().filter(|met| met.answer.as_ref().is_ok_and(|answer| answer.who == who));
        those.map(|met| met.at + met.delay).filter(|done| *done >= from).min()
    }
}
