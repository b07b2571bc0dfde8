//! Live ladders: smaller renditions of what an encoder sends, made while it comes.
//!
//! One request is one ladder: its body is the source, its answer the renditions, and it lasts as long as the publication. So there is
//! nothing to find again, to expire or to clean up: where a side leaves, the `flame-media` child goes. This service decides what is
//! made ([`plan`]), has one child make it, and passes on what comes and goes without a look at it ([`session`]). It knows no key and tells
//! streaming nothing: who has the publication does. What there is no place for is refused, not slowed down.

mod owing;
pub mod plan;
pub mod session;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flame_cmaf::relay::RelayError;
use flame_media_child::{ChildError, PoolConfig};
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::config::LiveConfig;
use crate::metrics::LiveMetrics;

/// Why there is no ladder.
#[derive(Debug, Error)]
pub enum LadderError {
    /// All places are taken.
    #[error("{0} live ladders are being made, and this machine is set to make no more at once")]
    Full(usize),
    /// All places of one tenant are.
    #[error("{0} live ladders of this tenant are being made, and this machine is set to make no more of them at once")]
    Share(usize),
    /// What is wanted cannot be made of what comes.
    #[error("{0}")]
    Wanted(String),
    /// What came is no message.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// The first messages are others than they should be.
    #[error("{0}")]
    Order(&'static str),
    /// The description cannot be read.
    #[error("the description of the ladder cannot be read")]
    Head(#[source] serde_json::Error),
    /// It did not come in time.
    #[error("nothing that a ladder can be made of came within {} s", .0.as_secs())]
    Silent(Duration),
    /// The body broke off.
    #[error("the body broke off before anything could be made of it")]
    Broken(#[source] axum::Error),
    /// The media process.
    #[error("the media process makes no ladder of it")]
    Child(#[from] ChildError),
    /// Its pipe.
    #[error("the media process does not read")]
    Pipe(#[source] std::io::Error),
}

/// How many ladders each tenant has; those that have none are not there.
type Shares = Mutex<HashMap<String, usize>>;

/// A place for a ladder, until it is dropped.
struct Place {
    tenant: String,
    shares: Arc<Shares>,
    _permit: OwnedSemaphorePermit,
}

/// Makes ladders. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ladders(Arc<Parties>);

#[derive(Debug)]
struct Parties {
    config: LiveConfig,
    children: PoolConfig,
    places: Arc<Semaphore>,
    shares: Arc<Shares>,
    metrics: LiveMetrics,
    stop: CancellationToken,
}

// === impl Ladders ===

impl Ladders {
    /// None is being made yet; `children` says how they are started.
    pub(crate) fn new(config: LiveConfig, children: PoolConfig, metrics: LiveMetrics) -> Self {
        let places = Arc::new(Semaphore::new(config.at_once));
        let (shares, stop) = (Arc::default(), CancellationToken::new());
        Self(Arc::new(Parties { config, children, places, shares, metrics, stop }))
    }

    /// A place, where there is one and the tenant has not more than its share.
    fn place(&self, tenant: &str) -> Result<Place, LadderError> {
        let config = &self.0.config;
        let permit = Arc::clone(&self.0.places).try_acquire_owned();
        let permit = permit.map_err(|_| LadderError::Full(config.at_once))?;
        let mut shares = self.0.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if shares.get(tenant).copied().unwrap_or(0) >= config.at_once_of_tenant {
            return Err(LadderError::Share(config.at_once_of_tenant));
        }
        *shares.entry(tenant.to_owned()).or_default() += 1;
        Ok(Place { tenant: tenant.to_owned(), shares: Arc::clone(&self.0.shares), _permit: permit })
    }

    /// Ends all of them when the service stops.
    pub(crate) async fn until(self, stop: CancellationToken) {
        stop.cancelled().await;
        self.0.stop.cancel();
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get_mut(&self.tenant) {
            *share -= 1;
        }
        shares.retain(|_, share| *share > 0);
    }
}

impl LadderError {
    /// A word for `/metrics`.
    fn reason(&self) -> &'static str {
        match self {
            Self::Full(_) => "full",
            Self::Share(_) => "share",
            Self::Wanted(_) => "wanted",
            Self::Relay(_) | Self::Order(_) | Self::Head(_) | Self::Silent(_) | Self::Broken(_) => "request",
            Self::Child(_) | Self::Pipe(_) => "child",
        }
    }
}
