//! Upgraded connections (WebSocket): bytes both ways until one side ends, its endpoint is killed, or the router
//! stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flame_service_host::Stays;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::registry::Call;

/// The open tunnels and their bound. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Tunnels {
    tasks: TaskTracker,
    room: Arc<Room>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Room {
    open: AtomicUsize,
    limit: AtomicUsize,
}

/// Room for one tunnel.
#[derive(Debug)]
pub(super) struct Slot {
    room: Arc<Room>,
    /// The client's connection, where others share it.
    _stays: Option<Stays>,
}

// === impl Tunnels ===

impl Tunnels {
    pub(super) fn new(limit: usize) -> Self {
        let room = Arc::new(Room { open: AtomicUsize::new(0), limit: AtomicUsize::new(limit) });
        Self { tasks: TaskTracker::new(), room, stop: CancellationToken::new() }
    }

    /// Takes at most `limit` from now on; those that are open stay.
    pub(super) fn set_limit(&self, limit: usize) {
        self.room.limit.store(limit, Ordering::Relaxed);
    }

    /// Room for a tunnel, if there is some.
    pub(super) fn slot(&self, stays: Option<Stays>) -> Option<Slot> {
        let limit = self.room.limit.load(Ordering::Relaxed);
        let more = |open| (open < limit).then_some(open + 1);
        self.room.open.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        Some(Slot { room: Arc::clone(&self.room), _stays: stays })
    }

    /// Connects two sides, once both have changed their protocol.
    pub(super) fn connect(&self, client: OnUpgrade, endpoint: OnUpgrade, call: Call, slot: Slot) {
        let killed = call.killed_later();
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
            tokio::select! { () = work => {}, () = killed => {}, () = stop.cancelled() => {} }
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
        self.room.open.fetch_sub(1, Ordering::AcqRel);
    }
}
