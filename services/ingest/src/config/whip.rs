//! `[whip]`: the WHIP door, and what bounds it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use flame_service_host::config::{Bytes, Span};
use serde::{Deserialize, Serialize};

use super::Contradiction;

/// `[whip]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WhipConfig {
    /// Where media comes in, by UDP; port 0 takes a free one. Sessions begin by HTTP, at `/whip/KEY` of the service.
    pub listen: SocketAddr,
    /// Addresses that browsers are told to send to, where those of this machine are not how they reach it.
    pub advertise: Vec<IpAddr>,
    /// Sessions at once; more are refused.
    pub max_sessions: usize,
    /// What the system keeps of datagrams that were not looked at yet; it may keep less (`net.core.rmem_max`).
    pub receive_buffer: Bytes,
    /// Time from the answer to the first media.
    pub connect_timeout: Span,
    /// A publisher that sends nothing for this long has gone.
    pub idle: Span,
    /// What waits for streaming, for each track; past it the oldest segment is dropped.
    pub queue: Bytes,
    /// The same in segments.
    pub queue_segments: usize,
    /// Streaming may be away for this long before a publication is given up.
    pub patience: Span,
    /// Time for an answer of streaming.
    pub answer_timeout: Span,
}

/// The port that comes first where WebRTC servers are set up.
const PORT: u16 = 8189;
/// Pictures of usual size fit into this.
const QUEUE_MIN_BYTES: u64 = 1 << 20;

// === impl WhipConfig ===

impl WhipConfig {
    /// Whether the values fit together.
    pub(super) fn check(&self) -> Result<(), Contradiction> {
        let wrong = |text: String| Err(Contradiction(text));
        if self.queue.0 < QUEUE_MIN_BYTES || self.queue_segments < 2 {
            let least = Bytes(QUEUE_MIN_BYTES);
            return wrong(format!("whip.queue is {least} at least, and whip.queue_segments is 2 at least"));
        }
        if self.max_sessions == 0 {
            return wrong("whip.max_sessions is 1 at least".to_owned());
        }
        if let Some(address) = self.advertise.iter().find(|address| address.is_unspecified()) {
            return wrong(format!("whip.advertise: nobody reaches {address}"));
        }
        Ok(())
    }
}

impl Default for WhipConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], PORT)),
            advertise: Vec::new(),
            max_sessions: 64,
            receive_buffer: Bytes(4 << 20),
            connect_timeout: Span(Duration::from_secs(15)),
            idle: Span(Duration::from_secs(10)),
            queue: Bytes(64 << 20),
            queue_segments: 15,
            patience: Span(Duration::from_secs(30)),
            answer_timeout: Span(Duration::from_secs(5)),
        }
    }
}
