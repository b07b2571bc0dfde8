//! One body to many clients, each at its own pace: the blocks are held until the last client that hangs on them is done.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::watch;

use super::Shared;

/// A body that is coming. Its length is bounded by who lets it in.
#[derive(Debug)]
pub(crate) struct Fan(watch::Sender<State>);

#[derive(Debug, Default)]
struct State {
    blocks: Vec<Bytes>,
    /// Whether it is over, and whether that is its end.
    over: Option<bool>,
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

/// The body as one client gets it.
pub(crate) fn read(shared: Arc<Shared>) -> impl Stream<Item = Result<Bytes, BrokeOff>> + Send {
    let states = shared.fan.0.subscribe();
    futures_util::stream::unfold(Some((shared, states, 0)), async |at| {
        let (shared, mut states, next) = at?;
        let found = {
            let seen = states.wait_for(|state| state.blocks.len() > next || state.over.is_some()).await;
            let state = seen.expect("what is shared holds its sender");
            match (state.blocks.get(next), state.over) {
                (Some(block), _) => Ok(block.clone()),
                (None, Some(true)) => return None,
                (None, Some(false) | None) => Err(BrokeOff),
            }
        };
        let then = found.is_ok().then_some((shared, states, next + 1));
        Some((found, then))
    })
}
