//! Calls of the surrogates' own API.

use reqwest::Method;

use super::{Client, ClientError};
use crate::vcdn::{Purge, Purged};

impl Client {
    /// Drops what surrogates keep: one is asked, and tells the others. Repeating it is safe.
    pub async fn purge(&self, purge: &Purge) -> Result<Purged, ClientError> {
        self.call(Method::POST, "vcdn", "purges").body(purge).json().await
    }
}
