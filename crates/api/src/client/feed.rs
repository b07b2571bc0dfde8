//! The feed of a peer router: lines of JSON that come for as long as both live.

use reqwest::{Method, Response};

use super::{Call, Client, ClientError};
use crate::page::Page;
use crate::peers::{LINE_MAX_BYTES, Line, PROTOCOL, Peer};

/// A feed that is open. Dropping it closes the connection.
#[derive(Debug)]
pub struct Feed {
    answer: Response,
    url: String,
    buffer: Vec<u8>,
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
        let call = Call { method: Method::GET, request: self.authorised(Method::GET, url.clone()), url: url.clone() };
        Ok(Feed { answer: call.send().await?, url: url.into(), buffer: Vec::new(), scanned: 0 })
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
            if let Some(at) = self.buffer[self.scanned..].iter().position(|byte| *byte == b'\n') {
                let rest = self.buffer.split_off(self.scanned + at + 1);
                let line = std::mem::replace(&mut self.buffer, rest);
                self.scanned = 0;
                return serde_json::from_slice(&line).map(Some).map_err(|error| self.malformed(error.to_string()));
            }
            self.scanned = self.buffer.len();
            let chunk = self.answer.chunk().await.map_err(|source| ClientError::Unreachable {
                method: Method::GET,
                url: self.url.clone(),
                source,
            })?;
            let Some(chunk) = chunk else { return Ok(None) };
            if self.buffer.len() + chunk.len() > LINE_MAX_BYTES {
                return Err(self.malformed(format!("a line is longer than {LINE_MAX_BYTES} bytes")));
            }
            self.buffer.extend_from_slice(&chunk);
        }
    }

    fn malformed(&self, reason: String) -> ClientError {
        ClientError::Malformed { method: Method::GET, url: self.url.clone(), reason }
    }
}
