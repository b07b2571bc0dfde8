//! The catalogue's change feed: a page at a time, or as it happens (server-sent events).

use reqwest::{Method, header};

use super::arriving::Arriving;
use super::{Client, ClientError};
use crate::metadata::{ChangeNotice, ChangePage, ChangesQuery};

/// Longest event that is read.
const EVENT_MAX_BYTES: usize = 64 * 1024;

/// A feed that is open. Dropping it closes the connection.
#[derive(Debug)]
pub struct ChangeStream(Arriving);

// === impl Client ===

impl Client {
    /// The changes after a position, as many as are asked for.
    pub async fn changes(&self, query: &ChangesQuery) -> Result<ChangePage, ClientError> {
        self.call(Method::GET, "metadata", "changes").query(query).json().await
    }

    /// Opens the feed after a position. It has no deadline: who waits for a change sets one.
    pub async fn follow_changes(&self, query: &ChangesQuery) -> Result<ChangeStream, ClientError> {
        let url = self.url("metadata", "changes");
        let request =
            self.authorised(Method::GET, url.clone()).header(header::ACCEPT, "text/event-stream").query(query);
        Arriving::open(url, request).await.map(ChangeStream)
    }
}

// === impl ChangeStream ===

impl ChangeStream {
    /// The next change; `None` where the service ended the feed: then it is opened again after the last position that was seen.
    pub async fn next(&mut self) -> Result<Option<ChangeNotice>, ClientError> {
        loop {
            if let Some(end) = self.0.buffer.windows(2).position(|two| two == b"\n\n") {
                let event = self.0.take(end + 2);
                let Some(data) = data_of(&event) else { continue };
                return serde_json::from_str(&data).map(Some).map_err(|error| self.0.malformed(error.to_string()));
            }
            if !self.0.more("an event", EVENT_MAX_BYTES).await? {
                return Ok(None);
            }
        }
    }
}

/// The data of an event called `change`.
fn data_of(event: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(event).ok()?;
    let value = |name: &str| {
        let values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim_start);
        values.collect::<Vec<_>>().join("\n")
    };
    (value("event") == "change").then(|| value("data"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_have_data() {
        assert_eq!(data_of(b": still here\n\n"), None);
        assert_eq!(data_of(b"event: position\nid: 7\ndata: {}\n\n"), None);
        assert_eq!(data_of(b"id: 7\nevent: change\ndata: {\"a\":\ndata: 1}\n\n").as_deref(), Some("{\"a\":\n1}"));
    }
}
