//! A service that serves: until it is told to read again what it can, or to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use utoipa::openapi::OpenApi;

use crate::auth::Authority;
use crate::cores::Cores;
use crate::health::Health;
use crate::problem::chain;

/// Reads something again.
pub(crate) type Reload = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// A service that serves. Dropping it stops it at once; [`Running::stop`] lets requests finish.
pub struct Running {
    pub(crate) service: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) openapi: OpenApi,
    pub(crate) authority: Authority,
    pub(crate) reloads: Vec<Reload>,
    pub(crate) health: Health,
    pub(crate) tasks: JoinSet<()>,
    /// Keeps the place behind the name; ended before everything else.
    pub(crate) lease: JoinSet<()>,
    pub(crate) stop: CancellationToken,
    pub(crate) leave: CancellationToken,
    pub(crate) drain: Duration,
    /// The threads of its connections: the last that ends.
    pub(crate) _cores: Option<Arc<Cores>>,
}

// === impl Running ===

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("service", &self.service)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Running {
    /// The bound address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `/openapi.json` says.
    #[must_use]
    pub fn openapi(&self) -> &OpenApi {
        &self.openapi
    }

    /// Reads keys and revocations again (SIGHUP).
    pub fn reload(&self) {
        let keys = self.authority.reload().map_err(|error| chain(&error));
        for outcome in std::iter::once(keys).chain(self.reloads.iter().map(|reload| reload())) {
            match outcome {
                Ok(()) => tracing::info!(service = self.service, "reloaded"),
                Err(error) => tracing::error!(service = self.service, error, "not reloaded; what was there stays"),
            }
        }
    }

    /// Stops: leaves its name, then takes no new requests, open ones finish (at most for the drain time), tasks end.
    pub async fn stop(mut self) {
        self.health.stop();
        // First the name, while it still listens: what the router sent before it knew is answered. Both calls of a lease
        // have a deadline.
        self.leave.cancel();
        while self.lease.join_next().await.is_some() {}
        self.stop.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        // Tasks get a little longer than requests, so that they can note what they were doing.
        if tokio::time::timeout(self.drain + Duration::from_secs(2), all).await.is_err() {
            tracing::warn!(service = self.service, "tasks did not end in time and were cut off");
        }
    }

    /// Serves until SIGINT or SIGTERM, then stops; reloads on SIGHUP. For `main`.
    pub async fn until_signal(self) -> std::io::Result<()> {
        stop_wished(|| self.reload()).await?;
        self.stop().await;
        Ok(())
    }
}

/// Waits for SIGINT or SIGTERM, and does `reload` on each SIGHUP meanwhile.
///
/// # Errors
/// The signals cannot be listened for.
pub async fn stop_wished(reload: impl Fn()) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = hangup.recv() => reload(),
        }
    }
}
