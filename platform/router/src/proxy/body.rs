//! Bodies on their way through: never gathered, a frame at a time, with backpressure from one side to the other.
//!
//! The request body is *offered*: an attempt borrows it, and as long as no byte was taken the next attempt can borrow
//! it again. Answer bodies are in `watched`.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

use super::upstream::Cause;

/// The client's body, for one attempt after another.
#[derive(Clone)]
pub(super) struct Offer {
    shared: Option<Arc<Shared>>,
    size: SizeHint,
    began: Instant,
}

struct Shared {
    body: Mutex<Body>,
    taken: AtomicBool,
    ended: AtomicBool,
    /// Whether the last poll found the client without data.
    waits: AtomicBool,
    /// When a frame last moved, milliseconds after the offer.
    moved_ms: AtomicU64,
    began: Instant,
}

/// The client's body as one attempt sees it.
pub(super) struct Lent {
    offer: Offer,
    gate: Option<Gate>,
}

/// Who kept the other waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stalled {
    Client,
    Endpoint,
}

/// Holds a body back until the endpoint says 100 (RFC 9110 section 10.1.1).
#[derive(Clone, Default)]
pub(super) struct Gate(Arc<GateState>);

#[derive(Default)]
struct GateState {
    state: AtomicU8,
    waker: AtomicWaker,
}

/// Gives the body up when the answer is over, unless it was let through before.
pub(super) struct GiveUp(Gate);

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// The client's side broke.
    #[error("the client's body broke off")]
    Client(#[source] axum::Error),
    /// The endpoint answered without wanting the body.
    #[error("the endpoint answered without waiting for the body")]
    Unwanted,
    /// The endpoint's side broke.
    #[error("the endpoint broke off in the middle of its answer")]
    Endpoint(#[source] Cause),
    /// The endpoint's body ended, and was not all of it.
    #[error("the endpoint's body ended {0} bytes before the end of the answer")]
    Short(u64),
    /// The endpoint was killed.
    #[error("the endpoint was killed in the middle of its answer")]
    Killed,
    /// The endpoint went silent.
    #[error("the endpoint sent nothing for {0:?} in the middle of its answer")]
    Silent(Duration),
}

const SHUT: u8 = 0;
const OPEN: u8 = 1;
const GIVEN_UP: u8 = 2;

// === impl Offer ===

impl Offer {
    pub(super) fn new(body: Body) -> Self {
        let began = Instant::now();
        let size = body.size_hint();
        let shared = (!body.is_end_stream()).then(|| {
            Arc::new(Shared {
                body: Mutex::new(body),
                taken: AtomicBool::new(false),
                ended: AtomicBool::new(false),
                waits: AtomicBool::new(false),
                moved_ms: AtomicU64::new(0),
                began,
            })
        });
        Self { shared, size, began }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shared.is_none()
    }

    /// Whether a byte is gone, so that nobody else can have the whole.
    pub(super) fn was_taken(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| shared.taken.load(Ordering::Acquire))
    }

    pub(super) fn lend(&self, gate: Option<Gate>) -> Lent {
        Lent { offer: self.clone(), gate }
    }

    /// Ends when the answer has not begun `patience` after the request came, or its body last moved.
    pub(super) async fn stalled(&self, patience: Duration) -> Stalled {
        loop {
            let moved_ms = self.shared.as_ref().map_or(0, |shared| shared.moved_ms.load(Ordering::Relaxed));
            let moved = self.began + Duration::from_millis(moved_ms);
            if moved + patience <= Instant::now() {
                return self.slow_side();
            }
            tokio::time::sleep_until(moved + patience).await;
        }
    }

    fn slow_side(&self) -> Stalled {
        let client = self
            .shared
            .as_ref()
            .is_some_and(|shared| shared.waits.load(Ordering::Relaxed) && !shared.ended.load(Ordering::Relaxed));
        if client { Stalled::Client } else { Stalled::Endpoint }
    }
}

// === impl Shared ===

impl Shared {
    fn note(&self, frame: Option<&Result<Frame<Bytes>, axum::Error>>) {
        self.waits.store(false, Ordering::Relaxed);
        self.taken.store(true, Ordering::Release);
        if frame.is_none() {
            self.ended.store(true, Ordering::Relaxed);
        }
        let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved_ms.store(ms, Ordering::Relaxed);
    }
}

// === impl Lent ===

impl Lent {
    /// No body at all.
    pub(super) fn nothing() -> Self {
        Offer::new(Body::empty()).lend(None)
    }

    /// What holds it back.
    pub(super) fn gate(&self) -> Option<Gate> {
        self.gate.clone()
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Some(shared) = &self.offer.shared else { return Poll::Ready(None) };
        if let Some(gate) = &self.gate
            && !ready!(gate.poll_open(cx))
        {
            return Poll::Ready(Some(Err(Broken::Unwanted)));
        }
        let mut body = shared.body.lock().unwrap_or_else(PoisonError::into_inner);
        match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Ready(frame) => {
                shared.note(frame.as_ref());
                Poll::Ready(frame.map(|frame| frame.map_err(Broken::Client)))
            }
            Poll::Pending => {
                shared.waits.store(true, Ordering::Relaxed);
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.offer.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.offer.size
    }
}

// === impl Gate ===

impl Gate {
    /// Lets the body through.
    pub(super) fn open(&self) {
        self.turn(OPEN);
    }

    fn turn(&self, state: u8) {
        // The first decision stays.
        if self.0.state.compare_exchange(SHUT, state, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.0.waker.wake();
        }
    }

    fn poll_open(&self, cx: &Context<'_>) -> Poll<bool> {
        self.0.waker.register(cx.waker());
        match self.0.state.load(Ordering::Acquire) {
            SHUT => Poll::Pending,
            state => Poll::Ready(state == OPEN),
        }
    }

    pub(super) fn give_up_later(self) -> GiveUp {
        GiveUp(self)
    }
}

impl Drop for GiveUp {
    fn drop(&mut self) {
        self.0.turn(GIVEN_UP);
    }
}
