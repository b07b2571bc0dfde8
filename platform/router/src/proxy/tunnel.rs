//! Upgraded connections (WebSocket): bytes both ways until one side ends or the router stops.

use std::sync::Arc;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::registry::Call;

/// The open tunnels and their bound. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Tunnels {
    tasks: TaskTracker,
    slots: Arc<Semaphore>,
    stop: CancellationToken,
}

/// Room for one tunnel.
#[derive(Debug)]
pub(super) struct Slot(OwnedSemaphorePermit);

// === impl Tunnels ===

impl Tunnels {
    pub(super) fn new(limit: usize) -> Self {
        Self { tasks: TaskTracker::new(), slots: Arc::new(Semaphore::new(limit)), stop: CancellationToken::new() }
    }

    /// Room for a tunnel, if there is some.
    pub(super) fn slot(&self) -> Option<Slot> {
        Arc::clone(&self.slots).try_acquire_owned().ok().map(Slot)
    }

    /// Connects two sides, once both have changed their protocol.
    pub(super) fn connect(&self, client: OnUpgrade, endpoint: OnUpgrade, call: Call, slot: Slot) {
        let work = async move {
            let _held = (call, slot);
            let (client, endpoint) = match tokio::try_join!(client, endpoint) {
                Ok(sides) => sides,
                Err(error) => return tracing::debug!(%error, "a connection was not upgraded"),
            };
            let copied = tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(endpoint)).await;
            if let Err(error) = copied {
                tracing::debug!(%error, "a tunnel broke");
            }
        };
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! { () = work => {}, () = stop.cancelled() => {} }
        });
    }

    /// Owns the tunnels until `stop`; then it cuts them and waits for their tasks.
    pub(crate) async fn until(self, stop: CancellationToken) {
        stop.cancelled().await;
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

// === impl Slot ===

impl Drop for Slot {
    fn drop(&mut self) {
        tracing::trace!(left = self.0.semaphore().available_permits(), "a tunnel ended");
    }
}
