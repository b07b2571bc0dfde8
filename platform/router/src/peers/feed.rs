//! What this router tells a peer, line by line. A peer that takes nothing is sent nothing more: when it reads again, it
//! gets everything that changed meanwhile as one change.
//!
//! A peer that reads only version 1 of the lines knows neither terms nor states: it is told of those that are connected, and
//! only where they are.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use flame_api::peers::{ALIVE_EVERY_MS, Entry, Line, Place};
use flame_naming::peers::{Key, Message, Stamp};
use futures_util::Stream;
use tokio::sync::watch;

use super::Peers;

/// One peer's place in the journal.
struct Reader {
    peers: Peers,
    stamp: watch::Receiver<Stamp>,
    /// What it has been told; `None` before the whole state.
    told: Option<Stamp>,
    /// The version of the lines that it reads.
    protocol: u32,
}

/// The lines for one peer, which reads version `protocol` of them, until the router stops.
pub(crate) fn lines(peers: Peers, protocol: u32) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
    let reader = Reader { stamp: peers.0.stamp.subscribe(), peers, told: None, protocol };
    futures_util::stream::unfold(
        reader,
        |mut reader| async move { reader.next().await.map(|bytes| (Ok(bytes), reader)) },
    )
}

// === impl Reader ===

impl Reader {
    async fn next(&mut self) -> Option<Bytes> {
        if self.told.is_none() {
            let hello = Line::Hello { protocol: self.protocol, site: self.peers.0.site.to_string() };
            return Some([text(&hello), self.news()?].concat().into());
        }
        loop {
            tokio::select! {
                changed = self.stamp.changed() => changed.ok()?,
                () = tokio::time::sleep(Duration::from_millis(ALIVE_EVERY_MS)) => {
                    let Stamp { incarnation, version } = self.told?;
                    return Some(text(&Line::Alive { incarnation, version }).into());
                }
                () = self.peers.0.stop.cancelled() => return None,
            }
            if let Some(news) = self.news() {
                return Some(news.into());
            }
        }
    }

    /// What the peer has not been told yet.
    fn news(&mut self) -> Option<Vec<u8>> {
        let message = self.peers.journal().since(self.told)?;
        let entry = |key: Key, at: Option<Place>| {
            let at = at.and_then(|place| as_read(place, self.protocol));
            Entry { name: key.name.to_string(), endpoint: key.endpoint.to_string(), at }
        };
        let (stamp, line) = match message {
            Message::Full { stamp, entries } => {
                let entries = entries.into_iter().map(|(key, at)| entry(key, Some(at)));
                let entries = entries.filter(|entry| entry.at.is_some()).collect();
                (stamp, Line::Full { incarnation: stamp.incarnation, version: stamp.version, entries })
            }
            Message::Delta { after, stamp, changes } => {
                let changes = changes.into_iter().map(|(key, at)| entry(key, at)).collect();
                (stamp, Line::Delta { incarnation: stamp.incarnation, version: stamp.version, after, changes })
            }
            Message::Alive { stamp } => (stamp, Line::Alive { incarnation: stamp.incarnation, version: stamp.version }),
        };
        self.told = Some(stamp);
        Some(text(&line))
    }
}

/// What a reader of version `protocol` understands of an endpoint; `None` where it must not know of it.
fn as_read(place: Place, protocol: u32) -> Option<Place> {
    match protocol {
        0 | 1 => place.state.is_connected().then(|| Place::new(place.address, place.generation)),
        _ => Some(place),
    }
}

fn text(line: &Line) -> Vec<u8> {
    let mut text = serde_json::to_vec(line).expect("a line holds nothing that JSON cannot say");
    text.push(b'\n');
    text
}
