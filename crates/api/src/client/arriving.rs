//! An answer that comes for as long as both sides live, a bounded piece at a time.

use reqwest::{Method, Response};
use url::Url;

use super::{Call, ClientError};

/// What has come and was not taken. Dropping it closes the connection.
#[derive(Debug)]
pub(super) struct Arriving {
    answer: Response,
    url: String,
    pub(super) buffer: Vec<u8>,
}

// === impl Arriving ===

impl Arriving {
    /// Sends the request and waits for the head of the answer.
    pub(super) async fn open(url: Url, request: reqwest::RequestBuilder) -> Result<Self, ClientError> {
        let call = Call { method: Method::GET, request, url: url.clone() };
        Ok(Self { answer: call.send().await?, url: url.into(), buffer: Vec::new() })
    }

    /// Takes the first `length` bytes of the buffer.
    pub(super) fn take(&mut self, length: usize) -> Vec<u8> {
        let rest = self.buffer.split_off(length);
        std::mem::replace(&mut self.buffer, rest)
    }

    /// Waits until more has come, of `what` that has at most `max_bytes`; false where the other side ended the answer. It may be
    /// dropped and called again: nothing gets lost.
    pub(super) async fn more(&mut self, what: &str, max_bytes: usize) -> Result<bool, ClientError> {
        let unreachable = |source| ClientError::Unreachable { method: Method::GET, url: self.url.clone(), source };
        let Some(chunk) = self.answer.chunk().await.map_err(unreachable)? else { return Ok(false) };
        if self.buffer.len() + chunk.len() > max_bytes {
            return Err(self.malformed(format!("{what} is longer than {max_bytes} bytes")));
        }
        self.buffer.extend_from_slice(&chunk);
        Ok(true)
    }

    pub(super) fn malformed(&self, reason: String) -> ClientError {
        ClientError::Malformed { method: Method::GET, url: self.url.clone(), reason }
    }
}
