//! How the client's connections are made. A part whose certificate was renewed replaces it under all its clients: calls
//! from then on open new connections, and none is left that shows what has ended.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// Time that an unused connection is kept: less than servers keep it, so that no call meets one that is being closed.
const POOL_IDLE: Duration = Duration::from_secs(5);

/// A pool of connections. Cheap to clone: all clones change together.
#[derive(Debug, Clone)]
pub struct Transport(Arc<RwLock<reqwest::Client>>);

// === impl Transport ===

impl Default for Transport {
    /// What the system believes of `https:`, and nothing to show.
    fn default() -> Self {
        Self::of(builder())
    }
}

impl Transport {
    /// Connections as `tls` says.
    #[must_use]
    pub fn over_tls(tls: rustls::ClientConfig) -> Self {
        Self::of(builder().tls_backend_preconfigured(tls))
    }

    /// Leaves the connections that there are: calls from now on open new ones.
    pub fn replace(&self, tls: rustls::ClientConfig) {
        let fresh = build(builder().tls_backend_preconfigured(tls));
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = fresh;
    }

    /// The pool that is in use now.
    #[must_use]
    pub fn http(&self) -> reqwest::Client {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn of(builder: reqwest::ClientBuilder) -> Self {
        Self(Arc::new(RwLock::new(build(builder))))
    }
}

fn build(builder: reqwest::ClientBuilder) -> reqwest::Client {
    builder.build().expect("the TLS backend is compiled in, and is the one that was given")
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(3))
        .pool_idle_timeout(POOL_IDLE)
}
