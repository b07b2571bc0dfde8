//! Calls of the surrogates' own API.

use reqwest::Method;

use super::{Client, ClientError};
use crate::vcdn::{Purge, Purged, Stats};

impl Client {
    /// Drops what surrogates keep: one is asked, and tells the others. Repeating it is safe.
    pub async fn purge(&self, purge: &Purge) -> Result<Purged, ClientError> {
        self.call(Method::POST, "vcdn", "purges").body(purge).json().await
    }

    /// What a surrogate has counted since it was started, and what it keeps.
    pub async fn edge_stats(&self) -> Result<Stats, ClientError> {
        self.call(Method::GET, "vcdn", "stats").json().await
    }
}
