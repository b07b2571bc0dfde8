//! The feed of a peer router: lines of JSON that come for as long as both live.

use reqwest::Method;

use super::arriving::Arriving;
use super::{Client, ClientError};
use crate::page::Page;
use crate::peers::{LINE_MAX_BYTES, Line, PROTOCOL, Peer};

/// A feed that is open. Dropping it closes the connection.
#[derive(Debug)]
pub struct Feed {
    arriving: Arriving,
    /// How much of the buffer is known to hold no end of a line.
    scanned: usize,
}

// === impl Client ===

impl Client {
    /// Opens the feed of the router's own registrations. It has no deadline: who waits for a line sets one.
    pub async fn peer_feed(&self) -> Result<Feed, ClientError> {
        let mut url = self.router.clone();
        url.set_path("/api/router/peers/feed");
        url.set_query(Some(&format!("protocol={PROTOCOL}")));
        let request = self.authorised(Method::GET, url.clone());
        Ok(Feed { arriving: Arriving::open(url, request).await?, scanned: 0 })
    }

    /// The routers of other sites, as the router sees them.
    pub async fn peers(&self) -> Result<Page<Peer>, ClientError> {
        self.router_call(Method::GET, "peers").json().await
    }
}

// === impl Feed ===

impl Feed {
    /// The next line; `None` where the router ended the feed. It may be dropped and called again: nothing gets lost.
    pub async fn next(&mut self) -> Result<Option<Line>, ClientError> {
        loop {
            if let Some(at) = self.arriving.buffer[self.scanned..].iter().position(|byte| *byte == b'\n') {
                let line = self.arriving.take(self.scanned + at + 1);
                self.scanned = 0;
                let line = serde_json::from_slice(&line).map(Some);
                return line.map_err(|error| self.arriving.malformed(error.to_string()));
            }
            self.scanned = self.arriving.buffer.len();
            if !self.arriving.more("a line", LINE_MAX_BYTES).await? {
                return Ok(None);
            }
        }
    }
}
