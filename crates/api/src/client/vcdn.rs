//! Calls of the surrogates' own API.

use reqwest::Method;

use super::{Client, ClientError};
use crate::vcdn::{API, Purge, Purged, Stats};

impl Client {
    /// Drops what surrogates keep: one is asked, and tells the others, whatever their API is called. Repeating it is safe.
    pub async fn purge(&self, purge: &Purge) -> Result<Purged, ClientError> {
        self.purge_at(API, purge).await
    }

    /// The same of one that answers for its own API behind `api` (`vcdn-first.city`).
    pub async fn purge_at(&self, api: &str, purge: &Purge) -> Result<Purged, ClientError> {
        self.call(Method::POST, api, "purges").body(purge).json().await
    }

    /// What a surrogate has counted since it was started, and what it keeps.
    pub async fn edge_stats(&self) -> Result<Stats, ClientError> {
        self.edge_stats_at(API).await
    }

    /// What a surrogate behind `api` has counted since it was started, and what it keeps.
    pub async fn edge_stats_at(&self, api: &str) -> Result<Stats, ClientError> {
        self.call(Method::GET, api, "stats").json().await
    }
}
