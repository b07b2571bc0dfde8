//! From whoever measures to whoever collects: a bounded buffer that drops the oldest, and says how many.
//!
//! [`Reporter::report`] never waits and never fails, so a request is never late for being measured. [`Outbox::run`] sends
//! what there is once an interval; what could not be sent stays, as far as there is room. It does not know how things are
//! sent: the caller brings that.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::line;
use crate::point::Point;

/// Points in one sending: a collector that is back after a while gets what waited in pieces.
const BATCH_POINTS: usize = 5_000;

/// Takes measurements. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reporter(Arc<Mutex<Buffer>>);

/// The other end: sends them.
#[derive(Debug)]
pub struct Outbox {
    buffer: Arc<Mutex<Buffer>>,
    interval: Duration,
}

/// What became of measurements so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Points that were taken by the collector.
    pub sent: u64,
    /// Points that there was no room for.
    pub dropped: u64,
    /// Points that wait.
    pub waiting: usize,
}

/// Why a collector did not take what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It may take the same later.
    Later,
    /// It never will.
    Never,
}

#[derive(Debug)]
struct Buffer {
    points: VecDeque<Point>,
    room: usize,
    sent: u64,
    dropped: u64,
}

/// A buffer for `room` points whose outbox sends every `interval`.
#[must_use]
pub fn reporter(room: usize, interval: Duration) -> (Reporter, Outbox) {
    let buffer = Buffer { points: VecDeque::new(), room: room.max(1), sent: 0, dropped: 0 };
    let buffer = Arc::new(Mutex::new(buffer));
    (Reporter(Arc::clone(&buffer)), Outbox { buffer, interval })
}

// === impl Reporter ===

impl Reporter {
    /// Takes a point. Where there is no room the oldest one goes.
    pub fn report(&self, point: Point) {
        let mut buffer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.points.len() >= buffer.room {
            buffer.points.pop_front();
            buffer.dropped += 1;
        }
        buffer.points.push_back(point);
    }

    /// What became of points so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let buffer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Counts { sent: buffer.sent, dropped: buffer.dropped, waiting: buffer.points.len() }
    }
}

// === impl Outbox ===

impl Outbox {
    /// Sends what was reported every interval until `stop`, then once more. `collect` is asked for what is measured only
    /// when it is reported; `send` gets lines.
    pub async fn run<S, F>(self, mut collect: impl FnMut() -> Vec<Point>, send: S, stop: CancellationToken)
    where
        S: Fn(Bytes) -> F,
        F: Future<Output = Result<(), Refusal>>,
    {
        let mut tick = tokio::time::interval(self.interval);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // The first one is at once: nothing has been measured yet.
        tick.tick().await;
        loop {
            let goes_on = tokio::select! {
                _ = tick.tick() => true,
                () = stop.cancelled() => false,
            };
            let reporter = Reporter(Arc::clone(&self.buffer));
            collect().into_iter().for_each(|point| reporter.report(point));
            while self.send_some(&send).await {}
            if !goes_on {
                return;
            }
        }
    }

    /// Sends the oldest points; true where there are more and it is of use to go on.
    async fn send_some<S, F>(&self, send: &S) -> bool
    where
        S: Fn(Bytes) -> F,
        F: Future<Output = Result<(), Refusal>>,
    {
        let taken: Vec<Point> = {
            let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
            let count = buffer.points.len().min(BATCH_POINTS);
            buffer.points.drain(..count).collect()
        };
        let mut text = String::new();
        let said = taken.iter().filter(|point| line::write(point, &mut text)).count();
        if said == 0 {
            return !taken.is_empty();
        }
        let answer = send(Bytes::from(text)).await;
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(()) => {
                buffer.sent += said as u64;
                !buffer.points.is_empty()
            }
            Err(Refusal::Never) => {
                buffer.dropped += said as u64;
                !buffer.points.is_empty()
            }
            Err(Refusal::Later) => {
                // Back to where they were, as far as there is still room: the oldest go.
                let room = buffer.room.saturating_sub(buffer.points.len());
                let lost = taken.len().saturating_sub(room);
                buffer.dropped += lost as u64;
                for point in taken.into_iter().skip(lost).rev() {
                    buffer.points.push_front(point);
                }
                false
            }
        }
    }
}
