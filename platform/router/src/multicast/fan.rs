//! One body to many clients, each at its own pace: the blocks are held until the last client that hangs on them is done.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::watch;
use tokio_util::sync::ReusableBoxFuture;

/// A body that is coming. Its length is bounded by who lets it in.
#[derive(Debug)]
pub(crate) struct Fan(watch::Sender<State>);

#[derive(Debug, Default)]
struct State {
    blocks: Vec<Bytes>,
    /// Whether it is over, and whether that is its end.
    over: Option<bool>,
}

/// The body as one client gets it.
pub(crate) struct Reader {
    /// Keeps the blocks.
    _shared: Arc<super::Shared>,
    next: usize,
    step: ReusableBoxFuture<'static, (watch::Receiver<State>, Option<Result<Bytes, BrokeOff>>)>,
    is_done: bool,
}

/// The body ended before its end.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off on its way from the other site")]
pub(crate) struct BrokeOff;

// === impl Fan ===

impl Default for Fan {
    fn default() -> Self {
        Self(watch::Sender::new(State::default()))
    }
}

impl Fan {
    pub(crate) fn put(&self, block: Bytes) {
        self.0.send_modify(|state| state.blocks.push(block));
    }

    /// Ends it; what was ended stays so.
    pub(crate) fn end(&self, is_whole: bool) {
        self.0.send_modify(|state| {
            state.over.get_or_insert(is_whole);
        });
    }
}

// === impl Reader ===

impl Reader {
    pub(crate) fn new(shared: Arc<super::Shared>) -> Self {
        let step = ReusableBoxFuture::new(step(shared.fan.0.subscribe(), 0));
        Self { _shared: shared, next: 0, step, is_done: false }
    }
}

async fn step(
    mut states: watch::Receiver<State>,
    next: usize,
) -> (watch::Receiver<State>, Option<Result<Bytes, BrokeOff>>) {
    let seen = states.wait_for(|state| state.blocks.len() > next || state.over.is_some()).await;
    let found = seen.map_or(Some(Err(BrokeOff)), |state| match (state.blocks.get(next), state.over) {
        (Some(block), _) => Some(Ok(block.clone())),
        (None, Some(true)) => None,
        (None, Some(false) | None) => Some(Err(BrokeOff)),
    });
    (states, found)
}

impl Stream for Reader {
    type Item = Result<Bytes, BrokeOff>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_done {
            return Poll::Ready(None);
        }
        let (states, found) = std::task::ready!(self.step.poll(cx));
        self.next += 1;
        self.is_done = !matches!(found, Some(Ok(_)));
        let next = self.next;
        self.step.set(step(states, next));
        Poll::Ready(found)
    }
}
